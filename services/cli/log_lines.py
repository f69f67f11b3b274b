"""Records of the log as a person or a program reads them: by field name, with the words instead of the numbers."""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec

from services.adapters.ports import StoredFrame
from services.domain.messages import MatchResult, decode_frame
from services.domain.topics import TopicPartition


class RecordLine(msgspec.Struct):
    """One record and where it is. sequence: of its source on this partition; 0 when the source keeps none."""

    topic: str
    partition: int
    offset: int
    source: str
    sequence: int
    type: str
    record: dict[str, Any]


def record_lines(partition: TopicPartition, stored: StoredFrame) -> Iterator[RecordLine]:
    """The records of a frame, in order. Raises LogError when it is no frame."""
    frame = decode_frame(partition.topic, stored.data)
    for index, record in enumerate(frame.records):
        sequence = frame.first_sequence + index if frame.first_sequence else 0
        name = type(record).__name__
        yield RecordLine(
            partition.topic, partition.partition, stored.offset, frame.source, sequence, name, view(record)
        )


def view(value: Any) -> Any:
    """A message as plain data: members by name, words of enums, bytes in hex, a MatchResult's body opened."""
    if isinstance(value, MatchResult):
        return {**_members(value), "body": view(value.decode_body())}
    if isinstance(value, msgspec.Struct):
        return _members(value)
    if isinstance(value, list | tuple):
        return [view(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    return value.hex() if isinstance(value, bytes) else value


def _members(value: msgspec.Struct) -> dict[str, Any]:
    return {name: view(getattr(value, name)) for name in value.__struct_fields__ if name != "body"}
