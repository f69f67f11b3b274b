"""The command bus: frames, bounds, and what callers learn when the log fails."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.domain.errors import LogError
from services.domain.messages import CreateUser
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from services.gateway.commands import PREFIX_BITS, CommandBus, FrameLimits, RequestIds
from services.gateway.errors import ApiError, ExecutionUnknown, Overloaded, StaleTimestamp
from tests.support.clock import ManualClock, settle
from tests.support.memory_log import MemoryLog

SHARD_0 = TopicPartition(BALANCE_OPERATIONS, 0)


class Bench:
    """A bus on a log in memory."""

    def __init__(self, max_in_flight: int = 100, limits: FrameLimits | None = None) -> None:
        self.log = MemoryLog()
        self.clock = ManualClock()
        self.failed: list[tuple[int, ApiError]] = []
        self.bus = CommandBus(
            self.log, self.clock, "test", 2, max_in_flight, lambda *failure: self.failed.append(failure), limits
        )

    def sizes(self) -> list[int]:
        return [len(frame.records) for frame in self.log.decoded(SHARD_0)]


def run(bench_of: Callable[[], Bench], story: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        bench = bench_of()
        task = asyncio.ensure_future(bench.bus.run())
        try:
            await story(bench)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def command(n: int) -> CreateUser:
    return CreateUser(n, 5, n)


def test_submit_returns_when_durable_and_frame_names_its_gateway() -> None:
    async def story(bench: Bench) -> None:
        bench.log.open.clear()
        submitted = asyncio.ensure_future(bench.bus.submit(command(1), 0))
        await settle()
        assert not submitted.done()
        bench.log.open.set()
        await submitted
        (frame,) = bench.log.decoded(SHARD_0)
        assert (frame.source, frame.first_sequence, frame.records) == ("gateway-test", 0, [command(1)])
        assert bench.bus.in_flight == 0

    run(Bench, story)


def test_commands_during_an_append_collect_into_the_next_frame() -> None:
    async def story(bench: Bench) -> None:
        bench.log.open.clear()
        bench.bus.enqueue(command(1), [0])
        await settle()
        for n in range(2, 7):
            bench.bus.enqueue(command(n), [0])
        await settle()
        assert bench.bus.in_flight == 6
        bench.log.open.set()
        await settle()
        assert bench.sizes() == [1, 5]
        assert [record.request_id for frame in bench.log.decoded(SHARD_0) for record in frame.records] == [*range(1, 7)]

    run(Bench, story)


@pytest.mark.parametrize("limits", [FrameLimits(records=2), FrameLimits(bytes=24)])
def test_frames_close_on_records_and_on_bytes(limits: FrameLimits) -> None:
    async def story(bench: Bench) -> None:
        for n in range(5):
            bench.bus.enqueue(command(n), [0])
        await settle()
        assert sum(bench.sizes()) == 5
        assert max(bench.sizes()) <= 4
        assert len(bench.sizes()) >= 2

    run(lambda: Bench(limits=limits), story)


def test_linger_waits_for_company() -> None:
    async def story(bench: Bench) -> None:
        bench.bus.enqueue(command(1), [0])
        await settle()
        bench.bus.enqueue(command(2), [0])
        await settle()
        assert bench.sizes() == []
        await bench.clock.advance(0.001, step_s=0.001)
        assert bench.sizes() == [2]

    run(lambda: Bench(limits=FrameLimits(linger_s=0.001)), story)


def test_enqueue_beyond_the_bound_is_refused_and_writes_nothing() -> None:
    async def story(bench: Bench) -> None:
        bench.log.open.clear()
        bench.bus.enqueue(command(1), [0])
        with pytest.raises(Overloaded):
            bench.bus.enqueue(command(2), [0, 1])
        bench.bus.enqueue(command(3), [1])
        with pytest.raises(Overloaded):
            bench.bus.enqueue(command(4), [0])
        bench.log.open.set()
        await settle()
        assert bench.sizes() == [1]
        bench.bus.enqueue(command(5), [0])
        await settle()
        assert bench.sizes() == [1, 1]

    run(lambda: Bench(max_in_flight=2), story)


def test_append_failure_leaves_the_outcome_unknown_and_the_bus_goes_on() -> None:
    async def story(bench: Bench) -> None:
        bench.log.failures = [LogError("disk full")]
        bench.bus.enqueue(command(1), [0])
        with pytest.raises(ExecutionUnknown):
            await bench.bus.submit(command(2), 0)
        ((request_id, error),) = bench.failed
        assert request_id == 1
        assert isinstance(error, ExecutionUnknown)
        await bench.bus.submit(command(3), 0)
        assert bench.sizes() == [1]
        assert bench.bus.in_flight == 0

    run(Bench, story)


def test_command_whose_time_is_over_is_dropped_just_before_the_write() -> None:
    async def story(bench: Bench) -> None:
        now_ms = bench.clock.time_ms()
        bench.log.open.clear()
        bench.bus.enqueue(command(1), [0])
        await settle()
        bench.bus.enqueue(command(2), [0], not_after_ms=now_ms + 10)
        bench.bus.enqueue(command(3), [0], not_after_ms=now_ms + 1_000)
        await bench.clock.advance(0.5)
        bench.log.open.set()
        await settle()
        assert [record.request_id for frame in bench.log.decoded(SHARD_0) for record in frame.records] == [1, 3]
        ((request_id, error),) = bench.failed
        assert request_id == 2
        assert isinstance(error, StaleTimestamp)

    run(Bench, story)


def test_stale_command_to_several_shards_is_unknown_because_another_shard_may_have_it() -> None:
    async def story(bench: Bench) -> None:
        bench.log.open.clear()
        bench.bus.enqueue(command(1), [0])
        await settle()
        bench.bus.enqueue(command(2), [0, 1], not_after_ms=bench.clock.time_ms() + 1)
        await settle()
        await bench.clock.advance(0.1)
        bench.log.open.set()
        await settle()
        ((request_id, error),) = bench.failed
        assert (request_id, type(error)) == (2, ExecutionUnknown)
        assert len(bench.log.decoded(TopicPartition(BALANCE_OPERATIONS, 1))) == 1

    run(Bench, story)


def test_stop_tells_unknown_for_what_is_being_written_and_refused_for_the_rest() -> None:
    async def main() -> None:
        bench = Bench()
        task = asyncio.ensure_future(bench.bus.run())
        bench.log.open.clear()
        bench.bus.enqueue(command(1), [0])
        await settle()
        bench.bus.enqueue(command(2), [0])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [(n, type(error)) for n, error in bench.failed] == [(1, ExecutionUnknown), (2, Overloaded)]

    asyncio.run(main())


def test_request_ids_of_the_largest_prefix_stay_within_63_bits() -> None:
    ids = RequestIds(2**PREFIX_BITS - 1)
    first, second = ids.next(), ids.next()
    assert 2**62 < first < second < 2**63


def test_request_ids_of_neighbouring_prefixes_are_four_billion_apart() -> None:
    assert RequestIds(8).next() - RequestIds(7).next() == 2**32
