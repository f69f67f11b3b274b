"""The newest frames of every partition, in memory: what readers in the same process ask for nearly always."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from services.adapters.ports import StoredFrame
from services.domain.topics import TopicPartition

_FRAME_OVERHEAD_BYTES: Final = 200
"""What a frame costs in memory beyond its data."""


class LogTail:
    """Bounded in bytes over all partitions, oldest out first.

    One thread adds, any thread reads, without a lock: a reader takes a slice in one step and checks afterwards that
    it got what it asked for, because a lock would make the event loop wait for a thread that lost the interpreter.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._frames: dict[TopicPartition, list[StoredFrame]] = {}
        self._order: deque[tuple[TopicPartition, int, int]] = deque()
        """(partition, frames, bytes) of everything added, oldest first."""

    def add(self, partition: TopicPartition, frames: list[StoredFrame]) -> None:
        """Add frames that follow the ones added before."""
        self._frames.setdefault(partition, []).extend(frames)
        size = _size(frames)
        self._order.append((partition, len(frames), size))
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._shrink()

    def read(self, partition: TopicPartition, offset: int, max_frames: int) -> list[StoredFrame]:
        """Up to `max_frames` frames from `offset` on; empty when the first is not (or no longer) here."""
        kept = self._frames.get(partition)
        if not kept:
            return []
        try:
            at = offset - kept[0].offset
        except IndexError:
            return []
        frames = kept[at : at + max_frames] if at >= 0 else []
        return frames if frames and frames[0].offset == offset else []

    def _shrink(self) -> None:
        # Cutting a list's front moves the rest of it, so an eighth goes at once.
        dropped: dict[TopicPartition, int] = {}
        while self._order and self._bytes > self._max_bytes - self._max_bytes // 8:
            partition, count, size = self._order.popleft()
            dropped[partition] = dropped.get(partition, 0) + count
            self._bytes -= size
        for partition, count in dropped.items():
            del self._frames[partition][:count]


def _size(frames: Iterable[StoredFrame]) -> int:
    return sum(len(frame.data) + _FRAME_OVERHEAD_BYTES + _size_of_headers(frame) for frame in frames)


def _size_of_headers(frame: StoredFrame) -> int:
    return sum([_FRAME_OVERHEAD_BYTES + len(value) for _, value in frame.headers]) if frame.headers else 0
