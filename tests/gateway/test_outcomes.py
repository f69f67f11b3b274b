"""The outcome tracker: when a command counts as answered, and what happens when its answer does not come."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from services.domain.errors import GapError, LogError
from services.domain.instruments import SymbolSettings
from services.domain.messages import (
    BalanceChange,
    CancelAccepted,
    ChangeKind,
    MatchBody,
    MatchResult,
    OrderAccepted,
    OrderClosed,
    OrderRepeated,
    OrderUpdate,
    SymbolUpdated,
    Trade,
    UserUpdated,
)
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition
from services.gateway.errors import ExecutionUnknown, Overloaded
from services.gateway.outcomes import OutcomeTracker
from tests.support.clock import ManualClock, settle
from tests.support.memory_log import MemoryLog

CHANGE = BalanceChange(1000, "USDT", ChangeKind.Reserve, -5, 5, 5, 5, 2)


class Bench:
    """A tracker of two account shards and two matcher shards, and the voices of their cores."""

    def __init__(self, timeout_s: float = 1.0, max_waiters: int = 10) -> None:
        self.log = MemoryLog()
        self.clock = ManualClock()
        self.instruments_changed = 0
        self.tracker = OutcomeTracker(self.log, self.clock, 2, 2, max_waiters, timeout_s, self._on_instruments)
        self._sequences: dict[TopicPartition, int] = {}

    def _on_instruments(self) -> None:
        self.instruments_changed += 1

    async def say(self, topic: str, shard: int, *records: object) -> None:
        partition = TopicPartition(topic, shard)
        first = self._sequences.get(partition, 0) + 1
        self._sequences[partition] = first + len(records) - 1
        await self.log.say(
            partition, f"{'ubscore' if topic == BALANCE_EVENTS else 'matcher'}-{shard}", first, [*records]
        )
        await settle()

    async def match(self, shard: int, body: MatchBody) -> None:
        sequence = self._sequences.get(TopicPartition(ENGINE_OUTPUTS, shard), 0) + 1
        raw = msgspec.Raw(msgspec.msgpack.encode(body))
        await self.say(ENGINE_OUTPUTS, shard, MatchResult(sequence, 0, b"", b"", raw))


def accepted(request_id: int, order_id: int = 7, user_id: int = 1000) -> OrderAccepted:
    return OrderAccepted(
        request_id, 5, order_id, user_id, "c", "BTC_USDT", Side.Buy, OrderType.Limit, TimeInForce.GTC, 100, 1, 0, CHANGE
    )


def update(order_id: int, user_id: int, status: OrderStatus) -> OrderUpdate:
    return OrderUpdate(order_id, user_id, "c", 5, Side.Buy, OrderType.Limit, TimeInForce.GTC, status, 100, 1, 0, 0)


def body(request_id: int, order_id: int = 7, updates: list[OrderUpdate] | None = None, trades: int = 0) -> MatchBody:
    """A result; trades are between users 1000 (shard 0) and 1001 (shard 1)."""
    made = [Trade(n + 1, 100, 1, Side.Buy, 3, order_id, 1001, 1000, 0, 0) for n in range(trades)]
    return MatchBody(request_id, 5, "BTC_USDT", order_id, 1000, Reject.NONE, updates or [], made, [])


def closed(sequence: int, user_id: int) -> OrderClosed:
    return OrderClosed(0, sequence, 1, 5, 7, user_id, OrderStatus.Filled, None)


def run(story: Callable[[Bench], Awaitable[None]], **settings: float) -> None:
    async def main() -> None:
        bench = Bench(**settings)  # type: ignore[arg-type]
        task = asyncio.ensure_future(bench.tracker.run())
        await settle()
        try:
            await story(bench)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_resting_order_is_answered_by_acceptance_and_result() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, accepted(1))
        assert not future.done()
        await bench.match(1, body(1, updates=[update(7, 1000, OrderStatus.New)]))
        outcome = future.result()
        assert outcome.event == accepted(1)
        assert outcome.results[7].request_id == 1
        assert bench.tracker.waiting == 0

    run(story)


def test_result_before_acceptance_is_the_same() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.match(1, body(1, updates=[update(7, 1000, OrderStatus.New)]))
        assert not future.done()
        await bench.say(BALANCE_EVENTS, 0, accepted(1))
        assert future.done()

    run(story)


def test_order_with_trades_waits_until_every_affected_shard_has_settled_them() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, accepted(1))
        await bench.match(0, body(1, trades=2))
        await bench.say(BALANCE_EVENTS, 0, closed(1, 1000))
        assert not future.done()
        await bench.say(BALANCE_EVENTS, 1, closed(1, 1001))
        assert future.done()

    run(story)


def test_settlement_seen_before_the_result_counts() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, accepted(1), closed(1, 1000))
        await bench.say(BALANCE_EVENTS, 1, closed(1, 1001))
        await bench.match(0, body(1, trades=1))
        assert future.done()

    run(story)


def test_settlement_of_another_matcher_does_not_count() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, accepted(1))
        await bench.match(1, body(1, updates=[update(7, 1000, OrderStatus.Cancelled)]))
        await bench.say(BALANCE_EVENTS, 0, closed(1, 1000))
        assert not future.done()

    run(story)


def test_cancel_all_waits_for_every_order_and_a_repeat_of_one_does_not_stand_for_another() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, CancelAccepted(1, 5, 1000, [7, 8]))
        await bench.match(0, body(1, 7))
        await bench.match(0, body(1, 7))
        assert not future.done()
        await bench.match(1, body(1, 8))
        assert list(future.result().results) == [7, 8]

    run(story)


def test_cancel_all_of_nothing_is_answered_at_once() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, CancelAccepted(1, 5, 1000, []))
        assert future.done()

    run(story)


def test_first_word_stays_when_the_log_holds_the_command_twice() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, accepted(1), OrderRepeated(1, 5, 1000, "c", 7, Reject.NONE))
        assert not future.done()
        await bench.match(0, body(1))
        assert future.result().event == accepted(1)

    run(story)


def test_announcement_waits_for_all_shards() -> None:
    async def story(bench: Bench) -> None:
        future = bench.tracker.expect(1, shards=2).future
        settings = SymbolSettings("BTC_USDT", "BTC", "USDT", "0.01", "0.001", "1", 0, 0)
        await bench.say(BALANCE_EVENTS, 1, SymbolUpdated(1, 5, settings))
        assert not future.done()
        await bench.say(BALANCE_EVENTS, 0, SymbolUpdated(1, 5, settings))
        assert sorted(future.result().events) == [0, 1]
        assert bench.instruments_changed == 2

    run(story)


def test_outcome_that_does_not_come_is_unknown_and_nothing_is_kept() -> None:
    async def story(bench: Bench) -> None:
        early = bench.tracker.expect(1).future
        await bench.say(BALANCE_EVENTS, 0, accepted(1))
        await bench.match(0, body(1, trades=1))
        await bench.clock.advance(0.5)
        late = bench.tracker.expect(2).future
        await bench.clock.advance(0.8)
        assert isinstance(early.exception(), ExecutionUnknown)
        assert not late.done()
        assert bench.tracker.waiting == 1
        await bench.say(BALANCE_EVENTS, 0, closed(1, 1000))
        await bench.say(BALANCE_EVENTS, 1, closed(1, 1001))
        await bench.clock.advance(1)
        assert isinstance(late.exception(), ExecutionUnknown)
        assert bench.tracker.waiting == 0

    run(story)


def test_too_many_waiters_are_refused() -> None:
    async def story(bench: Bench) -> None:
        bench.tracker.expect(1)
        bench.tracker.expect(2)
        with pytest.raises(Overloaded):
            bench.tracker.expect(3)
        bench.tracker.forget(1)
        bench.tracker.expect(3)

    run(story, max_waiters=2)


def test_nothing_is_taken_before_every_partition_is_being_read() -> None:
    async def main() -> None:
        bench = Bench()
        assert not bench.tracker.started
        with pytest.raises(Overloaded):
            bench.tracker.expect(1)
        assert await bench.tracker.lags() == {
            "balance.events/0": "not started",
            "balance.events/1": "not started",
            "engine.outputs/0": "not started",
            "engine.outputs/1": "not started",
        }

    asyncio.run(main())


def test_repeated_frames_are_dropped_also_those_from_before_the_start() -> None:
    async def main() -> None:
        bench = Bench()
        for n in range(1, 6):
            await bench.say(BALANCE_EVENTS, 0, UserUpdated(n, 5, n, False))
        task = asyncio.ensure_future(bench.tracker.run())
        await settle()
        future = bench.tracker.expect(3).future
        await bench.log.say(TopicPartition(BALANCE_EVENTS, 0), "ubscore-0", 3, [UserUpdated(3, 5, 3, False)])
        await settle()
        assert not future.done()
        again = bench.tracker.expect(6).future
        await bench.say(BALANCE_EVENTS, 0, UserUpdated(6, 5, 6, False))
        assert again.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_hole_in_a_source_stops_the_tracker_and_leaves_waiters_unknown() -> None:
    async def main() -> None:
        bench = Bench()
        task = asyncio.ensure_future(bench.tracker.run())
        await settle()
        await bench.say(BALANCE_EVENTS, 0, UserUpdated(9, 5, 9, False))
        future = bench.tracker.expect(1).future
        await bench.log.say(TopicPartition(BALANCE_EVENTS, 0), "ubscore-0", 3, [UserUpdated(1, 5, 1, False)])
        with pytest.raises(GapError, match="ubscore-0: expected sequence 2, got 3"):
            await task
        assert isinstance(future.exception(), ExecutionUnknown)

    asyncio.run(main())


def test_log_that_cannot_be_read_makes_it_not_ready_until_it_can() -> None:
    async def story(bench: Bench) -> None:
        bench.log.read_failures = [LogError("broker gone")]
        await bench.say(BALANCE_EVENTS, 0, UserUpdated(9, 5, 9, False))
        assert not bench.tracker.started
        assert await bench.tracker.lags() == {"balance.events/0": "broker gone"}
        await bench.clock.advance(0.3)
        assert bench.tracker.started
        assert await bench.tracker.lags() == {}

    run(story)


def test_log_that_failed_at_the_start_makes_it_ready_again_without_a_new_frame() -> None:
    async def main() -> None:
        bench = Bench()
        await bench.say(BALANCE_EVENTS, 0, UserUpdated(9, 5, 9, False))
        bench.log.read_failures = [LogError("broker gone")]
        task = asyncio.create_task(bench.tracker.run())
        await settle()
        assert not bench.tracker.started
        await bench.clock.advance(0.3)
        assert bench.tracker.started
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
