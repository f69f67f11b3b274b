"""What a core finds of its own on the partitions that it speaks to, when it starts."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from services.adapters.ports import Log
from services.domain.errors import InvariantError, JournalError
from services.domain.messages import decode_header
from services.domain.topics import TopicPartition


class Said(NamedTuple):
    """The last sequence of a source on a partition (0: none known), and the first offset not looked at."""

    sequence: int
    next_offset: int


async def last_said(log: Log, partition: TopicPartition, source: str, then: Said) -> Said:
    """Look for a source's last words behind what was known when the snapshot was taken.

    Raises InvariantError when the partition ends before that.
    """
    last, offset = then
    log_end = await log.end(partition)
    if offset > log_end:
        raise InvariantError(
            f"{source}: {partition} ended at offset {offset} when the snapshot was taken, but ends at "
            f"{log_end} now: this is not the log that it followed"
        )
    offset = max(offset, await log.start(partition))
    while frames := await log.read(partition, offset):
        for stored in frames:
            header = decode_header(stored.data)
            if header.source == source:
                last = max(last, header.first_sequence + len(header.records) - 1)
        offset = frames[-1].offset + 1
        await asyncio.sleep(0)
    return Said(last, offset)


def require_same_outputs(source: str, then: Collection[TopicPartition], now: Collection[TopicPartition]) -> None:
    """Raises JournalError unless the process that took the snapshot spoke to the same partitions as this one does."""
    if set(then) != set(now):
        raise JournalError(
            f"{source}: the snapshot was made for output to {_names(then)}, this process is to write to {_names(now)}: "
            f"the numbers of shards must not change"
        )


def _names(partitions: Collection[TopicPartition]) -> str:
    return ", ".join(map(str, sorted(partitions)))
