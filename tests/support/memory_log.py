"""A log in memory that a test can hold up or break. Durable as long as the object lives."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from services.adapters.ports import Append, StoredFrame
from services.domain.errors import LogError
from services.domain.messages import Frame, decode_frame, encode_frame
from services.domain.topics import TopicPartition


class MemoryLog:
    """`services.adapters.ports.Log` on lists.

    open: cleared to hold up every append until it is set again. failures: errors for the next appends, each raised
    after the frames were written (fail_written) or instead of it.
    """

    def __init__(self) -> None:
        self._frames: dict[TopicPartition, list[Append]] = defaultdict(list)
        self._changed = asyncio.Condition()
        self.open = asyncio.Event()
        self.open.set()
        self.failures: list[LogError] = []
        self.read_failures: list[LogError] = []
        self.fail_written = False
        self.appends = 0

    async def append(self, frames: Sequence[Append]) -> list[int]:
        self.appends += 1
        await self.open.wait()
        if self.failures and not self.fail_written:
            raise self.failures.pop(0)
        offsets = []
        for frame in frames:
            self._frames[frame.partition].append(frame)
            offsets.append(len(self._frames[frame.partition]) - 1)
        async with self._changed:
            self._changed.notify_all()
        if self.failures:
            raise self.failures.pop(0)
        return offsets

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        if self.read_failures:
            raise self.read_failures.pop(0)
        frames = self._frames[partition]
        if not 0 <= offset <= len(frames):
            raise LogError(f"{partition}: no offset {offset}")
        part = frames[offset : offset + max_frames]
        return [StoredFrame(offset + n, frame.data, frame.headers) for n, frame in enumerate(part)]

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._frames[partition]) > offset)

    async def start(self, partition: TopicPartition) -> int:
        return 0

    async def end(self, partition: TopicPartition) -> int:
        return len(self._frames[partition])

    async def close(self) -> None:
        """Nothing to let go of."""

    def decoded(self, partition: TopicPartition) -> list[Frame[object]]:
        """Every frame of a partition, opened."""
        return [decode_frame(partition.topic, frame.data) for frame in self._frames[partition]]

    async def say(self, partition: TopicPartition, source: str, first_sequence: int, records: list[object]) -> None:
        """Append one frame of these records."""
        await self.append([Append(partition, encode_frame(source, first_sequence, records))])
