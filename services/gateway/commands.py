"""Commands on their way to the log: collected into frames, bounded, and answered when durable.

One flush task an account shard: while one append is in flight, the next commands collect. So an idle gateway writes
each command at once, and a busy one batches by itself.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from services.adapters.ports import Append, Clock, Log
from services.adapters.tracing.frame import TracedFrame
from services.adapters.tracing.port import CURRENT_REQUEST, RequestSpan, Tracing
from services.domain.errors import LogError
from services.domain.messages import encode_frame
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from services.gateway.errors import ApiError, ExecutionUnknown, Overloaded, StaleTimestamp
from services.gateway.tasks import run_together

_COUNTER_BITS: Final = 32
PREFIX_BITS: Final = 31
"""Of the random part of a request id."""
_MASK: Final = 2 ** (PREFIX_BITS + _COUNTER_BITS) - 1
_STOPPING: Final = "The gateway is stopping; nothing was done."


class RequestIds:
    """Ids that find an answer again: a random prefix of this run of this gateway, and a counter; below 2**63.

    prefix: of PREFIX_BITS bits. It alone keeps gateways apart, for all see all answers: nothing else names one, and
    several may have the same number. After four billion commands the ids go on into the next prefix.
    """

    def __init__(self, prefix: int) -> None:
        self._next = prefix << _COUNTER_BITS

    def next(self) -> int:
        self._next = (self._next + 1) & _MASK
        return self._next


class FrameLimits(NamedTuple):
    """When a frame closes. linger_s: how long the first command of a frame waits for company."""

    records: int = 1_000
    bytes: int = 512 * 1024
    linger_s: float = 0.0


class _Pending(NamedTuple):
    request_id: int
    record: msgspec.Raw
    not_after_ms: int
    durable: asyncio.Future[None] | None
    alone: bool
    """Whether no other account shard gets it too."""
    request: RequestSpan | None
    """On whose behalf it is written; None when nobody traces."""
    since_ns: int
    """When it was enqueued, for traces; 0 when nobody traces."""


class CommandBus:
    """Writes commands to balance.operations.

    on_failure: told the request id and the error of a command that was not, or may not have been, written.
    on_written: told of every frame that is durable: its records, its bytes, and the seconds that took.
    tracing: None when nobody wants traces.
    `run` must be running for anything to be written.
    """

    def __init__(
        self,
        log: Log,
        clock: Clock,
        instance: str,
        account_shards: int,
        max_in_flight: int,
        on_failure: Callable[[int, ApiError], None],
        limits: FrameLimits | None = None,
        on_written: Callable[[int, int, float], None] = lambda records, size, seconds: None,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self._max_in_flight = max_in_flight
        self.tracing = tracing
        self._in_flight = 0
        self._encode = msgspec.msgpack.Encoder().encode
        limits = limits or FrameLimits()
        self._writers = [
            _ShardWriter(self, log, clock, f"gateway-{instance}", shard, limits, on_failure, on_written)
            for shard in range(account_shards)
        ]

    @property
    def in_flight(self) -> int:
        """Commands that are not durable yet."""
        return self._in_flight

    def enqueue(self, command: Any, shards: Sequence[int], not_after_ms: int = 0) -> None:
        """Have `command` written to every one of these account shards, soon.

        not_after_ms: it is dropped with StaleTimestamp when it is about to be written after this time; 0: never. With
        more shards than one that is ExecutionUnknown, for another one may have it.
        Raises Overloaded, and writes nothing, when too many are on their way.
        """
        self._add(command, shards, not_after_ms, None)

    async def submit(self, command: Any, shard: int, not_after_ms: int = 0) -> None:
        """As `enqueue`; returns when the command is durable.

        Raises StaleTimestamp when it was dropped for that, ExecutionUnknown when the log failed.
        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(command, [shard], not_after_ms, durable)
        await durable

    async def run(self) -> None:
        """Write until cancelled."""
        await run_together(*(writer.run() for writer in self._writers))

    def _add(
        self, command: Any, shards: Sequence[int], not_after_ms: int, durable: asyncio.Future[None] | None
    ) -> None:
        if self._in_flight + len(shards) > self._max_in_flight:
            raise Overloaded
        if any(self._writers[shard].ended for shard in shards):
            raise Overloaded(_STOPPING)
        self._in_flight += len(shards)
        record = msgspec.Raw(self._encode(command))
        request = None if self.tracing is None else CURRENT_REQUEST.get()
        since_ns = 0 if request is None else time.time_ns()
        pending = _Pending(command.request_id, record, not_after_ms, durable, len(shards) == 1, request, since_ns)
        for shard in shards:
            self._writers[shard].add(pending)

    def done(self, count: int) -> None:
        """`count` commands are no longer on their way."""
        self._in_flight -= count


