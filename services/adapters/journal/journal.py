"""The journal (write-ahead log) of one core: every input frame, made durable before its effects are published.

It stands on a `ports.Directory`; `services.adapters.journal.format` is its bytes. A restart takes the newest valid
snapshot, then the frames behind it, then goes on with the log itself. What the journal loses at its end the log still
has; what is damaged before its end stops the start, because a core must never guess.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from services.adapters.journal.chain import Chain, broken_name, segments_from
from services.adapters.journal.format import (
    FIRST_HASH,
    NotValidError,
    Segment,
    SegmentHeader,
    Snapshot,
    decode_snapshot,
    encode_header,
    encode_records,
    encode_snapshot,
    read_records,
    scan_segment,
    segment_name,
    segment_offset,
    snapshot_name,
    snapshot_offset,
    state_digest,
)
from services.adapters.ports import Directory, StoredFrame
from services.domain.errors import GapError, JournalError

MIB: Final = 1024 * 1024
_ADVICE: Final = "look with `exchange journal verify`, set it aside with `exchange journal repair`"


class Recovered(NamedTuple):
    """What a journal knows when it is opened."""

    snapshot: bytes | None
    """The newest valid snapshot's data; None when there is none."""
    snapshot_offset: int
    """The offset of the first frame that is not in the snapshot; 0 without one."""
    frames: AsyncIterator[StoredFrame]
    """The frames from `snapshot_offset` up to the journal's `next_offset`, verified. Read them before appending."""
    torn: str | None
    """Which unfinished write was cut off the end; None when there was none."""
    warnings: tuple[str, ...]
    """What was found wrong and survived, in sentences."""


