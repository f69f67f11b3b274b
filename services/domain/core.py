"""What a core is: a pure fold over one totally ordered log. ubscore and the matcher are the two there are."""

from typing import Any, NamedTuple, Protocol, Self

from services.domain.errors import GapError
from services.domain.messages import Frame
from services.domain.topics import TopicPartition


class Output(NamedTuple):
    """Records that a core says to one partition; records[0] has `first_sequence`, the next ones count up by one."""

    partition: TopicPartition
    first_sequence: int
    records: list[Any]


class Core(Protocol):
    """A deterministic state machine. No I/O, clock, randomness, or iteration over a set.

    The same frames in the same order give the same outputs and the same digest, in any process.
    """

    @property
    def source(self) -> str:
        """The name on its output frames, such as ubscore-0."""

    @property
    def layout(self) -> str:
        """Which shard of how many it is, for a person; a snapshot is only for a core of the same layout."""

    @property
    def input(self) -> TopicPartition:
        """The one partition that it folds."""

    @property
    def next_offset(self) -> int:
        """The offset of the first frame that it has not applied."""

    @property
    def said(self) -> dict[TopicPartition, int]:
        """The last sequence that it said to each output partition; absent when it said nothing."""

    @property
    def heard(self) -> dict[str, int]:
        """The last sequence that it applied of every sequenced source; absent when there was none."""

    def apply(self, frame: Frame[Any], offset: int) -> list[Output]:
        """Apply the frame at `offset` and return what to say, at most one Output a partition.

        Records that this state has seen before (by source and sequence) have no effect. Raises GapError when
        `offset` is not `next_offset` or a source's sequence has a hole.
        """

    def snapshot(self) -> bytes:
        """The whole state, canonical: equal states give equal bytes."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The core that `snapshot` wrote. Raises msgspec.DecodeError when `data` is no snapshot."""

    def digest(self) -> bytes:
        """blake2b-256 of `snapshot()`."""


class SourceSequences:
    """The last sequence of every sequenced source of one input; part of its reader's state.

    last: source name -> sequence.
    """

    __slots__ = ("last",)

    def __init__(self, last: dict[str, int] | None = None) -> None:
        self.last = last or {}

    def repeats(self, source: str, first_sequence: int, count: int) -> int:
        """How many of the leading records were seen before; remembers the rest as seen.

        Raises GapError, and remembers nothing, when records between the last one and these are missing.
        """
        if first_sequence == 0:
            return 0
        expected = self.last.get(source, 0) + 1
        if first_sequence > expected:
            raise GapError(f"source {source}: expected sequence {expected}, got {first_sequence}")
        seen = min(expected - first_sequence, count)
        self.last[source] = max(expected - 1, first_sequence + count - 1)
        return seen
