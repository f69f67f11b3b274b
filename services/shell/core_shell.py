"""The loop that drives a core: read frames, journal and flush them, apply, publish, remember the position.

Nothing is published before what caused it is in the journal. After a crash the core is made again from the newest
snapshot and the journal, says again what it said, and the shell publishes only what the log does not have: outputs
are numbered, so the rest is what lies beyond the last number found there. A standby does all of it but publish, until
it must (see standby.py).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeVar

from services.adapters.journal.format import state_digest
from services.adapters.ports import Append, Clock, Log, StoredFrame
from services.adapters.tracing.port import CURRENT_CAUSES, Tracing
from services.domain.core import Core, Output
from services.domain.errors import GapError, InvariantError, LogError
from services.domain.messages import Frame, decode_frame
from services.domain.topics import TopicPartition
from services.shell.batch_watch import BatchWatch, NobodyWatches
from services.shell.journal_port import JournalPort
from services.shell.output_frames import output_frames
from services.shell.output_partitions import Said, last_said, require_same_outputs
from services.shell.pending import MAX_PENDING_RECORDS
from services.shell.progress import Progress
from services.shell.restoring import restore_same_shard
from services.shell.shell_snapshot import (
    ShellSnapshot,
    TakenSnapshot,
    decode_shell_snapshot,
    encode_shell_snapshot,
)
from services.shell.standby import ACTIVE, Role, Standby
from services.shell.traced_batch import TracedBatch, traced_batch

BATCH_FRAMES: Final = 32
"""Input frames that share one journal flush and one append at the most."""
END_SECONDS: Final = 5.0
"""For the log to say where the output partitions end; a snapshot that does not learn that is not taken."""


C = TypeVar("C", bound=Core)


class CoreShell(Generic[C]):
    """One core on one log and journal.

    fresh, restore: make the core, empty or from its snapshot. outputs: every partition that it may speak to.
    on_applied: told of every input frame, once it is in the journal, and of what it causes; for logs and metrics.
    watch: told of every batch of them. tracing: None when nobody wants traces.
    standby: keep silent until the active has not said for `takeover_after_s` what it should have. Several standbys of
    one core want different times. max_pending_records: how much it keeps of what it does not say.
    """

    def __init__(
        self,
        fresh: Callable[[], C],
        restore: Callable[[bytes], C],
        log: Log,
        journal: JournalPort,
        clock: Clock,
        outputs: Sequence[TopicPartition],
        *,
        snapshot_interval_ms: int = 60_000,
        on_applied: Callable[[Frame[Any], int, list[Output]], None] | None = None,
        watch: BatchWatch | None = None,
        tracing: Tracing | None = None,
        standby: bool = False,
        takeover_after_s: float = 2.0,
        max_pending_records: int = MAX_PENDING_RECORDS,
    ) -> None:
        self.core = fresh()
        self._restore = restore
        self._log = log
        self._journal = journal
        self._clock = clock
        self._outputs = tuple(outputs)
        self._snapshot_interval_ms = snapshot_interval_ms
        self._on_applied = on_applied
        self._watch = watch or NobodyWatches()
        self._tracing = tracing
        self._published: dict[TopicPartition, int] = {}
        self._standby: Standby | None = None
        if standby:
            self._standby = Standby(
                log, self.core.source, self._published, takeover_after_s, max_pending_records, self._on_heard
            )
        self._applied = Progress()
        self._snapshot_offset = 0
        self._snapshots_asked: list[asyncio.Future[TakenSnapshot]] = []
        self._stopping = False
        self._bell: asyncio.Future[None] | None = None
        """What the loop waits on beside its input."""
        self._rung = False
        self._waits_for_outputs = False
        self._ended: str | None = None
        self.snapshot_ms = 0
        """When the last snapshot was taken or recovery ended, by the clock."""
        self._covered_ms = 0
        """When a snapshot last held all that was applied, or recovery ended."""
        self.replayed_frames = 0
        """How many frames of the journal the recovery applied."""
        self.findings: tuple[str, ...] = ()
        """What the recovery found wrong with the journal and survived, in sentences; a torn tail first."""

    @property
    def role(self) -> Role:
        """Who publishes what this core says: "active" when this process does."""
        return ACTIVE if self._standby is None else self._standby.role

    @property
    def takeovers(self) -> int:
        """How often this standby began to speak; 0 for one that is none."""
        return 0 if self._standby is None else self._standby.takeovers

    @property
    def snapshot_age_ms(self) -> int:
        """Milliseconds since the last snapshot fell due (or since recovery)."""
        return self._clock.time_ms() - self.snapshot_ms

    @property
    def snapshot_behind_ms(self) -> int:
        """Milliseconds since a snapshot last held all that was applied (or since recovery); 0 while the newest does."""
        return self._clock.time_ms() - self._covered_ms if self.has_news else 0

    @property
    def snapshot_interval_ms(self) -> int:
        """Milliseconds from one snapshot to the next."""
        return self._snapshot_interval_ms

    @property
    def has_news(self) -> bool:
        """Whether anything was applied since the last snapshot."""
        return self.core.next_offset != self._snapshot_offset

    @property
    def all_said(self) -> bool:
        """Whether the log holds everything that the core has said; asked between two batches."""
        return self._standby is None or self._standby.all_said

    async def applied(self, offset: int) -> None:
        """Return once `core.next_offset` is at least `offset`. Raises LogError when the shell ends before."""
        await self._applied.reached(offset)

    async def snapshot_now(self) -> TakenSnapshot:
        """A snapshot between two batches, of which the journal knows nothing. Raises LogError when the shell ends."""
        if self._ended is not None:
            raise LogError(self._ended)
        taken: asyncio.Future[TakenSnapshot] = asyncio.get_running_loop().create_future()
        self._snapshots_asked.append(taken)
        self._ring()
        return await taken

    # Recovery

    async def recover(self) -> None:
        """Make the core again from snapshot and journal, and publish what it had not said yet.

        Raises JournalError when the snapshot is of another shard, or of other numbers of shards; GapError when the log
        no longer has the frames that come next; and InvariantError when the log ends before what the core has applied:
        it is not the log that this core has followed.
        """
        recovered = await self._journal.open()
        self.findings = (*([recovered.torn] if recovered.torn else []), *recovered.warnings)
        ends: dict[TopicPartition, Said] = {}
        if recovered.snapshot is not None:
            snapshot = decode_shell_snapshot(recovered.snapshot)
            self.core = restore_same_shard(self.core, self._restore, snapshot.core)
            ends = snapshot.ends
            require_same_outputs(self.core.source, ends, self._outputs)
        self._snapshot_offset = self.core.next_offset
        for partition in self._outputs:
            said = await last_said(self._log, partition, self.core.source, ends.get(partition, Said(0, 0)))
            self._published[partition] = said.sequence
            if self._standby is not None:
                self._standby.begin_at(partition, said.next_offset)
        async for frame in recovered.frames:
            await self._say(self._apply([frame], tell=False))
            self.replayed_frames += 1
            if self._standby is not None and self._standby.is_full:
                # The log was just read: there is no room for more of what it lacks.
                await self._publish(self._standby.take_over())
        await self._check_log()
        self.snapshot_ms = self._covered_ms = self._clock.time_ms()

    async def _check_log(self) -> None:
        start, end = await self._log.start(self.core.input), await self._log.end(self.core.input)
        if self.core.next_offset < start:
            raise GapError(
                f"{self.core.source}: needs {self.core.input} from offset {self.core.next_offset}, but the log starts "
                f"at {start}: restore a newer snapshot, or the log"
            )
        if self.core.next_offset > end:
            raise InvariantError(
                f"{self.core.source}: has applied {self.core.input} up to offset {self.core.next_offset}, but the log "
                f"ends at {end}: this is not the log that it followed"
            )

    # The loop

    async def run(self) -> None:
        """Follow the input until `stop`, then leave a snapshot."""
        may_read = True
        async with self._listening():
            while not self._stopping:
                self._rung = False
                await self._do_what_is_due()
                frames = [] if self._pauses or not may_read else await self._read()
                if not frames:
                    if not self._rung:
                        may_read = await self._wait()
                    continue
                await self._follow(frames)
            await self.take_snapshot()

    async def _follow(self, frames: Sequence[StoredFrame]) -> None:
        watch = self._watch
        watch.began(frames)
        traced = None if self._tracing is None else self._begin_traces(self._tracing, frames)
        await self._journal.append(frames)
        await self._journal.flush()
        watch.passed("journal")
        outputs = self._apply(frames, traced=traced)
        watch.passed("apply")
        await self._say(outputs, traced)
        watch.passed("publish")

    def _begin_traces(self, tracing: Tracing, frames: Sequence[StoredFrame]) -> TracedBatch | None:
        """None also for a standby that keeps silent: the one that speaks tells."""
        return traced_batch(tracing, self.core.input, frames) if self.role == ACTIVE else None

    def stop(self) -> None:
        """Let `run` finish the batch at hand and return."""
        self._stopping = True
        self._ring()

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """While `run` runs: hear the other instance, and have everybody told who still waits at its end."""
        self._applied.advance(self.core.next_offset)
        try:
            if self._standby is not None:
                self._standby.start()
            yield
        finally:
            self._ended = f"{self.core.source} has stopped at offset {self.core.next_offset} of {self.core.input}"
            self._applied.fail(self._ended)
            for taken in self._snapshots_asked:
                if not taken.done():
                    taken.set_exception(LogError(self._ended))
            if self._standby is not None:
                await self._standby.stop()

    async def _read(self) -> list[StoredFrame]:
        return await self._log.read(self.core.input, self.core.next_offset, BATCH_FRAMES)

    @property
    def _pauses(self) -> bool:
        """Whether nothing may be read before the log holds more of what was said: to take a snapshot, or for room."""
        standby = self._standby
        if standby is None or standby.all_said:
            return False
        return standby.is_full or bool(self._snapshots_asked) or self._snapshot_is_due

    @property
    def _snapshot_is_due(self) -> bool:
        return self.snapshot_age_ms >= self._snapshot_interval_ms

    async def _do_what_is_due(self) -> None:
        standby = self._standby
        if standby is not None:
            standby.check()
            if standby.is_due and await standby.hears_nobody():
                await self._publish(standby.take_over())
        if self.all_said:
            if self._snapshots_asked:
                await self._give_snapshot()
            if self._snapshot_is_due:
                await self.take_snapshot()

    async def _wait(self) -> bool:
        """Wait for the next frame, or until anything else has to be done.

        Returns whether there may be a frame: a log that is away would be asked in vain, and it raises when it is.
        """
        bell = self._bell = asyncio.get_running_loop().create_future()
        waiting: list[asyncio.Future[None]] = [bell]
        self._waits_for_outputs = self._pauses
        if not self._waits_for_outputs:
            waiting.append(asyncio.ensure_future(self._log.wait(self.core.input, self.core.next_offset)))
        try:
            await asyncio.wait(waiting, timeout=self._due_in_s(), return_when=asyncio.FIRST_COMPLETED)
            for idle in waiting[1:]:
                if idle.done():
                    idle.result()
            return self._waits_for_outputs or waiting[-1].done()
        finally:
            self._bell, self._waits_for_outputs = None, False
            for idle in waiting:
                idle.cancel()

    def _due_in_s(self) -> float | None:
        """Until when there is nothing to do if nothing happens; None for ever."""
        due = []
        if self.has_news and self.all_said:
            due.append((self._snapshot_interval_ms - self.snapshot_age_ms) / 1000)
        if self._standby is not None and (takeover := self._standby.due_in_s) is not None:
            due.append(takeover)
        return max(0.0, min(due)) if due else None

    def _ring(self) -> None:
        """Have the loop look what it should do."""
        self._rung = True
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def _on_heard(self) -> None:
        """The other instance was heard, or can be heard no more; only a loop that waits for that has to look."""
        if self._waits_for_outputs or (self._standby is not None and self._standby.failed):
            self._ring()

    def _apply(
        self, frames: Sequence[StoredFrame], tell: bool = True, traced: TracedBatch | None = None
    ) -> list[Output]:
        """Apply frames in order; what they say to one partition is joined."""
        joined: dict[TopicPartition, Output] = {}
        core = self.core
        for stored in frames:
            frame = decode_frame(core.input.topic, stored.data)
            if traced is not None:
                traced.take(stored.offset, frame.records)
            outputs = core.apply(frame, stored.offset)
            for output in outputs:
                before = joined.get(output.partition)
                if before is None:
                    joined[output.partition] = Output(output.partition, output.first_sequence, list(output.records))
                else:
                    before.records.extend(output.records)
            if tell and self._on_applied is not None:
                CURRENT_CAUSES.set(None if traced is None else traced.cause_of)
                self._on_applied(frame, stored.offset, outputs)
        self._applied.advance(core.next_offset)
        if traced is not None:
            traced.applied()
        return list(joined.values())

    async def _say(self, outputs: list[Output], traced: TracedBatch | None = None) -> None:
        """Publish what was said, or keep it while somebody else speaks."""
        standby = self._standby
        if standby is None or standby.speaks:
            await self._publish(outputs, traced)
        else:
            standby.keep(outputs)

    async def _publish(self, outputs: list[Output], traced: TracedBatch | None = None) -> None:
        """Append what the log does not have yet."""
        appends: list[Append] = []
        for partition, first, records in outputs:
            said = self._published.get(partition, 0)
            fresh = records[max(0, said + 1 - first) :]
            first = max(first, said + 1)
            frames = output_frames(self.core.source, first, fresh)
            if traced is None:
                appends += [Append(partition, data) for data in frames]
            else:
                appends += traced.appends(partition, fresh, frames)
            if fresh:
                self._published[partition] = first + len(fresh) - 1
        if appends:
            offsets = await (self._log if self._standby is None else self._standby).append(appends)
            if traced is not None:
                traced.published(offsets)

    # Snapshots

    async def take_snapshot(self) -> None:
        """Write a snapshot to the journal, unless nothing was applied since the last one.

        Neither is one written while the log lacks something that the core has said: a restart would never say it. Nor
        while the log is away: the journal has all of it, and the next one is taken when it is due.
        """
        now_ms = self.snapshot_ms = self._clock.time_ms()
        if not self.has_news:
            self._covered_ms = now_ms
            return
        if not self.all_said:
            return
        try:
            data = encode_shell_snapshot(await self._snapshot())
        except LogError:
            return
        await self._journal.snapshot(data, state_digest(data), self.core.next_offset)
        self._snapshot_offset, self._covered_ms = self.core.next_offset, now_ms

    async def _give_snapshot(self) -> None:
        taken: TakenSnapshot | LogError
        try:
            snapshot = await self._snapshot()
            taken = TakenSnapshot(encode_shell_snapshot(snapshot), self.core.next_offset, state_digest(snapshot.core))
        except LogError as error:
            taken = error
        asked, self._snapshots_asked = self._snapshots_asked, []
        for waiter in asked:
            if waiter.done():
                continue
            if isinstance(taken, LogError):
                waiter.set_exception(LogError(str(taken)))
            else:
                waiter.set_result(taken)

    async def _snapshot(self) -> ShellSnapshot:
        said = [self._published.get(partition, 0) for partition in self._outputs]
        return ShellSnapshot(self.core.snapshot(), await self._output_ends(), said)

    async def _output_ends(self) -> list[tuple[str, int, int]]:
        """Where each output partition ends; for a standby, up to where it has heard what was said."""
        standby = self._standby
        if standby is not None:
            return [(*partition, standby.heard_until(partition)) for partition in self._outputs]
        try:
            async with asyncio.timeout(END_SECONDS):
                return [(*partition, await self._log.end(partition)) for partition in self._outputs]
        except TimeoutError as error:
            raise LogError(f"{self.core.source}: the log does not say where the output ends") from error