class _ShardWriter:
    """The queue and flush task of one account shard."""

    def __init__(
        self,
        bus: CommandBus,
        log: Log,
        clock: Clock,
        source: str,
        shard: int,
        limits: FrameLimits,
        on_failure: Callable[[int, ApiError], None],
        on_written: Callable[[int, int, float], None],
    ) -> None:
        self._bus = bus
        self._log = log
        self._clock = clock
        self._source = source
        self._partition = TopicPartition(BALANCE_OPERATIONS, shard)
        self._limits = limits
        self._on_failure = on_failure
        self._on_written = on_written
        self._queue: deque[_Pending] = deque()
        self._filled = asyncio.Event()
        self.ended = False
        """Whether nothing will be written any more."""

    def add(self, pending: _Pending) -> None:
        self._queue.append(pending)
        self._filled.set()

    async def run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                if self._limits.linger_s:
                    await self._clock.sleep(self._limits.linger_s)
                await self._write(self._take())
                if not self._queue:
                    self._filled.clear()
        finally:
            self.ended = True
            # What is still queued was never written, and that is certain.
            while self._queue:
                self._fail([self._queue.popleft()], Overloaded(_STOPPING))

    def _take(self) -> list[_Pending]:
        """The next frame's commands; those whose time is over are refused here, just before the write."""
        batch: list[_Pending] = []
        now_ms, size = self._clock.time_ms(), 0
        queue, limits = self._queue, self._limits
        while queue and len(batch) < limits.records:
            pending = queue[0]
            size += len(memoryview(pending.record))
            if batch and size > limits.bytes:
                break
            queue.popleft()
            if pending.not_after_ms and now_ms > pending.not_after_ms:
                self._fail([pending], StaleTimestamp())
            else:
                batch.append(pending)
        return batch

    async def _write(self, batch: list[_Pending]) -> None:
        if not batch:
            return
        frame = encode_frame(self._source, 0, [pending.record for pending in batch])
        began = time.perf_counter()
        traced = None if self._bus.tracing is None else _traced(self._bus.tracing, self._partition, batch)
        headers = () if traced is None else traced.headers
        try:
            [offset] = await self._log.append([Append(self._partition, frame, headers)])
        except LogError as error:
            self._fail(batch, ExecutionUnknown())
            if traced is not None:
                traced.end(f"LogError: {error}")
            return
        except BaseException:
            self._fail(batch, ExecutionUnknown())
            raise
        self._on_written(len(batch), len(frame), time.perf_counter() - began)
        if traced is not None:
            traced.end(offset=offset)
        self._bus.done(len(batch))
        for pending in batch:
            if pending.request is not None:
                pending.request.reached("durable")
            if pending.durable is not None and not pending.durable.done():
                pending.durable.set_result(None)

    def _fail(self, batch: list[_Pending], error: ApiError) -> None:
        self._bus.done(len(batch))
        for pending in batch:
            if pending.durable is None:
                # One shard not having it does not mean that nothing was done: another one may.
                self._on_failure(pending.request_id, error if pending.alone else ExecutionUnknown())
            elif not pending.durable.done():
                pending.durable.set_exception(error)


def _traced(tracing: Tracing, partition: TopicPartition, batch: Sequence[_Pending]) -> TracedFrame | None:
    """The spans of a frame of commands; None when no trace of any is sampled."""
    parents, since_ns = dict[int, str](), dict[str, int]()
    for index, pending in enumerate(batch):
        if pending.request is not None and pending.request.is_sampled:
            parents[index] = pending.request.traceparent
            since_ns[pending.request.traceparent] = pending.since_ns
    return TracedFrame(tracing, partition, len(batch), parents, since_ns) if parents else None
