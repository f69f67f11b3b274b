"""What became of a command: balance.events and engine.outputs, read from their ends, matched by request id.

A command is answered when
 - every account shard that it was sent to has said its word about it,
 - for each order it concerns (the one it placed, or those it cancels) the matcher's result has arrived, and
 - every account shard that such a result touches has settled it,
so that whoever got the answer and then reads from ubscore's memory sees its effects.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from services.adapters.ports import Clock, Log
from services.adapters.tracing.port import CURRENT_REQUEST
from services.domain.messages import (
    AssetUpdated,
    CancelAccepted,
    Event,
    MatchBody,
    MatchResult,
    OrderAccepted,
    OrderClosed,
    SymbolUpdated,
    TradeSettled,
)
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition, account_shard
from services.gateway.errors import ApiError, ExecutionUnknown, Overloaded
from services.gateway.partition_reader import PartitionReader
from services.gateway.tasks import run_together

SWEEP_S: Final = 0.1
"""How often waiters are looked at for their time-out. One sweep serves all: a timer each would cost more."""


class Outcome(NamedTuple):
    """What became of a command.

    events: by account shard, its first word about the command. results: by order id, of the matcher.
    """

    events: dict[int, Event]
    results: dict[int, MatchBody]

    @property
    def event(self) -> Event:
        """The word of the only account shard (or of the first one that answered)."""
        return next(iter(self.events.values()))


class Waiter:
    """One command that waits for its outcome. Its future also ends with ExecutionUnknown or another ApiError."""

    __slots__ = (
        "deadline",
        "events",
        "events_left",
        "future",
        "request",
        "request_id",
        "results",
        "results_left",
        "unsettled",
        "wanted",
    )

    def __init__(self, request_id: int, shards: int, deadline: int, future: asyncio.Future[Outcome]) -> None:
        self.request_id = request_id
        self.request = CURRENT_REQUEST.get()
        self.future = future
        self.deadline = deadline
        self.events: dict[int, Event] = {}
        self.events_left = shards
        self.wanted: dict[int, None] = {}
        self.results: dict[int, MatchBody] = {}
        self.results_left = 0
        self.unsettled: list[tuple[int, int]] = []
        """(matcher shard, account shard) pairs that have yet to settle a result, once each."""

    def want(self, order_ids: list[int]) -> None:
        """Wait for a result of each of these orders too."""
        for order_id in order_ids:
            if order_id not in self.wanted:
                self.wanted[order_id] = None
                self.results_left += order_id not in self.results

    def add_result(self, body: MatchBody) -> bool:
        """False when there is one for this order already: a command that the log holds twice runs twice."""
        if body.order_id in self.results:
            return False
        self.results[body.order_id] = body
        self.results_left -= body.order_id in self.wanted
        return True

    @property
    def complete(self) -> bool:
        return not (self.events_left or self.results_left or self.unsettled)


class Watcher(Protocol):
    """Is told of everything that is read, before anybody's answer is."""

    def on_events(self, account_shard: int, events: Sequence[Event]) -> None: ...

    def on_results(self, results: Sequence[MatchResult]) -> None: ...


