"""Hundreds of worlds, each with its own layout, order flow and faults; none may show anything wrong."""

import pytest

from services.simulation.run import simulate

BLOCK = 10
STEPS = 6_000


@pytest.mark.parametrize("first", range(0, 300, BLOCK))
def test_exchange_in_a_hostile_world_keeps_every_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        verdict = simulate(seed, STEPS)
        assert not verdict.sentence, f"seed {seed}: {verdict.sentence}"


def test_worlds_of_many_seeds_bring_every_kind_of_fault_and_trade() -> None:
    verdicts = [simulate(seed, STEPS) for seed in range(12)]
    for kind in ("crashes", "torn_tails", "duplicates", "log_errors", "disk_faults", "disks_lost", "store_faults"):
        assert sum(getattr(verdict.counts, kind) for verdict in verdicts) > 0, kind
    assert sum(verdict.counts.zombies for verdict in verdicts) > 0
    assert sum(verdict.counts.unknown for verdict in verdicts) > 0
    assert all(verdict.counts.trades > 0 for verdict in verdicts)
    assert {verdict.shape.account_shards for verdict in verdicts} == {1, 2}
    assert {verdict.shape.matcher_shards for verdict in verdicts} == {1, 2}
