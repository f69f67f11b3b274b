"""The loop that drives a projection: read frames, drop repeats, fold them into rows, write rows and position.

Where it stands is what the store says, and nothing else: the position is written with the rows or, by a store without
transactions, behind them (`ports.ProjectionStore` says why that is enough). A store that does not answer is asked again
for ever; a hole in the stream stops it.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from services.adapters.ports import Clock, HistoryBatch, ProjectionStore, SettlementBatch, StoredFrame
from services.adapters.tracing.port import CURRENT_CAUSES, Tracing
from services.domain.core import SourceSequences
from services.domain.errors import GapError, InvariantError, StoreUnavailable
from services.domain.messages import Frame
from services.domain.rows import ProgressRow
from services.domain.topics import TopicPartition
from services.shell.traced_rows import TracedRows

MAX_RECORDS: Final = 8_192
"""A batch takes no further frames once it has this many records."""
READ_FRAMES: Final = 16
"""Frames that are read at a time, so a batch has at most these beyond MAX_RECORDS."""
LINGER_SECONDS: Final = 0.02
"""Between two small batches: a row is visible this much later, and a transaction serves many more of them."""
FIRST_BACKOFF_SECONDS: Final = 0.05
LAST_BACKOFF_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 3.0
"""From one look at the stored position to the next, while no frames come."""

RUNNING: Final = "running"
WAITING: Final = "waiting for store"

T = TypeVar("T")
B = TypeVar("B", bound=SettlementBatch | HistoryBatch)


class Frames(Protocol):
    """Where a projection reads. Every `Log` is one."""

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        """Up to `max_frames` frames from `offset` on, in order; empty when there is none yet."""

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        """Return once the frame at `offset` can be read. Cancel it to stop waiting."""


Done = Callable[[TopicPartition, int], None]
"""Told that the effects of every frame of a partition before an offset are in the store."""


class Projection(Protocol[B]):
    """A fold of one partition's frames into batches of rows, and the store they go to."""

    @property
    def reader(self) -> str:
        """Its name in settlement_progress."""

    @property
    def conflicts(self) -> int:
        """How often a stored row was ahead of the events at hand."""

    def decode(self, topic: str, data: bytes) -> Frame[Any]:
        """Open a frame; what the projection does not need may stay closed, in its place. Raises LogError."""

    def add(self, source: str, first_sequence: int, records: Sequence[Any]) -> None:
        """Take records that were never seen before; records[0] has `first_sequence`."""

    async def finish(self, progress: ProgressRow) -> B:
        """The rows of all that was added since the last batch. When it raises StoreUnavailable, call it again."""

    async def write(self, batch: B) -> None:
        """Write the batch. When it raises StoreUnavailable, call it again."""