class OutcomeTracker:
    """Reads all shards' answers and resolves waiters.

    on_instruments: called when an asset or symbol was declared or changed.
    timeout_s: how long a command waits for its outcome, to within two SWEEP_S.
    """

    def __init__(
        self,
        log: Log,
        clock: Clock,
        account_shards: int,
        matcher_shards: int,
        max_waiters: int,
        timeout_s: float,
        on_instruments: Callable[[], None] = lambda: None,
    ) -> None:
        self._log = log
        self._clock = clock
        self._account_shards = account_shards
        self._max_waiters = max_waiters
        self._patience = max(1, round(timeout_s / SWEEP_S)) + 1
        self._on_instruments = on_instruments
        self.watchers: list[Watcher] = []
        self._sweeps = 0
        self._waiters: OrderedDict[int, Waiter] = OrderedDict()
        self._settled: dict[tuple[int, int], int] = {}
        """(matcher shard, account shard) -> the newest engine sequence that the account shard has settled."""
        self._unsettled: dict[tuple[int, int], OrderedDict[int, tuple[int, Waiter]]] = {}
        """Per such pair, by request id: the sequence that a waiter needs settled; rising."""
        self._readers = [
            *(PartitionReader(TopicPartition(BALANCE_EVENTS, n), self._apply_events) for n in range(account_shards)),
            *(PartitionReader(TopicPartition(ENGINE_OUTPUTS, n), self._apply_results) for n in range(matcher_shards)),
        ]

    @property
    def started(self) -> bool:
        """Whether every partition is being read, so that no answer to a command sent now can be missed."""
        return all(reader.started and not reader.error for reader in self._readers)

    @property
    def waiting(self) -> int:
        """Commands that wait for their outcome."""
        return len(self._waiters)

    @property
    def newest_ms(self) -> int:
        """When something was last said on any partition; 0 when nothing was since the start."""
        return max(reader.newest_ms for reader in self._readers)

    @property
    def positions(self) -> list[tuple[TopicPartition, int]]:
        """The partitions that are being read, and the first frame of each that was not."""
        return [(reader.partition, reader.next_offset) for reader in self._readers if reader.started]

    async def lags(self) -> dict[str, str]:
        """What is wrong with the reading of each partition; empty when all is well."""
        problems = await asyncio.gather(*[reader.problem(self._log, self._clock) for reader in self._readers])
        return {
            str(reader.partition): problem for reader, problem in zip(self._readers, problems, strict=True) if problem
        }

    def expect(self, request_id: int, shards: int = 1) -> Waiter:
        """Wait for the outcome of a command that is about to be sent to `shards` account shards.

        Raises Overloaded when too many wait, or when the answers are not being read.
        """
        if len(self._waiters) >= self._max_waiters:
            raise Overloaded
        if not self.started:
            raise Overloaded("Not ready: answers cannot be read yet; nothing was done, try again.")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiter = Waiter(request_id, shards, self._sweeps + self._patience, future)
        self._waiters[request_id] = waiter
        return waiter

    def fail(self, request_id: int, error: ApiError) -> None:
        """The command will get no outcome. Unknown ids are ignored: it was answered already."""
        waiter = self.forget(request_id)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_exception(error)

    def forget(self, request_id: int) -> Waiter | None:
        """Nobody waits for this command any more."""
        waiter = self._waiters.pop(request_id, None)
        if waiter is not None:
            for pair in waiter.unsettled:
                self._unsettled[pair].pop(request_id, None)
            waiter.unsettled = []
        return waiter

    async def run(self) -> None:
        """Read until cancelled. Raises GapError when a source's records are missing: no answer can be trusted then."""
        try:
            await run_together(self._sweep(), *(reader.run(self._log, self._clock) for reader in self._readers))
        finally:
            for request_id in list(self._waiters):
                self.fail(request_id, ExecutionUnknown())

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            self._sweeps += 1
            # All wait equally long, so the first is the oldest.
            while self._waiters:
                request_id, waiter = next(iter(self._waiters.items()))
                if waiter.deadline > self._sweeps:
                    break
                self.fail(request_id, ExecutionUnknown())

    def _apply_events(self, shard: int, records: list[Event]) -> None:
        for watcher in self.watchers:
            watcher.on_events(shard, records)
        for event in records:
            if isinstance(event, TradeSettled | OrderClosed):
                self._settle((event.matcher_shard, shard), event.engine_sequence)
                continue
            if isinstance(event, AssetUpdated | SymbolUpdated):
                self._on_instruments()
            waiter = self._waiters.get(event.request_id)
            if waiter is not None and shard not in waiter.events:
                self._answer(waiter, shard, event)

    def _answer(self, waiter: Waiter, shard: int, event: Event) -> None:
        waiter.events[shard] = event
        waiter.events_left -= 1
        if waiter.request is not None and not waiter.events_left:
            waiter.request.reached("accepted")
        if isinstance(event, OrderAccepted):
            waiter.want([event.order_id])
        elif isinstance(event, CancelAccepted):
            waiter.want(event.order_ids)
        self._resolve_if_complete(waiter)

    def _apply_results(self, shard: int, records: list[MatchResult]) -> None:
        for watcher in self.watchers:
            watcher.on_results(records)
        for result in records:
            waiter = self._waiters.get(_REQUEST_ID.decode(result.body).request_id)
            if waiter is not None:
                body = result.decode_body()
                if waiter.add_result(body):
                    if waiter.request is not None and not waiter.results_left:
                        waiter.request.reached("matched")
                    self._await_settlement(waiter, shard, result.sequence, body)
                    self._resolve_if_complete(waiter)

    def _await_settlement(self, waiter: Waiter, matcher_shard: int, sequence: int, body: MatchBody) -> None:
        for account in _affected_shards(body, self._account_shards):
            pair = (matcher_shard, account)
            if self._settled.get(pair, 0) >= sequence:
                continue
            queue = self._unsettled.setdefault(pair, OrderedDict())
            if waiter.request_id not in queue:
                waiter.unsettled.append(pair)
            queue[waiter.request_id] = (sequence, waiter)
            queue.move_to_end(waiter.request_id)

    def _settle(self, pair: tuple[int, int], sequence: int) -> None:
        self._settled[pair] = sequence
        queue = self._unsettled.get(pair)
        while queue:
            request_id, (needed, waiter) = next(iter(queue.items()))
            if needed > sequence:
                return
            del queue[request_id]
            waiter.unsettled.remove(pair)
            self._resolve_if_complete(waiter)

    def _resolve_if_complete(self, waiter: Waiter) -> None:
        if not waiter.complete:
            return
        self._waiters.pop(waiter.request_id, None)
        if waiter.request is not None:
            waiter.request.reached("settled")
        if not waiter.future.done():
            waiter.future.set_result(Outcome(waiter.events, waiter.results))


def _affected_shards(body: MatchBody, account_shards: int) -> list[int]:
    """The account shards that get a report of this result: those of users in its trades and closing updates."""
    users = [user for trade in body.trades for user in (trade.maker_user_id, trade.taker_user_id)]
    users += [update.user_id for update in body.updates if not update.status.is_open]
    return list(dict.fromkeys(account_shard(user, account_shards) for user in users))


class _RequestId(msgspec.Struct, array_like=True, gc=False):
    """The beginning of a MatchBody: enough to see whether somebody here waits for it."""

    request_id: int


_REQUEST_ID = msgspec.msgpack.Decoder(_RequestId)
