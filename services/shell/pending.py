"""What a core said and the log does not hold yet."""

from collections import deque
from typing import Any, Final, NamedTuple

from services.domain.core import Output
from services.domain.topics import TopicPartition

MAX_PENDING_RECORDS: Final = 50_000
"""A standby reads no further while it keeps that many: some ten megabytes."""


class _Entry(NamedTuple):
    """Records of one batch. last: the sequence of the last one. since: when they were said, by the loop's clock."""

    first: int
    last: int
    records: list[Any]
    since: float


class Pending:
    """Outputs by partition, oldest first."""

    def __init__(self, max_records: int) -> None:
        self._max_records = max_records
        self._entries: dict[TopicPartition, deque[_Entry]] = {}
        self._records = 0

    @property
    def is_empty(self) -> bool:
        return self._records == 0

    @property
    def is_full(self) -> bool:
        return self._records >= self._max_records

    @property
    def oldest(self) -> float | None:
        """Since when the oldest output waits; None when there is none."""
        return min([entries[0].since for entries in self._entries.values() if entries], default=None)

    def add(self, output: Output, now: float) -> None:
        partition, first, records = output
        entry = _Entry(first, first + len(records) - 1, records, now)
        self._entries.setdefault(partition, deque()).append(entry)
        self._records += len(records)

    def drop(self, partition: TopicPartition, last: int) -> None:
        """Forget what the log holds: everything up to the sequence `last`. A batch goes when it is there whole."""
        entries = self._entries.get(partition)
        while entries and entries[0].last <= last:
            self._records -= len(entries.popleft().records)

    def take(self) -> list[Output]:
        """All of it, joined by partition; nothing is left here."""
        outputs = []
        for partition, entries in self._entries.items():
            if entries:
                records = [record for entry in entries for record in entry.records]
                outputs.append(Output(partition, entries[0].first, records))
        self._entries, self._records = {}, 0
        return outputs