class ProjectionShell(Generic[B]):
    """One projection on one partition. While a batch is being written, the next one is folded.

    state: `RUNNING`, `WAITING` (the store does not answer), or "stopped: " and why; for the health endpoint.
    on_written: told of every batch once it is in the store; for logs. done: for whoever gave the frames and wants to
    know how far they are done with. beside: runs as long as the shell follows its partition; when it fails, so does
    the shell. tracing: None when nobody wants traces.
    """

    def __init__(
        self,
        projection: Projection[B],
        partition: TopicPartition,
        frames: Frames,
        store: ProjectionStore,
        clock: Clock,
        *,
        linger_s: float = LINGER_SECONDS,
        on_written: Callable[[B], None] | None = None,
        done: Done | None = None,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.partition = partition
        self._projection = projection
        self._frames = frames
        self._store = store
        self._clock = clock
        self._linger_s = linger_s
        self._on_written = on_written
        self._done = done
        self._beside = beside
        self._tracing = tracing
        self._traced: TracedRows | None = None
        """Of the frames that are being folded; None when nobody wants traces."""
        self._sequences = SourceSequences()
        self._offset = 0
        self._records = 0
        self._stopping = False
        self._pauses: list[asyncio.Future[None]] = []
        self._checked_at = 0.0
        self.state = RUNNING
        self.next_offset = 0
        """The first frame without effects in the store."""
        self.written_batches = 0
        self.written_rows = 0
        self.repeated_records = 0
        """Records that were dropped because they had been seen before."""
        self.store_retries = 0
        self.unwritten_records = 0
        """Records that were read and whose effects are not in the store yet."""

    @property
    def reader(self) -> str:
        """The projection's name."""
        return self._projection.reader

    @property
    def conflicts(self) -> int:
        """How often a stored row was ahead of the events at hand, as after a crash in the middle of a write."""
        return self._projection.conflicts

    async def run(self) -> None:
        """Follow the partition until `stop`.

        Raises GapError when a frame, sequence or balance version is missing, and whatever else says that the stream
        or the store cannot be what it should; LogError when the log fails.
        """
        try:
            await self._recover()
            await self._follow_beside()
        except StoreUnavailable:
            # Only when asked to stop: what the store did not take is folded again after the next start.
            if not self._stopping:
                raise
        except BaseException as error:
            self.state = f"stopped: {str(error) or type(error).__name__}"
            raise
        self.state = "stopped: as asked"

    def stop(self) -> None:
        """Let `run` write what it has folded and return; without writing when the store does not answer."""
        self._stopping = True
        for pause in self._pauses:
            pause.cancel()

    async def _recover(self) -> None:
        progress = await self._insist(lambda: self._store.progress(self.reader, self.partition))
        if progress is not None:
            self._offset = self.next_offset = progress.next_offset
            self._sequences = SourceSequences(dict(progress.sequences))

    async def _follow_beside(self) -> None:
        tasks = [asyncio.create_task(self._follow())]
        if self._beside is not None:
            tasks.append(asyncio.create_task(self._beside()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()

    async def _follow(self) -> None:
        writing: asyncio.Task[None] | None = None
        try:
            while not self._stopping:
                await self._take()
                if writing is not None:
                    await writing
                    writing = None
                    # What came while the store was busy goes along: the slower the store, the larger its batches.
                    await self._take()
                if self._offset > self.next_offset:
                    full = self._records >= MAX_RECORDS
                    batch = await self._insist(self._finish)
                    writing = asyncio.create_task(self._write(batch, self._records, self._traced))
                    self._records, self._traced = 0, None
                    if not full:
                        await self._pause(lambda: self._clock.sleep(self._linger_s))
                else:
                    await self._pause(lambda: self._frames.wait(self.partition, self._offset), LOOK_SECONDS)
                    await self._look_at_store()
            if writing is not None:
                await writing
        finally:
            if writing is not None and not writing.done():
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await writing

    async def _take(self) -> None:
        """Fold what is there, up to the size of a batch."""
        while self._records < MAX_RECORDS and not self._stopping:
            frames = await self._frames.read(self.partition, self._offset, READ_FRAMES)
            if not frames:
                return
            for stored in frames:
                self._add(stored)
                # One frame at a time, so that everybody else in the process gets a turn.
                await asyncio.sleep(0)

    def _add(self, stored: StoredFrame) -> None:
        where = f"{self.reader}: {self.partition} offset {stored.offset}"
        if stored.offset != self._offset:
            raise GapError(f"{where}: expected offset {self._offset}")
        frame = self._projection.decode(self.partition.topic, stored.data)
        if frame.first_sequence == 0:
            raise InvariantError(f"{where}: source {frame.source} keeps no sequence")
        count = len(frame.records)
        try:
            seen = self._sequences.repeats(frame.source, frame.first_sequence, count)
            if seen < count:
                fresh = frame.records[seen:] if seen else frame.records
                self._projection.add(frame.source, frame.first_sequence + seen, fresh)
                if self._tracing is not None:
                    self._trace(self._tracing, stored, frame)
        except GapError as error:
            raise GapError(f"{where}: {error}") from error
        self.repeated_records += seen
        self._records += count
        self.unwritten_records += count
        self._offset = stored.offset + 1

    def _trace(self, tracing: Tracing, stored: StoredFrame, frame: Frame[Any]) -> None:
        if self._traced is None:
            self._traced = TracedRows(tracing, self.partition)
        if stored.headers:
            self._traced.take(stored, frame)

    async def _look_at_store(self) -> None:
        """While nothing comes, see now and then whether the store still has what it had."""
        now = asyncio.get_running_loop().time()
        if now - self._checked_at >= LOOK_SECONDS:
            await self._insist(self._check_store)

    async def _check_store(self) -> None:
        """Raises InvariantError when the store has lost what it had acknowledged: somebody put back an older backup.

        Writing on would leave a hole that no restart ever fills. Asked before every try to write a batch, because a
        store may be put back between two of them without anybody here noticing.
        """
        progress = await self._store.progress(self.reader, self.partition)
        self._checked_at = asyncio.get_running_loop().time()
        stored = progress.next_offset if progress is not None else 0
        if stored < self.next_offset:
            raise InvariantError(
                f"{self.reader}: the store has the effects of {self.partition} up to offset {stored}, but it had "
                f"acknowledged them up to {self.next_offset}: it was set back; a restart goes on from {stored}"
            )

    async def _finish(self) -> B:
        sequences = dict(self._sequences.last)
        return await self._projection.finish(ProgressRow(self.reader, *self.partition, self._offset, sequences))

    async def _write(self, batch: B, records: int, traced: TracedRows | None) -> None:
        await self._insist(lambda: self._write_checked(batch, traced))
        if traced is not None:
            traced.written()
        self.unwritten_records -= records
        self.next_offset = batch.progress.next_offset
        self.written_batches += 1
        self.written_rows += sum(len(rows) for rows in batch[:-1])
        if self._done is not None:
            self._done(self.partition, self.next_offset)
        if self._on_written is not None:
            # Each write is a task of its own, so nobody else sees what is set here.
            CURRENT_CAUSES.set(None if traced is None else traced.cause_of)
            self._on_written(batch)

    async def _write_checked(self, batch: B, traced: TracedRows | None) -> None:
        """One try. A store that was away may have been put back meanwhile, so each try asks first."""
        await self._check_store()
        if traced is None:
            await self._projection.write(batch)
        else:
            await traced.write(batch, lambda: self._projection.write(batch))

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until the store answers, waiting longer and longer. Raises StoreUnavailable only when stopping."""
        backoff = FIRST_BACKOFF_SECONDS
        while True:
            try:
                result = await call()
            except StoreUnavailable:
                self.state = WAITING
                self.store_retries += 1
                if self._stopping:
                    raise
                await self._pause(functools.partial(self._clock.sleep, backoff))
                backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)
            else:
                self.state = RUNNING
                return result

    async def _pause(self, until: Callable[[], Awaitable[None]], most_s: float | None = None) -> None:
        """Wait, at most for so long, or until `stop`. One may wait for the store while the other waits for frames."""
        if self._stopping:
            return
        pause = asyncio.ensure_future(until())
        self._pauses.append(pause)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(most_s):
                    await pause
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._pauses.remove(pause)
