"""`causal_cut` on logs that real cores wrote, captured at any moments, while everything goes on."""

import random
from typing import Any

import pytest

from services.backup.cut import Captured, Cut, causal_cut
from services.domain.errors import GapError, InvariantError
from services.domain.messages import decode_frame, decode_header
from services.domain.topics import BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.matcher.engine import MatcherEngine
from services.ubscore.core import UbsCore
from services.verify.cores import check_open_orders
from tests.backup.flow import Flow, fresh_cores

SHARDS = [(1, 1), (2, 2), (1, 2), (2, 1)]


class Backup:
    """Snapshots taken one by one, then ends captured one by one, with work going on in between."""

    def __init__(self, flow: Flow) -> None:
        dice = flow.dice
        self.snapshots = []
        for core in dice.sample(flow.cores, len(flow.cores)):
            self.snapshots.append((type(core), core.snapshot()))
            _work(flow, 12)
        self.safe = {partition: len(frames) for partition, frames in flow.log.items()}
        """What was appended before the first end was captured."""
        self.ends: dict[TopicPartition, int] = {}
        for partition in dice.sample(list(flow.log), len(flow.log)):
            self.ends[partition] = len(flow.log[partition])
            _work(flow, 120)

    def cores(self) -> list[Any]:
        restored: list[Any] = [kind.restore(data) for kind, data in self.snapshots]
        return restored

    def captured(self, flow: Flow, dice: random.Random) -> dict[TopicPartition, Captured]:
        """Tails that begin somewhere at or before where their reader stands."""
        positions = {core.input: core.next_offset for core in self.cores()}
        starts = {p: dice.randint(0, positions.get(p, self.safe[p])) for p in self.ends}
        return {p: Captured(starts[p], iter(flow.stored(p, starts[p], end))) for p, end in self.ends.items()}


def _work(flow: Flow, most: int) -> None:
    for _ in range(flow.dice.randint(0, most)):
        flow.step()


def _flow_with_backup(seed: int, shards: tuple[int, int]) -> tuple[Flow, Backup, list[Any], Cut]:
    dice = random.Random(seed)
    flow = Flow(dice, *shards)
    _work(flow, 150)
    backup = Backup(flow)
    cores = backup.cores()
    return flow, backup, cores, causal_cut(cores, backup.captured(flow, dice))


def _fold_anew(flow: Flow, shards: tuple[int, int], ends: dict[TopicPartition, int]) -> list[Any]:
    """Fresh cores, folded over the cut logs from their first frame on."""
    cores = fresh_cores(*shards)
    for core in cores:
        for stored in flow.stored(core.input, 0, ends[core.input]):
            core.apply(decode_frame(core.input.topic, stored.data), stored.offset)
    return cores


@pytest.mark.parametrize("shards", SHARDS, ids=str)
@pytest.mark.parametrize("seed", range(25))
def test_causal_cut_any_moments_is_closed_whole_and_gives_the_digests_of_a_fresh_fold(
    seed: int, shards: tuple[int, int]
) -> None:
    flow, backup, cores, cut = _flow_with_backup(seed, shards)
    for partition, end in cut.ends.items():
        assert backup.safe[partition] <= end <= backup.ends[partition]
    assert cut.dropped == sum(backup.ends.values()) - sum(cut.ends.values())
    anew = {core.source: core for core in _fold_anew(flow, shards, cut.ends)}
    assert {core.source: core.digest() for core in cores} == {source: core.digest() for source, core in anew.items()}
    for partition, end in cut.ends.items():
        for stored in flow.stored(partition, 0, end):
            header = decode_header(stored.data)
            if header.first_sequence:
                said = anew[header.source].said[partition]
                assert header.first_sequence + len(header.records) - 1 <= said


@pytest.mark.parametrize("shards", SHARDS, ids=str)
@pytest.mark.parametrize("seed", range(10))
def test_causal_cut_restored_flow_goes_on_and_everything_adds_up(seed: int, shards: tuple[int, int]) -> None:
    flow, _, cores, cut = _flow_with_backup(seed, shards)
    restored = Flow(random.Random(seed), *shards)
    restored.log = {partition: frames[: cut.ends[partition]] for partition, frames in flow.log.items()}
    restored.cores = cores
    # What a restored core has said and the log does not hold, its shell publishes first.
    for core in _fold_anew_saying(restored, shards):
        assert core.digest() == next(mine for mine in cores if mine.source == core.source).digest()
    for core in cores:
        if core.input.topic == BALANCE_OPERATIONS:
            for data in flow.log[core.input][cut.ends[core.input] :]:
                if decode_header(data).first_sequence == 0:
                    restored.append(core.input, data)
    for _ in range(60):
        restored.step()
    restored.drain()
    _check_at_rest(restored, shards)


def _fold_anew_saying(flow: Flow, shards: tuple[int, int]) -> list[Any]:
    """Fold the cut logs anew, and publish what they lack."""
    outputs: dict[tuple[str, TopicPartition], list[Any]] = {}
    cores = fresh_cores(*shards)
    for core in cores:
        for stored in flow.stored(core.input):
            for partition, _, records in core.apply(decode_frame(core.input.topic, stored.data), stored.offset):
                outputs.setdefault((core.source, partition), []).extend(records)
    for (source, partition), records in outputs.items():
        headers = [decode_header(stored.data) for stored in flow.stored(partition)]
        last = max((h.first_sequence + len(h.records) - 1 for h in headers if h.source == source), default=0)
        if last < len(records):
            flow._unsaid[source, partition] = [(last + 1, records[last:])]
    return cores


