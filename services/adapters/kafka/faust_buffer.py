"""What came from one partition's stream and is not stored yet: bounded, in order, without a hole."""

import asyncio
from collections import deque
from typing import Any, Final, NamedTuple

from services.adapters.ports import Headers, StoredFrame
from services.domain.errors import GapError
from services.domain.topics import TopicPartition

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_FRAMES: Final = 20_000
"""More than two full batches of a projection with one record a frame: one that is written, one that is folded."""


class _Held(NamedTuple):
    offset: int
    size: int
    event: Any
    """faust's, to be acknowledged."""


class PartitionBuffer:
    """Filled by the stream, read once by a projection, emptied when the store has the effects.

    next_offset: the only frame that it takes next. Whoever fills it waits while it is full, so that a store that does
    not answer stops the stream instead of filling the memory. base: what an offset of the broker lacks to be ours.
    """

    def __init__(
        self,
        partition: TopicPartition,
        next_offset: int,
        base: int = 0,
        *,
        max_bytes: int = MAX_BYTES,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        self.next_offset = next_offset
        self.base = base
        self.closed = False
        self._partition = partition
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._bytes = 0
        self._held: deque[_Held] = deque()
        """Not stored yet, read or not."""
        self._unread: deque[StoredFrame] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def frames(self) -> int:
        """Frames that are held."""
        return len(self._held)

    async def put(self, offset: int, data: bytes, event: Any, headers: Headers = ()) -> None:
        """Take the next frame, then wait for room. What came before is acknowledged only. Raises GapError on a hole."""
        if self.closed:
            return
        if offset > self.next_offset:
            raise GapError(f"{self._partition}: expected offset {self.next_offset}, the stream goes on at {offset}")
        if offset < self.next_offset:
            event.ack()
            return
        self.next_offset += 1
        self._held.append(_Held(offset, len(data), event))
        self._unread.append(StoredFrame(offset, data, headers))
        self._bytes += len(data)
        self._changed.set()
        if self._is_full():
            self._room.clear()
            await self._room.wait()

    def read(self, offset: int, max_frames: int) -> list[StoredFrame]:
        """Frames from `offset` on, which nobody gets again; empty when there is none.

        Raises GapError when `offset` was read before, or is not the stream's.
        """
        unread = self._unread
        if self.closed:
            return []
        while unread and unread[0].offset < offset:
            unread.popleft()
        if (first := unread[0].offset if unread else self.next_offset) > offset:
            raise GapError(f"{self._partition}: expected offset {offset}, the stream goes on at {first}")
        frames = [unread.popleft() for _ in range(min(max_frames, len(unread)))]
        if not unread:
            self._changed.clear()
        return frames

    async def wait(self) -> None:
        """Return once there is something to read; never, when it is closed before."""
        await self._changed.wait()

    def done(self, next_offset: int) -> None:
        """Acknowledge every frame before `next_offset`: its effects are stored."""
        held = self._held
        while held and held[0].offset < next_offset:
            _, size, event = held.popleft()
            self._bytes -= size
            event.ack()
        if not self._is_full():
            self._room.set()

    def close(self) -> None:
        """The partition is somebody else's now: forget what is here, unacknowledged, and let go who waits for room."""
        self.closed = True
        self._held.clear()
        self._unread.clear()
        self._changed.clear()
        self._room.set()

    def _is_full(self) -> bool:
        return self._bytes >= self._max_bytes or len(self._held) >= self._max_frames
