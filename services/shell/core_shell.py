"""The loop that drives a core: read frames, journal and flush them, apply, publish, remember the position.

Nothing is published before what caused it is in the journal. After a crash the core is made again from the newest
snapshot and the journal, says again what it said, and the shell publishes only what the log does not have: outputs
are numbered, so the rest is what lies beyond the last number found there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from services.adapters.journal_format import state_digest
from services.adapters.ports import Append, Clock, Log, StoredFrame
from services.domain.core import Core, Output
from services.domain.errors import GapError, InvariantError
from services.domain.messages import Frame, decode_frame, decode_header, encode_frame
from services.domain.topics import TopicPartition

MAX_FRAME_RECORDS: Final = 1_000
"""More output records than this go out in several frames, so that readers are never held up by one."""
BATCH_FRAMES: Final = 32
"""Input frames that share one journal flush and one append at the most."""


class Recovered(Protocol):
    """What a journal holds."""

    @property
    def snapshot(self) -> bytes | None: ...

    @property
    def frames(self) -> AsyncIterator[StoredFrame]: ...

    @property
    def torn(self) -> str | None: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


class JournalPort(Protocol):
    """What the shell asks of `services.adapters.journal.Journal`."""

    async def open(self) -> Recovered: ...

    async def append(self, frames: Sequence[StoredFrame]) -> None: ...

    async def flush(self) -> None: ...

    async def snapshot(self, data: bytes, digest: bytes, next_offset: int) -> None: ...


class ShellSnapshot(msgspec.Struct, array_like=True):
    """What a snapshot file holds: the core, and where each output partition ended.

    All that the core had said by then lies before these ends, so a restart looks for the rest only behind them.
    """

    core: bytes
    output_ends: list[tuple[str, int, int]]


_SNAPSHOT_ENCODER = msgspec.msgpack.Encoder()
_SNAPSHOT_DECODER = msgspec.msgpack.Decoder(ShellSnapshot)

C = TypeVar("C", bound=Core)


class CoreShell(Generic[C]):
    """One core on one log and journal.

    fresh, restore: make the core, empty or from its snapshot. outputs: every partition that it may speak to.
    on_applied: told of every input frame, once it is in the journal, and of what it causes; for logs and metrics.
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
    ) -> None:
        self.core = fresh()
        self._restore = restore
        self._log = log
        self._journal = journal
        self._clock = clock
        self._outputs = tuple(outputs)
        self._snapshot_interval_ms = snapshot_interval_ms
        self._on_applied = on_applied
        self._published: dict[TopicPartition, int] = {}
        self._snapshot_offset = 0
        self._stopping = False
        self._idle: asyncio.Future[None] | None = None
        self.snapshot_ms = 0
        """When the last snapshot was taken or recovery ended, by the clock."""
        self.replayed_frames = 0
        """How many frames of the journal the recovery applied."""
        self.findings: tuple[str, ...] = ()
        """What the recovery found wrong with the journal and survived, in sentences; a torn tail first."""

    @property
    def snapshot_age_ms(self) -> int:
        """Milliseconds since the last snapshot fell due (or since recovery)."""
        return self._clock.time_ms() - self.snapshot_ms

    @property
    def has_news(self) -> bool:
        """Whether anything was applied since the last snapshot."""
        return self.core.next_offset != self._snapshot_offset

    async def recover(self) -> None:
        """Make the core again from snapshot and journal, and publish what it had not said yet.

        Raises GapError when the log no longer has the frames that come next, and InvariantError when the log ends
        before what the core has applied: it is not the log that this core has followed.
        """
        recovered = await self._journal.open()
        self.findings = (*([recovered.torn] if recovered.torn else []), *recovered.warnings)
        ends: dict[TopicPartition, int] = {}
        if recovered.snapshot is not None:
            snapshot = _SNAPSHOT_DECODER.decode(recovered.snapshot)
            self.core = self._restore(snapshot.core)
            ends = {TopicPartition(topic, partition): end for topic, partition, end in snapshot.output_ends}
        self._snapshot_offset = self.core.next_offset
        for partition in self._outputs:
            self._published[partition] = await self._last_said(partition, ends.get(partition))
        async for frame in recovered.frames:
            await self._publish(self._apply([frame], tell=False))
            self.replayed_frames += 1
        await self._check_log()
        self.snapshot_ms = self._clock.time_ms()

    async def _last_said(self, partition: TopicPartition, end: int | None) -> int:
        """The last sequence of this core's on an output partition, looking from `end` on. 0: none found.

        end: where the partition ended when the snapshot was taken.
        """
        log_end = await self._log.end(partition)
        if end is not None and end > log_end:
            raise InvariantError(
                f"{self.core.source}: {partition} ended at offset {end} when the snapshot was taken, but ends at "
                f"{log_end} now: this is not the log that it followed"
            )
        offset = max(end or 0, await self._log.start(partition))
        last = 0
        while frames := await self._log.read(partition, offset):
            for stored in frames:
                header = decode_header(stored.data)
                if header.source == self.core.source:
                    last = max(last, header.first_sequence + len(header.records) - 1)
            offset = frames[-1].offset + 1
            await asyncio.sleep(0)
        return last

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

    async def run(self) -> None:
        """Follow the input until `stop`, then leave a snapshot."""
        while not self._stopping:
            frames = await self._log.read(self.core.input, self.core.next_offset, BATCH_FRAMES)
            if not frames:
                await self._wait()
                continue
            await self._journal.append(frames)
            await self._journal.flush()
            await self._publish(self._apply(frames))
            if self.snapshot_age_ms >= self._snapshot_interval_ms:
                await self.take_snapshot()
        await self.take_snapshot()

    def stop(self) -> None:
        """Let `run` finish the batch at hand and return."""
        self._stopping = True
        if self._idle is not None:
            self._idle.cancel()

    async def _wait(self) -> None:
        """Wait for the next frame; take the snapshot that falls due meanwhile."""
        if self._stopping:
            return
        self._idle = asyncio.ensure_future(self._log.wait(self.core.input, self.core.next_offset))
        due_ms = self._snapshot_interval_ms - self.snapshot_age_ms
        try:
            async with asyncio.timeout(max(0, due_ms) / 1000 if self.has_news else None):
                await self._idle
        except TimeoutError:
            await self.take_snapshot()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self._idle = None

    def _apply(self, frames: Sequence[StoredFrame], tell: bool = True) -> list[Output]:
        """Apply frames in order; what they say to one partition is joined."""
        joined: dict[TopicPartition, Output] = {}
        core = self.core
        for stored in frames:
            frame = decode_frame(core.input.topic, stored.data)
            outputs = core.apply(frame, stored.offset)
            for output in outputs:
                before = joined.get(output.partition)
                if before is None:
                    joined[output.partition] = Output(output.partition, output.first_sequence, list(output.records))
                else:
                    before.records.extend(output.records)
            if tell and self._on_applied is not None:
                self._on_applied(frame, stored.offset, outputs)
        return list(joined.values())

    async def _publish(self, outputs: list[Output]) -> None:
        """Append what the log does not have yet."""
        appends: list[Append] = []
        for partition, first, records in outputs:
            said = self._published.get(partition, 0)
            fresh = records[max(0, said + 1 - first) :]
            first = max(first, said + 1)
            for i in range(0, len(fresh), MAX_FRAME_RECORDS):
                chunk = fresh[i : i + MAX_FRAME_RECORDS]
                appends.append(Append(partition, encode_frame(self.core.source, first + i, chunk)))
            if fresh:
                self._published[partition] = first + len(fresh) - 1
        if appends:
            await self._log.append(appends)

    async def take_snapshot(self) -> None:
        """Write a snapshot, unless nothing was applied since the last one."""
        self.snapshot_ms = self._clock.time_ms()
        if not self.has_news:
            return
        ends = [(*partition, await self._log.end(partition)) for partition in self._outputs]
        data = _SNAPSHOT_ENCODER.encode(ShellSnapshot(self.core.snapshot(), ends))
        await self._journal.snapshot(data, state_digest(data), self.core.next_offset)
        self._snapshot_offset = self.core.next_offset


def core_in_snapshot(data: bytes) -> bytes:
    """The core's own bytes in a snapshot that a shell wrote. Raises msgspec.DecodeError when it is none."""
    return _SNAPSHOT_DECODER.decode(data).core
