"""What a core is found to have said, on one of its output partitions."""

from collections import deque

import msgspec

from services.adapters.ports import Log
from services.domain.messages import Frame, decode_header
from services.domain.topics import TopicPartition


class Difference(Exception):
    """The log does not hold what it should; the message says where. Ends the verification of one core."""


class SaidRecords:
    """The records of one source on one partition, in order of sequence, repeats dropped.

    last: what was said up to there is not looked at. Where the log no longer starts at 0, the first records behind
    that may be gone.
    """

    def __init__(self, log: Log, partition: TopicPartition, source: str, last: int = 0) -> None:
        self._log = log
        self._partition = partition
        self._source = source
        self._offset: int | None = None
        self._starts_late = False
        self._pending: deque[msgspec.Raw] = deque()
        self.last = last
        """The last sequence that was found on the log."""

    async def take(self, first: int, count: int) -> tuple[int, list[msgspec.Raw]]:
        """The records from sequence `first` on, `count` of them or as many as the log has, and how many of the first
        ones are gone. Ask for each once, in order."""
        while self.last < first + count - 1 and await self._read_on():
            pass
        while self._pending and self.last - len(self._pending) + 1 < first:
            # They came to the log after they were asked for.
            self._pending.popleft()
        gone = max(0, min(count, self.last - len(self._pending) + 1 - first))
        kept = min(count - gone, len(self._pending))
        return gone, [self._pending.popleft() for _ in range(kept)]

    async def rest(self) -> int:
        """How many more there are."""
        while await self._read_on():
            pass
        return len(self._pending)

    async def _read_on(self) -> bool:
        if self._offset is None:
            self._offset = await self._log.start(self._partition)
            self._starts_late = self._offset > 0
        frames = await self._log.read(self._partition, self._offset)
        for stored in frames:
            header = decode_header(stored.data)
            if header.source == self._source:
                self._add(header, stored.offset)
        if frames:
            self._offset = frames[-1].offset + 1
        return bool(frames)

    def _add(self, header: Frame[msgspec.Raw], offset: int) -> None:
        if header.first_sequence > self.last + 1 and not self._starts_late:
            raise Difference(
                f"{self._partition} offset {offset}: {self._source} goes on at sequence {header.first_sequence}, "
                f"but {self.last + 1} is missing"
            )
        self._starts_late = False
        self.last = max(self.last, header.first_sequence - 1)
        fresh = header.records[self.last + 1 - header.first_sequence :]
        self._pending.extend(fresh)
        self.last += len(fresh)
