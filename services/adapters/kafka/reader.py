"""The readers of one partition on the Kafka protocol, in one process.

One follower fetches what is new, once for all who wait, and keeps the newest frames in memory. Who is far behind reads
with a cursor of its own until it meets those.
"""

import asyncio
from typing import Final

from aiokafka.errors import TopicAuthorizationFailedError

from services.adapters.kafka.cursor import CLIENT_ERRORS, BaseOf, Bounds, BrokersAway, Cursor, OutOfRange
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.log_tail import LogTail
from services.adapters.log_waiting import own_copy
from services.adapters.ports import StoredFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

_FOLLOW_FRAMES: Final = 1_000
"""Taken from the client at once; and who waits further ahead of the follower than that makes it jump there."""
_SILENCE_S: Final = 5.0
"""After that long without a frame the follower makes sure that there is none."""
_IDLE_CURSORS: Final = 2
_RETRY_S: Final = 0.2


class _Stalled(Exception):
    """The broker has frames, and the consumer does not get them."""


class PartitionReader:
    """Reads, and waits for, the frames of one partition."""

    def __init__(self, settings: KafkaSettings, partition: TopicPartition, bounds: Bounds, base_of: BaseOf) -> None:
        self._settings = settings
        self._partition = partition
        self._bounds = bounds
        self._base_of = base_of
        self._known_end = 0
        self._cursors: list[Cursor] = []
        """Those that nobody uses now, the last used one last."""
        self._tail = LogTail(settings.tail_bytes)
        self._followed = -1
        """Where the follower stands: every frame before it can be read. -1: nowhere."""
        self._follower: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        """Set while somebody waits."""
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    async def read(self, offset: int, max_frames: int) -> list[StoredFrame]:
        if frames := self._tail.read(self._partition, offset, max_frames):
            return frames
        if not await self._is_there(offset):
            return []
        if self._followed >= 0 and 0 <= offset - self._followed < _FOLLOW_FRAMES:
            await self._follow_to(offset)
            if frames := self._tail.read(self._partition, offset, max_frames):
                return frames
        return await self._fetch(offset, max_frames)

    async def wait(self, offset: int) -> None:
        if offset < self._followed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (offset, waiter)
        self._waiters.append(entry)
        self._wanted.set()
        if self._follower is None:
            self._follower = asyncio.get_running_loop().create_task(self._follow())
        try:
            await waiter
        finally:
            if entry in self._waiters:
                self._waiters.remove(entry)

    async def end(self) -> int:
        end = await self._bounds.end(self._partition)
        self._known_end = max(self._known_end, end)
        return end

    async def close(self) -> None:
        """Let go of everything; who still waits gets LogError."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        self._fail_waiters(LogError("the log was closed"))
        cursors, self._cursors = self._cursors, []
        for cursor in cursors:
            await cursor.close()

    async def _is_there(self, offset: int) -> bool:
        """Whether there is a frame. Raises LogError when the next one does not go to `offset` either."""
        if 0 <= offset < self._known_end:
            return True
        end = await self.end()
        if not 0 <= offset <= end:
            raise await self._out_of_range(offset)
        return offset < end

    async def _follow_to(self, offset: int) -> None:
        """Let the follower fetch a frame that is there. Raises LogError when it cannot in time."""
        timeout_s = self._settings.read_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self.wait(offset)
        except TimeoutError as error:
            raise LogError(f"{self._partition}: reading from offset {offset} failed for {timeout_s:g} s") from error

    async def _fetch(self, offset: int, max_frames: int) -> list[StoredFrame]:
        """Frames from `offset` on, with a cursor of our own. Raises LogError when none comes in time."""
        timeout_s = self._settings.read_timeout_s
        cursor = self._take_cursor(offset)
        try:
            async with asyncio.timeout(timeout_s):
                while not (frames := await cursor.fetch(offset, max_frames, timeout_s)):
                    pass
        except OutOfRange as error:
            await cursor.close()
            raise await self._out_of_range(offset) from error
        except CLIENT_ERRORS as error:
            await cursor.close()
            raise LogError(f"{self._partition}: reading from offset {offset} failed: {error!r}") from error
        except BaseException:
            await cursor.close()
            raise
        self._known_end = max(self._known_end, cursor.position)
        self._cursors.append(cursor)
        if len(self._cursors) > _IDLE_CURSORS:
            await self._cursors.pop(0).close()
        return frames

    def _take_cursor(self, offset: int) -> Cursor:
        """The one that stands there, else the one that was not used for the longest time, else a new one."""
        for cursor in self._cursors:
            if cursor.position == offset:
                self._cursors.remove(cursor)
                return cursor
        if len(self._cursors) == _IDLE_CURSORS:
            return self._cursors.pop(0)
        return Cursor(self._settings, self._partition, self._base_of)

    async def _out_of_range(self, offset: int) -> LogError:
        start, end = await self._bounds.start(self._partition), await self._bounds.end(self._partition)
        return LogError(f"{self._partition}: offset {offset} is not on the log, which holds {start} up to {end}")

    # The follower

    async def _follow(self) -> None:
        """Fetch as long as somebody waits; whatever happens to the brokers, until it is cancelled."""
        cursor = Cursor(self._settings, self._partition, self._base_of)
        try:
            while True:
                await self._wanted.wait()
                try:
                    await self._follow_once(cursor)
                except Exception as error:  # Whatever it was: without a follower they would wait for ever.
                    await cursor.close()
                    await self._after(error)
        finally:
            await cursor.close()

    async def _after(self, error: Exception) -> None:
        """Pause when trying again may help, else tell those who wait."""
        if isinstance(error, OutOfRange):
            try:
                error = await self._out_of_range(self._followed)
            except LogError as unknown:
                error = unknown
        refused = isinstance(error, TopicAuthorizationFailedError)
        if isinstance(error, (*CLIENT_ERRORS, _Stalled, BrokersAway)) and not refused:
            await asyncio.sleep(_RETRY_S)
        else:
            self._lose(error if isinstance(error, LogError) else LogError(f"{self._partition}: {error!r}"))

    async def _follow_once(self, cursor: Cursor) -> None:
        offsets = [offset for offset, waiter in self._waiters if not waiter.done()]
        if not offsets:
            self._wanted.clear()
            return
        wanted = min(offsets)
        if self._followed < 0 or wanted - self._followed >= _FOLLOW_FRAMES:
            self._tail = LogTail(self._settings.tail_bytes)
            self._followed = min(wanted, await self.end())
        frames = await cursor.fetch(self._followed, _FOLLOW_FRAMES, min(_SILENCE_S, self._settings.read_timeout_s))
        if frames:
            self._arrived(frames)
        elif (end := await self.end()) > self._followed:
            raise _Stalled
        elif end < self._followed:
            raise OutOfRange

    def _arrived(self, frames: list[StoredFrame]) -> None:
        self._tail.add(self._partition, frames)
        self._followed = frames[-1].offset + 1
        self._known_end = max(self._known_end, self._followed)
        for offset, waiter in self._waiters:
            if offset < self._followed and not waiter.done():
                waiter.set_result(None)

    def _lose(self, error: LogError) -> None:
        """The place of the follower is no more: tell who waits, and find another place for the next one."""
        self._followed = -1
        self._known_end = 0
        self._tail = LogTail(self._settings.tail_bytes)
        self._fail_waiters(error)

    def _fail_waiters(self, error: LogError) -> None:
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(own_copy(error))
