"""What makes a core's process a standby: it knows what the log lacks of the core's outputs, and speaks when it must.

A standby folds as the active does, and keeps what it would say until it sees it on its output partitions. What stays
away for `takeover_after_s` is the evidence that the active is gone: then the standby says it, and speaks from there on.
Frames of its own source that it did not write show that the active is back: then it keeps silent again. There is no
lease and no election, because two that speak at once do no harm: they say the same, and readers drop the second copy.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from services.adapters.ports import Append, Log, StoredFrame
from services.domain.core import Output
from services.domain.messages import decode_header
from services.domain.topics import TopicPartition
from services.shell.pending import Pending
from services.shell.progress import Progress

Role = Literal["active", "standby"]

ACTIVE: Final = "active"
STANDBY: Final = "standby"
HEAR_SECONDS: Final = 5.0
"""For reading all that the output partitions hold; then the shell looks whether it should stop, and tries again."""


class Heard(NamedTuple):
    """A frame of our source on an output partition. last: the sequence of its last record."""

    partition: TopicPartition
    offset: int
    last: int


class Standby:
    """Follows the output partitions of one core, and decides who speaks.

    published: the last sequence of the source known to be on each output partition; shared with the shell, which keeps
    it too. on_change: called after every look at an output partition, and when that fails (see `check`).

    The clock is the event loop's: nobody sets it, and nobody else needs to agree with it. The silence that counts
    begins when the oldest output that is missing was folded here, or when the active said something new, whichever is
    later. So neither a standby that is behind nor an active that is slow looks like a dead one.
    """

    def __init__(
        self,
        log: Log,
        source: str,
        published: dict[TopicPartition, int],
        takeover_after_s: float,
        max_pending_records: int,
        on_change: Callable[[], None],
    ) -> None:
        self.role: Role = STANDBY
        self.takeovers = 0
        """How often it began to speak."""
        self._log = log
        self._source = source
        self._published = published
        self._takeover_after_s = takeover_after_s
        self._on_change = on_change
        self._pending = Pending(max_pending_records)
        self._read: dict[TopicPartition, Progress] = {}
        """Which frame of each output partition comes next."""
        self._heard_new_at = 0.0
        self._taken_over_at: dict[TopicPartition, int] = {}
        """The last sequence of each partition when it began to speak: who goes beyond that is alive."""
        self._own: dict[TopicPartition, set[int]] = {}
        """Offsets of frames that it wrote and did not see yet."""
        self._appending = False
        self._heard_meanwhile: list[Heard] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: Exception | None = None

    def begin_at(self, partition: TopicPartition, offset: int) -> None:
        """Follow an output partition from `offset` on; everything before it was looked at."""
        self._read[partition] = Progress()
        self._read[partition].advance(offset)
        self._own[partition] = set()

    # What the shell asks

    def heard_until(self, partition: TopicPartition) -> int:
        """The offset up to which an output partition was read."""
        return self._read[partition].position

    @property
    def speaks(self) -> bool:
        return self.role == ACTIVE

    @property
    def all_said(self) -> bool:
        """Whether the log holds everything that the core has said."""
        return self._pending.is_empty

    @property
    def is_full(self) -> bool:
        """Whether it keeps so much that nothing more should be folded now."""
        return self._pending.is_full

    @property
    def due_in_s(self) -> float | None:
        """When it will have to take over if nothing is heard until then; None when nothing is missing."""
        since = self._silent_since
        return None if since is None else since + self._takeover_after_s - asyncio.get_running_loop().time()

    @property
    def _silent_since(self) -> float | None:
        """Since when the active has said nothing new although it should have; None when nothing is missing."""
        oldest = self._pending.oldest
        return None if oldest is None else max(oldest, self._heard_new_at)

    @property
    def is_due(self) -> bool:
        due_in_s = self.due_in_s
        return due_in_s is not None and due_in_s <= 0

    def keep(self, outputs: Sequence[Output]) -> None:
        """Keep what the log does not hold yet."""
        now = asyncio.get_running_loop().time()
        for output in outputs:
            if output.first_sequence + len(output.records) - 1 > self._published.get(output.partition, 0):
                self._pending.add(output, now)

    async def hears_nobody(self) -> bool:
        """Whether it has heard nothing once it has read all that the output partitions hold now."""
        since = self._silent_since
        try:
            async with asyncio.timeout(HEAR_SECONDS):
                for partition, progress in self._read.items():
                    await progress.reached(await self._log.end(partition))
        except TimeoutError:
            # The log is away, so nobody can be heard, and nobody could hear this one.
            return False
        return since is not None and self._silent_since == since

    def take_over(self) -> list[Output]:
        """Speak from now on. Returns what it kept, to be said first."""
        self.role = ACTIVE
        self.takeovers += 1
        outputs = self._pending.take()
        self._taken_over_at = dict(self._published)
        for partition, first, records in outputs:
            self._taken_over_at[partition] = max(self._taken_over_at[partition], first + len(records) - 1)
        return outputs

    async def append(self, appends: Sequence[Append]) -> list[int]:
        """Write to the log, and remember which frames are ours. Returns their offsets."""
        self._appending = True
        offsets = await self._log.append(appends)
        for append, offset in zip(appends, offsets, strict=True):
            self._own[append.partition].add(offset)
        self._appending = False
        heard, self._heard_meanwhile = self._heard_meanwhile, []
        for frame in heard:
            self._heed(frame)
        return offsets

    # Following

    def start(self) -> None:
        """Follow the output partitions until `stop`."""
        self._heard_new_at = asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._follow(partition)) for partition in self._read]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def failed(self) -> bool:
        return self._failure is not None

    def check(self) -> None:
        """Raises what ended the following, if anything did."""
        if self._failure is not None:
            raise self._failure

    async def _follow(self, partition: TopicPartition) -> None:
        progress = self._read[partition]
        try:
            while True:
                await self._log.wait(partition, progress.position)
                self._take(partition, await self._log.read(partition, progress.position))
        except Exception as error:  # Whatever it was: the shell raises it.
            self._failure = self._failure or error
            for other in self._read.values():
                other.fail(f"{self._source} hears {partition} no more: {error}")
            self._on_change()

    def _take(self, partition: TopicPartition, frames: Sequence[StoredFrame]) -> None:
        for stored in frames:
            header = decode_header(stored.data)
            if header.source == self._source:
                self._hear(Heard(partition, stored.offset, header.first_sequence + len(header.records) - 1))
        if frames:
            self._read[partition].advance(frames[-1].offset + 1)
        self._on_change()

    def _hear(self, frame: Heard) -> None:
        if frame.last > self._published.get(frame.partition, 0):
            self._published[frame.partition] = frame.last
            self._heard_new_at = asyncio.get_running_loop().time()
        self._pending.drop(frame.partition, self._published[frame.partition])
        if self._appending:
            # Whether it is ours is known when the append returns.
            self._heard_meanwhile.append(frame)
        else:
            self._heed(frame)

    def _heed(self, frame: Heard) -> None:
        """Keep silent when somebody else says what was not to be said yet when this one began to speak."""
        own = self._own[frame.partition]
        if frame.offset in own:
            own.remove(frame.offset)
        elif self.speaks and frame.last > self._taken_over_at.get(frame.partition, 0):
            self.role = STANDBY