class Journal:
    """Append-only segments and snapshots of one core in one directory.

    flush: "batch" makes `flush` wait for the disk; "interval" lets it return at once and makes everything durable at
    least every `flush_interval_s`, for brokers whose own replication is durable enough. on_flush: told the seconds that
    each sync took.

    After a write or sync that failed or was interrupted it raises JournalError for ever: what the disk then holds is
    unknown, and a second fsync may report a success that is none.
    """

    def __init__(
        self,
        directory: Directory,
        source: str,
        *,
        segment_bytes: int = 64 * MIB,
        flush: Literal["batch", "interval"] = "batch",
        flush_interval_s: float = 0.05,
        keep_snapshots: int = 3,
        on_flush: Callable[[float], None] | None = None,
    ) -> None:
        assert segment_bytes > 0
        assert keep_snapshots > 0
        self._directory = directory
        self._source = source
        self._segment_bytes = segment_bytes
        self._interval_s = flush_interval_s if flush == "interval" else 0.0
        self._keep_snapshots = keep_snapshots
        self._lock = asyncio.Lock()
        self._failure: str | None = "it was not opened"
        self._next_offset = 0
        self._running = FIRST_HASH
        self._segment: str | None = None
        self._roll_due = False
        self._unsynced = False
        self._synced_at = 0.0
        self._sync_timer: asyncio.TimerHandle | None = None
        self._sync_task: asyncio.Task[None] | None = None
        self._sizes: dict[str, int] = {}
        self._on_flush = on_flush

    @property
    def next_offset(self) -> int:
        """The offset that the next appended frame must have."""
        return self._next_offset

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of the kept segments and snapshots, as far as this process read or wrote them."""
        return sum(self._sizes.values())

    async def open(self) -> Recovered:
        """Find the newest valid snapshot and verify the journal from there; cut a torn tail.

        Raises JournalError, naming file and byte position, when anything before the end is damaged or missing.
        """
        try:
            recovered = await self._recover()
        except OSError as error:
            raise JournalError(f"journal of {self._source} cannot be read: {error}") from error
        self._failure = None
        return recovered

    async def append(self, frames: Sequence[StoredFrame]) -> None:
        """Add consecutive frames. They are durable after `flush`.

        Raises GapError, and adds nothing, when the first one is not at `next_offset` or one is missing.
        """
        async with self._working():
            self._check_offsets(frames)
            await self._roll_if_due()
            data, running = encode_records(frames, self._running)
            if self._segment is None:
                self._segment = segment_name(self._next_offset)
                data = encode_header(SegmentHeader(self._source, self._next_offset, self._running)) + data
            self._unsynced = True
            await self._directory.append(self._segment, data)
            self._sizes[self._segment] = self._sizes.get(self._segment, 0) + len(data)
            self._running = running
            self._next_offset += len(frames)

    async def flush(self) -> None:
        """Make everything appended durable, with one sync; in interval mode leave that to a timer."""
        if self._interval_s and asyncio.get_running_loop().time() < self._synced_at + self._interval_s:
            self._refuse_failed()
            self._sync_later()
            return
        async with self._working():
            await self._sync()

    async def snapshot(self, data: bytes, digest: bytes, next_offset: int) -> None:
        """Keep a core's state durably, start a new segment, and remove what no kept snapshot needs.

        data: `Core.snapshot()` at `next_offset`, which must be the journal's own at the time of the call. Frames may be
        appended while this is being written. Raises JournalError, and writes nothing, when `digest` is not its digest.
        """
        if next_offset != self._next_offset:
            raise JournalError(f"snapshot at offset {next_offset}, but the journal stands at {self._next_offset}")
        if state_digest(data) != digest:
            raise JournalError(f"snapshot at offset {next_offset} does not have the digest that came with it")
        encoded = encode_snapshot(Snapshot(self._source, next_offset, self._running, digest, data))
        async with self._working():
            # A snapshot must never be ahead of the journal on disk.
            await self._sync()
        with self._failing():
            await self._directory.replace(snapshot_name(next_offset), encoded)
            self._sizes[snapshot_name(next_offset)] = len(encoded)
            self._roll_due = True
            await self._remove_unneeded()

    async def close(self) -> None:
        """Make everything appended durable and refuse further work. The directory stays open."""
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        if self._failure is None:
            async with self._working():
                await self._sync()
            self._failure = "it was closed"

    # Recovery

    async def _recover(self) -> Recovered:
        names = await self._directory.names()
        warnings: list[str] = []
        snapshot = await self._newest_snapshot(names, warnings)
        chain = Chain(self._source, snapshot)
        start = chain.next_offset
        segments, torn = await self._verify_segments(segments_from(names, start), chain, warnings)
        self._next_offset, self._running = chain.next_offset, chain.running
        if self._segment is not None:
            # Records that only the operating system holds must not count as durable.
            await self._directory.sync(self._segment)
        data = None if snapshot is None else snapshot.data
        return Recovered(data, start, self._read_frames(segments, start), torn, tuple(warnings))

    async def _newest_snapshot(self, names: list[str], warnings: list[str]) -> Snapshot | None:
        for name in sorted((name for name in names if snapshot_offset(name) is not None), reverse=True):
            data = await self._directory.read(name)
            try:
                snapshot = decode_snapshot(data, name)
            except NotValidError as error:
                if error.intact:
                    raise JournalError(f"{name}: {error}; {_ADVICE}") from error
                warnings.append(await self._set_aside(name, data, names, str(error)))
                continue
            if snapshot.source != self._source:
                raise JournalError(f"{name} belongs to {snapshot.source}, not to {self._source}: is this its folder?")
            self._sizes[name] = len(data)
            return snapshot
        return None

    async def _set_aside(self, name: str, data: bytes, names: list[str], why: str) -> str:
        aside = broken_name(name, names)
        await self._directory.replace(aside, data)
        await self._directory.remove(name)
        return f"{name} is not valid ({why}): set aside as {aside}"

    async def _verify_segments(
        self, names: list[str], chain: Chain, warnings: list[str]
    ) -> tuple[list[tuple[str, Segment]], str | None]:
        """The verified segments, and the torn tail that was cut."""
        start, verified, torn = chain.next_offset, list[tuple[str, Segment]](), None
        for name in names:
            data = await self._directory.read(name)
            segment = scan_segment(data, name)
            fault = segment.fault
            if fault is not None and (name != names[-1] or not fault.torn):
                raise _broken(name, fault.position, fault.why)
            if segment.header is not None:
                why = chain.follow(data, segment)
                if why is not None:
                    raise _broken(name, 0, why)
                verified.append((name, segment))
                self._sizes[name] = segment.valid_bytes
            if fault is not None:
                await self._cut(name, segment)
                torn = f"{name}: cut at byte {fault.position} of {len(data)}: {fault.why}"
        if verified and verified[-1][1].next_offset >= start:
            self._segment = verified[-1][0]
        elif verified:
            # Only damage does this: the journal was synced before the snapshot was written.
            warnings.append(f"{verified[-1][0]} ends at offset {verified[-1][1].next_offset}, before the snapshot")
        return verified, torn

    async def _cut(self, name: str, segment: Segment) -> None:
        if segment.header is None:
            await self._directory.remove(name)
        else:
            await self._directory.truncate(name, segment.valid_bytes)

    async def _read_frames(self, segments: list[tuple[str, Segment]], start: int) -> AsyncIterator[StoredFrame]:
        for name, segment in segments:
            data = await self._directory.read(name)
            for frame in read_records(data, segment):
                if frame.offset >= start:
                    yield frame

    # Work

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        async with self._lock:
            with self._failing():
                yield

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Refuse this and any further work after one that failed."""
        self._refuse_failed()
        try:
            yield
        except GapError:
            raise
        except BaseException as error:
            self._failure = self._failure or repr(error)
            if isinstance(error, OSError):
                raise JournalError(f"journal of {self._source} failed: {error}") from error
            raise

    def _refuse_failed(self) -> None:
        if self._failure is not None:
            raise JournalError(f"journal of {self._source} takes no work: {self._failure}")

    def _check_offsets(self, frames: Sequence[StoredFrame]) -> None:
        for expected, frame in enumerate(frames, self._next_offset):
            if frame.offset != expected:
                raise GapError(f"journal of {self._source}: expected offset {expected}, got {frame.offset}")

    async def _roll_if_due(self) -> None:
        """Leave the segment when it is full or a snapshot was taken; the one before is always durable."""
        segment = self._segment
        if segment is None or segment_offset(segment) == self._next_offset:
            return
        if self._roll_due or self._sizes[segment] >= self._segment_bytes:
            await self._sync()
            self._segment = None
            self._roll_due = False

    async def _sync(self) -> None:
        if not self._unsynced or self._segment is None:
            return
        # Not the loop's own time, which may count whole milliseconds.
        started = time.perf_counter()
        await self._directory.sync(self._segment)
        self._unsynced = False
        self._synced_at = asyncio.get_running_loop().time()
        if self._on_flush is not None:
            self._on_flush(time.perf_counter() - started)

    def _sync_later(self) -> None:
        if self._unsynced and self._sync_timer is None:
            due = self._synced_at + self._interval_s
            self._sync_timer = asyncio.get_running_loop().call_at(due, self._start_sync)

    def _start_sync(self) -> None:
        self._sync_timer = None
        self._sync_task = asyncio.get_running_loop().create_task(self._sync_alone())

    async def _sync_alone(self) -> None:
        # A failure is not lost: whoever calls next gets it.
        with contextlib.suppress(JournalError):
            async with self._working():
                await self._sync()

    async def _remove_unneeded(self) -> None:
        names = await self._directory.names()
        # The empty state at offset 0 counts as a snapshot, so that the journal alone can replace the first few.
        offsets = sorted({0, *(offset for name in names if (offset := snapshot_offset(name)) is not None)})
        oldest_kept = offsets[-self._keep_snapshots :][0]
        needed = set(segments_from(names, oldest_kept))
        snapshots = [name for name in names if (offset := snapshot_offset(name)) is not None and offset < oldest_kept]
        segments = [name for name in names if segment_offset(name) is not None and name not in needed]
        # A snapshot goes before the segments that only it needs, and those oldest first: no crash leaves a hole.
        for name in snapshots + segments:
            await self._directory.remove(name)
            self._sizes.pop(name, None)


def _broken(name: str, position: int, why: str) -> JournalError:
    return JournalError(f"{name} is broken at byte {position}: {why}; {_ADVICE}")
