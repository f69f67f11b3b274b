"""Hundreds of worlds, each with its own layout, order flow and faults; none may show anything wrong.

Found here first: a gateway that stayed not ready until somebody sent a command (seeds 44, 56, 110, 115), and a command
to two shards that was called not done while one of them had it (24, 112, 116, 141).
"""

import pytest

from services.simulation.run import simulate

BLOCK = 10
STEPS = 6_000


def check(first: int) -> None:
    for seed in range(first, first + BLOCK):
        verdict = simulate(seed, STEPS)
        assert not verdict.sentence, f"seed {seed}, step {verdict.counts.steps}: {verdict.sentence}"


# A class each, because a class's tests stay in one process of a parallel run.


class TestSeedsFrom0:
    @pytest.mark.parametrize("first", range(0, 100, BLOCK))
    def test_exchange_in_a_hostile_world_keeps_every_promise(self, first: int) -> None:
        check(first)


class TestSeedsFrom100:
    @pytest.mark.parametrize("first", range(100, 200, BLOCK))
    def test_exchange_in_a_hostile_world_keeps_every_promise(self, first: int) -> None:
        check(first)


class TestSeedsFrom200:
    @pytest.mark.parametrize("first", range(200, 300, BLOCK))
    def test_exchange_in_a_hostile_world_keeps_every_promise(self, first: int) -> None:
        check(first)


class TestVariety:
    def test_worlds_of_a_dozen_seeds_bring_every_kind_of_fault_layout_and_trades(self) -> None:
        verdicts = [simulate(seed, STEPS) for seed in range(12)]
        kinds = ("crashes", "torn_tails", "duplicates", "log_errors", "disk_faults", "disks_lost", "store_faults")
        for kind in (*kinds, "torn_batches", "late_writes", "zombies", "unknown", "refused"):
            assert sum(getattr(verdict.counts, kind) for verdict in verdicts) > 0, kind
        assert all(verdict.counts.trades > 0 for verdict in verdicts)
        assert {verdict.shape.account_shards for verdict in verdicts} == {1, 2}
        assert {verdict.shape.matcher_shards for verdict in verdicts} == {1, 2}
