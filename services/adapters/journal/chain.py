"""Which files of a journal belong together: the segments behind a snapshot, each continuing the one before. Pure."""

from collections.abc import Collection, Iterable
from itertools import count

from services.adapters.journal.format import (
    FIRST_HASH,
    Segment,
    Snapshot,
    next_hash,
    read_records,
    segment_name,
    segment_offset,
)


class Chain:
    """Follows the segments behind a snapshot (or from offset 0 on), and stands at their end."""

    def __init__(self, source: str, snapshot: Snapshot | None) -> None:
        self._source = source
        self._at_snapshot = True
        self.next_offset = 0 if snapshot is None else snapshot.next_offset
        self.running = FIRST_HASH if snapshot is None else snapshot.hash_before

    def follow(self, data: bytes, segment: Segment) -> str | None:
        """Go to the end of a segment, the next of `segments_from`. Returns why it does not continue, and stays then."""
        header = segment.header
        assert header is not None
        next_offset, running = self.next_offset, self.running
        if self._at_snapshot and header.first_offset < next_offset:
            # The snapshot lies within (or behind) this segment, so they meet at the snapshot's offset.
            if segment.next_offset >= next_offset and _hash_before(data, segment, next_offset) != running:
                return f"its running hash differs from the snapshot's at offset {next_offset}"
            next_offset, running = header.first_offset, header.hash_before
        if header.source != self._source:
            return f"belongs to {header.source}, not to {self._source}"
        if header.first_offset != next_offset:
            return f"starts at offset {header.first_offset} where {next_offset} should follow"
        if header.hash_before != running:
            return "its running hash does not continue the segment or snapshot before"
        self._at_snapshot = False
        if segment.next_offset >= self.next_offset:
            self.next_offset, self.running = segment.next_offset, segment.hash_after
        return None


def segments_from(names: Iterable[str], next_offset: int) -> list[str]:
    """Names of the segments that hold what comes after a snapshot at `next_offset`, in order.

    The first one may start earlier. Without one that starts there or earlier, it is the oldest one there is.
    """
    offsets = sorted(offset for name in names if (offset := segment_offset(name)) is not None)
    first = max((offset for offset in offsets if offset <= next_offset), default=0)
    return [segment_name(offset) for offset in offsets if offset >= first]


def broken_name(name: str, names: Collection[str]) -> str:
    """A free name to set a broken file aside under."""
    return next(free for n in count(1) if (free := f"{name}.broken-{n}") not in names)


def _hash_before(data: bytes, segment: Segment, offset: int) -> bytes:
    """The running hash before `offset`, which is within or right behind this segment's valid records."""
    assert segment.header is not None
    running = segment.header.hash_before
    for frame in read_records(data, segment):
        if frame.offset == offset:
            break
        running = next_hash(running, frame.offset, frame.data)
    return running
