"""What the log really holds: records of each source in order, each once, and repeats equal to what they repeat."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from services.domain.messages import decode_frame
from services.domain.topics import TopicPartition
from services.simulation.audit.accounts import Contradiction


class Said(NamedTuple):
    """One record as it stands on the log. offset: of the frame that brought it first; sequence: 0 when it has none."""

    source: str
    offset: int
    sequence: int
    record: Any


class PartitionReader:
    """Follows one partition. raw: the bytes of every sequenced record, by source, to hold repeats against."""

    def __init__(self, partition: TopicPartition) -> None:
        self.partition = partition
        self.offset = 0
        self._raw: dict[str, list[bytes]] = {}

    def read(self, frames: list[bytes]) -> list[list[Said]]:
        """What is new since the last call: per frame, the records that are no repeats."""
        new = [self._take(offset, frames[offset]) for offset in range(self.offset, len(frames))]
        self.offset = len(frames)
        return new

    def _take(self, offset: int, data: bytes) -> list[Said]:
        frame = decode_frame(self.partition.topic, data)
        if frame.first_sequence == 0:
            return [Said(frame.source, offset, 0, record) for record in frame.records]
        raw = self._raw.setdefault(frame.source, [])
        if frame.first_sequence > len(raw) + 1:
            raise Contradiction(
                f"{self.partition} offset {offset}: {frame.source} goes on at sequence {frame.first_sequence} after "
                f"{len(raw)}"
            )
        fresh = []
        for sequence, record in enumerate(frame.records, frame.first_sequence):
            data = msgspec.msgpack.encode(record)
            if sequence > len(raw):
                raw.append(data)
                fresh.append(Said(frame.source, offset, sequence, record))
            elif raw[sequence - 1] != data:
                raise Contradiction(
                    f"{self.partition} offset {offset}: {frame.source} says sequence {sequence} again, differently"
                )
        return fresh


class Expectation:
    """What one source must say to one partition, and what it has said; held against each other as both come.

    equal: whether what was said is what was expected; by default, equality.
    """

    def __init__(self, name: str, equal: Callable[[Any, Said], bool] | None = None) -> None:
        self._name = name
        self._equal = equal or (lambda expected, said: bool(expected == said.record))
        self._expected: deque[Any] = deque()
        self._said: deque[Said] = deque()

    def expect(self, what: Any) -> None:
        self._expected.append(what)

    def say(self, said: Said) -> None:
        self._said.append(said)

    def compare(self) -> None:
        """Raises Contradiction unless everything said so far was caused, in this order, and is right."""
        while self._said:
            said = self._said.popleft()
            if not self._expected:
                raise Contradiction(f"{self._name}: sequence {said.sequence} has no cause: {said.record}")
            expected = self._expected.popleft()
            if not self._equal(expected, said):
                raise Contradiction(
                    f"{self._name}: sequence {said.sequence} at offset {said.offset} is {said.record}, "
                    f"expected {expected}"
                )

    def finish(self) -> None:
        """Raises Contradiction when something is still unsaid."""
        if self._expected:
            raise Contradiction(
                f"{self._name}: {len(self._expected)} records were never said, first {self._expected[0]}"
            )
