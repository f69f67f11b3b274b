"""Where a set of logs that were captured one after the other may be cut, so that nothing in them lacks its cause. Pure.

Partitions are captured at different moments: one may hold a report whose order, on another, came behind what was
captured there. A core restored on that would be told of what nobody said. `causal_cut` finds the longest prefixes that
hold together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from services.adapters.ports import StoredFrame
from services.domain.core import Core
from services.domain.errors import GapError, InvariantError
from services.domain.messages import decode_frame, decode_header
from services.domain.topics import TopicPartition


class Captured(NamedTuple):
    """What was captured of one partition. start: the offset of its first frame, where there is one."""

    start: int
    frames: Iterable[StoredFrame]
    """In order, without holes."""


class Cut(NamedTuple):
    """ends: per partition the offset of the first frame that is left out, or of the next one when none is."""

    ends: dict[TopicPartition, int]
    dropped: int
    """Frames that are left out."""


def causal_cut(cores: Sequence[Core], tails: Mapping[TopicPartition, Captured]) -> Cut:
    """Fold `cores` as far as the tails hold together, and say where to cut each partition.

    cores: all of them, restored from their snapshots; afterwards each stands where its input is cut. tails: of every
    partition what was captured, from the core's position (or earlier) on; each is walked once, a frame at a time.

    A frame counts when all before it on its partition do, and when it is a gateway's (who answers to nobody) or its
    source, folded so far, has said all of it. Each core takes the next frame of its input that counts, again and again,
    until none finds one: the least fixpoint, which does not depend on who goes first, because a fold only adds to what
    was said. Output partitions, which no core reads, are cut to what was said.

    Why the result holds together. (1) Closed: every sequenced frame that is kept was said by its source, folded over
    what is kept of that source's input; so to fold the kept logs anew takes every core to the same state, and what the
    logs do not hold of its outputs it says again by itself. (2) Whole: let t be the moment at which the first end was
    captured, all snapshots being taken before. Everything appended before t is kept. By induction on the time of
    appending: all before such a frame on its partition was appended before t, and so is kept. If a core said it, then
    it had applied frames of its input that were appended earlier still; those were captured, because their partition's
    end was captured after t, and are kept, so that the fold says the frame. (3) A row in the store stems from a frame
    that was appended before it was read, and so before t, and so is kept.

    Raises InvariantError when a snapshot has heard what its source does not come to say: the snapshots were not taken
    before the ends. Raises GapError when a tail has a hole, or begins behind the core that needs it.
    """
    walks = {partition: _Walk(partition, captured) for partition, captured in tails.items()}
    inputs = {core.input for core in cores}
    said = {core.source: core.said for core in cores}
    for core in cores:
        walks[core.input].go_to(core.next_offset, core.source)
    while any(_fold(core, walks[core.input], said) for core in cores):
        pass
    for core in cores:
        _check_heard(core, said)
    for partition in walks.keys() - inputs:
        while _counts(walks[partition], said):
            walks[partition].advance()
    return Cut(
        {partition: walk.offset for partition, walk in walks.items()},
        sum(walk.count_rest() for walk in walks.values()),
    )


Said = Mapping[str, dict[TopicPartition, int]]
"""By source and partition, the last sequence."""


def _fold(core: Core, walk: "_Walk", said: Said) -> bool:
    """Have a core apply all that counts by now. Returns whether there was anything."""
    before = core.next_offset
    while _counts(walk, said):
        for output in core.apply(decode_frame(core.input.topic, walk.data), core.next_offset):
            said[core.source][output.partition] = output.first_sequence + len(output.records) - 1
        walk.advance()
    return core.next_offset > before


def _counts(walk: "_Walk", said: Said) -> bool:
    frame = walk.head
    if frame is None or frame.first_sequence == 0:
        return frame is not None
    if frame.source not in said:
        raise InvariantError(f"{walk.partition}: source {frame.source} is none of the cores in this backup")
    return frame.first_sequence + len(frame.records) - 1 <= said[frame.source].get(walk.partition, 0)


def _check_heard(core: Core, said: Said) -> None:
    for source, last in core.heard.items():
        if source not in said:
            raise InvariantError(f"{core.source} has heard {source}, which is none of the cores in this backup")
        if last > said[source].get(core.input, 0):
            raise InvariantError(
                f"{core.source} has heard {source} up to sequence {last}, which by this backup said only "
                f"{said[source].get(core.input, 0)}: the snapshots were not taken before the ends of the log"
            )


class _Walk:
    """The frames of one partition, one at a time. head: the next one's header, None at the end. offset: its place."""

    def __init__(self, partition: TopicPartition, captured: Captured) -> None:
        self.partition = partition
        self._frames: Iterator[StoredFrame] = iter(captured.frames)
        self.offset = captured.start
        self._take()

    def go_to(self, offset: int, source: str) -> None:
        """Go on to where a core stands."""
        if offset < self.offset:
            raise GapError(
                f"{source}: needs {self.partition} from offset {offset}, the backup has it from {self.offset}"
            )
        while self.offset < offset and self.head is not None:
            self.advance()
        if self.offset < offset:
            raise GapError(f"{source}: has applied {self.partition} up to {offset}, the backup ends at {self.offset}")

    def advance(self) -> None:
        """Go behind the head."""
        self.offset += 1
        self._take()

    def count_rest(self) -> int:
        """How many frames there are from the head on."""
        return 0 if self.head is None else 1 + sum(1 for _ in self._frames)

    def _take(self) -> None:
        stored = next(self._frames, None)
        if stored is None:
            self.head = None
            return
        if stored.offset != self.offset:
            raise GapError(f"{self.partition}: expected offset {self.offset}, the backup has {stored.offset}")
        self.head, self.data = decode_header(stored.data), stored.data
