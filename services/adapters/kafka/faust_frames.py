"""Frames for projections that share the partitions of topics: faust deals them out, the database says where to go on.

A member of the group gets partitions and loses them again whenever members come, go, or stay silent. What a projection
does not take keeps its stream waiting; what it has stored is acknowledged. The group's offsets are never believed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from faust.types import TP

from services.adapters.kafka.bases import LogBases
from services.adapters.kafka.faust_app import SESSION_TIMEOUT_S, FramesApp
from services.adapters.kafka.faust_buffer import PartitionBuffer
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import StoredFrame
from services.domain.errors import ExchangeError, GapError, InvariantError, LogError, StoreUnavailable
from services.domain.topics import TopicPartition

RUNNING: Final = "running"
NO_BROKER: Final = "waiting for brokers"
NO_STORE: Final = "waiting for store"

_FIRST_BACKOFF_S: Final = 0.1
_LAST_BACKOFF_S: Final = 5.0
_STOP_WITHIN_S: Final = 8.0
_LOOKS: Final = 3
_LOOK_EVERY_S: Final = 0.5
"""A new leader may not know its end at once."""
_REFUSED: Final = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)

Position = Callable[[TopicPartition], Awaitable[int]]
OnAssigned = Callable[[TopicPartition], None]
OnRevoked = Callable[[TopicPartition], Awaitable[None]]
T = TypeVar("T")


class FaustFrames:
    """One member of a group; as `shell.projection_shell.Frames` it has the partitions that are assigned to it.

    member: its name, which it keeps from life to life and nobody else in the group has; its next life gets its
    partitions without delay. position: where the database stands on a partition; asked again for ever on
    StoreUnavailable. state: `RUNNING`, `NO_STORE`, `NO_BROKER` and why, or "stopped: " and why; for the health
    endpoint.
    """

    def __init__(
        self, settings: KafkaSettings, group: str, member: str, topics: Sequence[str], position: Position
    ) -> None:
        self._settings = settings
        self._group = group
        self._member = member
        self._topics = topics
        self._position = position
        self._bases = LogBases(settings)
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        self._opening: dict[TopicPartition, asyncio.Task[None]] = {}
        self._on_assigned: OnAssigned = _ignore
        self._on_revoked: OnRevoked = _ignore_too
        self._stopping = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self.state = NO_BROKER
        self.lives = 0
        """How often it joined the group anew."""

    @property
    def partitions(self) -> list[TopicPartition]:
        """Those that can be read now."""
        return sorted(self._buffers)

    @property
    def held(self) -> int:
        """Frames in memory whose effects are not stored; bounded for each partition."""
        return sum(buffer.frames for buffer in self._buffers.values())

    # For the projections

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        """The next frames of an assigned partition, each given once. Raises GapError when `offset` is not the next."""
        buffer = self._buffers.get(partition)
        return buffer.read(offset, max_frames) if buffer is not None else []

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        """Return once there is a frame to read; never, when the partition is somebody else's now."""
        buffer = self._buffers.get(partition)
        await (buffer.wait() if buffer is not None else asyncio.Future[None]())

    def done(self, partition: TopicPartition, next_offset: int) -> None:
        """The effects of every frame before `next_offset` are stored."""
        if (buffer := self._buffers.get(partition)) is not None:
            buffer.done(next_offset)

    # For the process

    async def run(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        """Be a member of the group until `stop`; join it again after every outage of the brokers.

        on_assigned: called when a partition can be read. on_revoked: awaited before somebody else may have it, or
        this member gets it again; it must stop the reading, and be done within the time of a session.
        Raises GapError when the log does not go on where the database stands, LogError when the brokers refuse.
        """
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        backoff = _FIRST_BACKOFF_S
        try:
            while not self._stopping.is_set():
                lives = self.lives
                try:
                    await self._live()
                except (KafkaError, OSError) as error:
                    await self._raise_if_final(error)
                    self.state = f"{NO_BROKER}: {error!r}"
                    backoff = _FIRST_BACKOFF_S if self.lives > lives else min(2 * backoff, _LAST_BACKOFF_S)
                    await self._pause(backoff)
        except BaseException as error:
            self.state = f"stopped: {str(error) or type(error).__name__}"
            raise
        self.state = "stopped: as asked"

    def stop(self) -> None:
        """Leave the group: `run` revokes all partitions and returns."""
        self._stopping.set()

    async def _live(self) -> None:
        """One life of a faust app. Raises what ended it, unless that was `stop`."""
        self._failed = asyncio.get_running_loop().create_future()
        app = FramesApp(self._settings, self._group, self._member, self._topics, self)
        app.finalize()
        life = asyncio.create_task(_until_it_ends(app))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            ends: list[asyncio.Future[Any]] = [life, stopping, self._failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self.revoked()
            await _end(app, life)
        errors = [_error_of(self._failed), None if self._stopping.is_set() else app.crash_reason, _error_of(life)]
        if found := sorted(filter(None, errors), key=_rank):
            raise _known(found[0])

    async def _raise_if_final(self, error: KafkaError | OSError) -> None:
        if isinstance(error, OffsetOutOfRangeError):
            places = [(self._ours(at), offset) for at, offset in error.args[0].items()]
            lost = [f"{partition} offset {offset + await self._bases.of(partition)}" for partition, offset in places]
            raise GapError(f"the log does not hold {', '.join(lost)} any more") from error
        if isinstance(error, _REFUSED):
            raise LogError(f"the brokers refuse the group {self._group}: {error!r}") from error

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # For faust, see faust_app.Places

    def assigned(self, consumer: Any, partitions: Iterable[TopicPartition]) -> list[asyncio.Task[None]]:
        self.lives += 1
        self.state = RUNNING
        for partition in map(self._ours, partitions):
            task = asyncio.create_task(self._open(consumer, partition))
            task.add_done_callback(self._opened)
            self._opening[partition] = task
        return list(self._opening.values())

    async def revoked(self) -> None:
        opening, self._opening = self._opening, {}
        for task in opening.values():
            task.cancel()
        if opening:
            await asyncio.wait(opening.values())
        await asyncio.gather(*[self._revoke(partition) for partition in self._buffers])

    def place(self, partition: TopicPartition) -> int | None:
        buffer = self._buffers.get(self._ours(partition))
        return None if buffer is None else buffer.next_offset - buffer.base

    async def take(self, event: Any) -> None:
        message = event.message
        buffer = self._buffers.get(self._ours(message))
        if buffer is not None:
            headers = tuple(message.headers) if message.headers else ()
            await buffer.put(message.offset + buffer.base, message.value or b"", event, headers)

    def _ours(self, at: Any) -> TopicPartition:
        return TopicPartition(at.topic[len(self._settings.topic_prefix) :], at.partition)

    async def _open(self, consumer: Any, partition: TopicPartition) -> None:
        """Seek to where the database stands, and begin."""
        offset, base = await self._ask(partition), await self._bases.of(partition)
        tp = TP(*self._settings.on_broker(partition))
        await self._check(consumer, tp, partition, offset, base)
        await consumer.seek_wait({tp: offset - base})
        self._buffers[partition] = PartitionBuffer(partition, offset, base)
        consumer.resume_partitions({tp})
        self._on_assigned(partition)

    def _opened(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, IllegalStateError):
            # IllegalStateError: it is not ours any more, and we shall be told so.
            return
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _ask(self, partition: TopicPartition) -> int:
        backoff = _FIRST_BACKOFF_S
        while True:
            try:
                offset = await self._position(partition)
            except StoreUnavailable:
                self.state = NO_STORE
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _LAST_BACKOFF_S)
            else:
                self.state = RUNNING
                return offset

    async def _check(self, consumer: Any, tp: Any, partition: TopicPartition, offset: int, base: int) -> None:
        """Raise GapError when the log does not hold what comes at `offset`."""
        for _ in range(_LOOKS):
            start = (await consumer.earliest_offsets(tp))[tp] + base
            end = (await consumer.highwaters(tp))[tp] + base
            if start <= offset <= end:
                return
            if offset < start:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        raise GapError(f"{partition}: the database stands at offset {offset}, the log holds {start} up to {end}")

    async def _revoke(self, partition: TopicPartition) -> None:
        try:
            # Who is slower than that is cancelled: somebody else has the partition by then.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SESSION_TIMEOUT_S):
                    await self._on_revoked(partition)
        finally:
            if (buffer := self._buffers.pop(partition, None)) is not None:
                buffer.close()


async def _until_it_ends(app: FramesApp) -> None:
    await app.start()
    await app.wait_until_stopped()


async def _end(app: FramesApp, life: asyncio.Task[None]) -> None:
    """Stop the app, or break it off when that takes too long."""
    life.cancel()
    await asyncio.wait([life])
    stopping = asyncio.create_task(app.stop())
    done, _ = await asyncio.wait([stopping], timeout=_STOP_WITHIN_S)
    if not done or stopping.cancelled() or stopping.exception() is not None:
        app.abandon()
        stopping.cancel()
        await asyncio.wait([stopping])


def _error_of(future: asyncio.Future[None]) -> BaseException | None:
    return future.exception() if future.done() and not future.cancelled() else None


def _rank(error: BaseException) -> int:
    """Of what ended a life, the cause comes first; what faust's own parts say of each other's end comes last."""
    if isinstance(error, ExchangeError | InvariantError):
        return 0
    return 1 if isinstance(error, KafkaError | OSError) else 2


def _known(error: BaseException) -> BaseException:
    """As one of our errors, or one that a broker's absence explains."""
    if isinstance(error, ExchangeError | InvariantError | KafkaError | OSError):
        return error
    failure = LogError(f"the stream ended: {error!r}")
    failure.__cause__ = error
    return failure


def _ignore(partition: TopicPartition) -> None:
    pass


async def _ignore_too(partition: TopicPartition) -> None:
    pass