def _check_at_rest(flow: Flow, shards: tuple[int, int]) -> None:
    """Audits that hold once nothing is under way."""
    for core in _fold_anew(flow, shards, {p: len(frames) for p, frames in flow.log.items()}):
        live = next(mine for mine in flow.cores if mine.source == core.source)
        assert core.digest() == live.digest()
    accounts = [core for core in flow.cores if isinstance(core, UbsCore)]
    engines = [core for core in flow.cores if isinstance(core, MatcherEngine)]
    transit: dict[str, int] = {}
    for core in accounts:
        core.state.check()
        for asset, units in core.state.transit.items():
            transit[asset] = transit.get(asset, 0) + units
    assert set(transit.values()) <= {0}, "zero sum across shards"
    for engine in engines:
        engine.check()
    open_orders = check_open_orders([core.state for core in accounts], engines)
    assert open_orders.ok, open_orders
    assert "under way" not in open_orders.detail


def test_causal_cut_report_without_its_order_is_cut_with_all_behind_it() -> None:
    """The order came after the end of `orders` was captured, its report before that of balance.operations was."""
    flow = Flow(random.Random(1), 1, 1)
    flow.drain()
    cores = [type(core).restore(core.snapshot()) for core in flow.cores]
    ends = {partition: len(frames) for partition, frames in flow.log.items()}
    while flow.log[TopicPartition(ENGINE_OUTPUTS, 0)] == [] or len(flow.log[TopicPartition(BALANCE_OPERATIONS, 0)]) < 9:
        flow.command()
        flow.drain()
    operations = TopicPartition(BALANCE_OPERATIONS, 0)
    tails = {
        partition: Captured(0, flow.stored(partition, 0, None if partition == operations else ends[partition]))
        for partition in flow.log
    }
    cut = causal_cut(cores, tails)
    kept = [decode_header(frame.data).source for frame in flow.stored(operations, 0, cut.ends[operations])]
    left = decode_header(flow.log[operations][cut.ends[operations]])
    assert set(kept) == {"gateway-1"}
    assert left.source == "matcher-0"
    assert cut.dropped > 0


def test_causal_cut_snapshot_ahead_of_its_cause_raises_invariant_error() -> None:
    """The end of `orders` was captured before the snapshot of ubscore was taken."""
    flow = Flow(random.Random(3), 1, 1)
    flow.drain()
    matcher = MatcherEngine.restore(flow.cores[1].snapshot())
    orders = len(flow.log[TopicPartition(ORDERS, 0)])
    while not flow.cores[0].heard:
        flow.command()
        flow.drain()
    cores = [UbsCore.restore(flow.cores[0].snapshot()), matcher]
    tails = {p: Captured(0, flow.stored(p, 0, orders if p.topic == ORDERS else None)) for p in flow.log}
    with pytest.raises(InvariantError, match="ubscore-0 has heard matcher-0 up to sequence"):
        causal_cut(cores, tails)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (4, 6, r"ubscore-0: needs balance.operations/0 from offset 3, the backup has it from 4"),
        (0, 2, r"ubscore-0: has applied balance.operations/0 up to 3, the backup ends at 2"),
    ],
)
def test_causal_cut_tail_elsewhere_than_the_core_raises_gap_error(start: int, end: int, message: str) -> None:
    flow = Flow(random.Random(3), 1, 1)
    flow.command()
    flow.command()
    cores = fresh_cores(1, 1)
    while cores[0].next_offset < 3:
        stored = flow.stored(cores[0].input)[cores[0].next_offset]
        cores[0].apply(decode_frame(cores[0].input.topic, stored.data), stored.offset)
    tails = {p: Captured(0, flow.stored(p)) for p in flow.log}
    for _ in range(3):
        flow.command()
    tails[cores[0].input] = Captured(start, flow.stored(cores[0].input, start, end))
    with pytest.raises(GapError, match=message):
        causal_cut(cores, tails)


def test_causal_cut_hole_in_a_tail_raises_gap_error() -> None:
    flow = Flow(random.Random(3), 1, 1)
    for _ in range(4):
        flow.command()
    tails = {p: Captured(0, flow.stored(p)) for p in flow.log}
    operations = TopicPartition(BALANCE_OPERATIONS, 0)
    whole = flow.stored(operations)
    tails[operations] = Captured(0, [*whole[:2], *whole[3:]])
    with pytest.raises(GapError, match="expected offset 2, the backup has 3"):
        causal_cut(fresh_cores(1, 1), tails)


def test_causal_cut_source_that_is_no_core_raises_invariant_error() -> None:
    flow = Flow(random.Random(3), 1, 2)
    for _ in range(300):
        flow.step()
    flow.drain()
    tails = {p: Captured(0, flow.stored(p)) for p in flow.log}
    with pytest.raises(InvariantError, match="source matcher-1 is none of the cores"):
        causal_cut(fresh_cores(1, 2)[:2], tails)
