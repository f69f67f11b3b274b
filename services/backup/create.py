"""Making a backup of an exchange that runs, or of one that stands still.

The order is what makes it hold together (see `cut` and `tables`): snapshots of the cores, positions of the readers,
rows, and last of all the ends of the log. The log's frames from the smallest position on are in it, because what is
under way between services is nowhere else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from services.adapters.backup_target import BackupTarget, TargetFile
from services.adapters.ports import BackupStore, CoreSnapshot, Log
from services.backup.layout import Layout
from services.backup.manifest import (
    CHECKSUM_BYTES,
    MANIFEST,
    VERSION,
    CoreEntry,
    FileEntry,
    Manifest,
    PartitionEntry,
    TableEntry,
    backup_name,
    encode_manifest,
)
from services.backup.stream import CHUNK_RECORDS, encode_chunk
from services.backup.tables import TABLES, Table
from services.domain.errors import BackupError, GapError
from services.domain.rows import ProgressRow
from services.domain.topics import TopicPartition
from services.shell.shell_snapshot import decode_shell_snapshot

READ_FRAMES: Final = 256
WRITES_EVERY_S: Final = 60.0
"""However long a file takes until it can be seen on the target: see `prune`."""
MARK: Final = "being-made"
"""A file that is written again and again while the backup is made."""

Watch = Callable[[str, int, int | None], None]
"""Told of progress: what is being done, how much of it, out of how much (None: not known)."""


class Source(NamedTuple):
    """What a backup is made of. snapshots: gives each core's, by source. whole_log: every frame that the log has."""

    layout: Layout
    log: Log
    store: BackupStore
    snapshots: dict[str, Callable[[], Awaitable[CoreSnapshot]]]
    whole_log: bool = False


async def create_backup(
    source: Source, target: BackupTarget, exchange_version: str, created_ms: int, watch: Watch
) -> Manifest:
    """Make a backup and return its manifest, which is written last: what ends before leaves no backup.

    Raises BackupError, or the port's error, when anything fails; GapError when the log no longer has what a reader
    needs next.
    """
    name = backup_name(created_ms)
    if name in await asyncio.to_thread(target.folders):
        raise BackupError(f"{name} is there already")
    making = _Making(source, target, name, watch)
    async with making.marked():
        manifest = await making.all_files(exchange_version, created_ms)
        await making.finish(manifest)
    return manifest


class _Making:
    """A backup on its way."""

    def __init__(self, source: Source, target: BackupTarget, name: str, watch: Watch) -> None:
        self._source = source
        self._target = target
        self._name = name
        self._watch = watch
        self._positions: dict[TopicPartition, list[tuple[str, int]]] = {}
        """By partition, who stands where."""

    @contextlib.asynccontextmanager
    async def marked(self) -> AsyncIterator[None]:
        """Say on the target, for as long as this lasts, that somebody is at it."""
        done = asyncio.Event()
        marking = asyncio.create_task(self._mark_until(done))
        try:
            yield
        finally:
            done.set()
            await marking

    async def _mark_until(self, done: asyncio.Event) -> None:
        marked = False
        while not await _is_set_within(done, WRITES_EVERY_S):
            marked = True
            # Whether the target can be written is for the backup's own files to say.
            with contextlib.suppress(BackupError):
                await self.write_whole(MARK, b"Somebody makes this backup, or was killed.\n")
        if marked:
            with contextlib.suppress(BackupError):
                await asyncio.to_thread(self._target.remove_file, self._name, MARK)

    async def all_files(self, exchange_version: str, created_ms: int) -> Manifest:
        """Write every file but the manifest, in the order that makes the backup hold together."""
        layout = self._source.layout
        cores = [await self.core(core) for core in layout.sources]
        progress = await self.progress()
        starts = await self.starts(progress)
        tables = [await self.table(table) for table in TABLES]
        ends = {partition: await self._source.log.end(partition) for partition in layout.partitions}
        partitions = [await self.partition(partition, starts[partition], end) for partition, end in ends.items()]
        shards = (layout.account_shards, layout.matcher_shards)
        return Manifest(VERSION, self._name, exchange_version, created_ms, *shards, cores, progress, tables, partitions)

    async def finish(self, manifest: Manifest) -> None:
        """Write the manifest. Raises BackupError when files are gone: somebody took this backup for abandoned."""
        there = await asyncio.to_thread(self._target.sizes, self._name)
        if gone := [file.name for file in manifest.files if there.get(file.name) != file.bytes]:
            raise BackupError(f"{self._name}: was removed or changed while it was made: {', '.join(gone)}")
        await self.write_whole(MANIFEST, encode_manifest(manifest))

    async def core(self, source: str) -> CoreEntry:
        """Write a core's snapshot."""
        self._watch(f"snapshot of {source}", 0, 1)
        taken = await self._source.snapshots[source]()
        if taken.source != source:
            raise BackupError(f"{source}: the snapshot that came is of {taken.source}")
        snapshot = decode_shell_snapshot(taken.data)
        core = self._source.layout.restore(source, snapshot.core)
        if core.digest() != taken.digest or core.next_offset != taken.next_offset:
            raise BackupError(f"{source}: the snapshot that came does not have the digest that came with it")
        self._stands(core.input, source, taken.next_offset)
        for topic, number, end in snapshot.output_ends:
            self._stands(TopicPartition(topic, number), f"{source}, writing,", end)
        file = await self.write_whole(f"core-{source}.bin", taken.data)
        self._watch(f"snapshot of {source}", 1, 1)
        return CoreEntry(source, core.layout, taken.next_offset, taken.digest.hex(), file)

    async def progress(self) -> list[ProgressRow]:
        """Where the projections stand; who has written nothing yet begins at 0."""
        rows = []
        for reader, partition in self._source.layout.readers:
            row = await self._source.store.progress(reader, partition)
            self._stands(partition, reader, 0 if row is None else row.next_offset)
            if row is not None:
                rows.append(row)
        return rows

    def _stands(self, partition: TopicPartition, who: str, offset: int) -> None:
        self._positions.setdefault(partition, []).append((who, offset))

    async def starts(self, progress: list[ProgressRow]) -> dict[TopicPartition, int]:
        """From where on each partition is needed."""
        starts = {}
        for partition in self._source.layout.partitions:
            first = await self._source.log.start(partition)
            who, needed = min(self._positions[partition], key=lambda stands: stands[1])
            if needed < first:
                raise GapError(f"{who} needs {partition} from offset {needed}, but the log starts at {first}")
            starts[partition] = first if self._source.whole_log else needed
        return starts

    async def table(self, table: Table) -> TableEntry:
        """Write the rows of a table."""
        what, count = f"table {table.name}", 0
        async with _Writing(self._target, self._name, f"table-{table.name}.bin") as file:
            async for rows in _chunks(table.read(self._source.store)):
                await file.write(rows)
                count += len(rows)
                self._watch(what, count, None)
        self._watch(what, count, count)
        return TableEntry(table.name, file.entry)

    async def partition(self, partition: TopicPartition, start: int, end: int) -> PartitionEntry:
        """Write the frames of a partition."""
        what, offset = f"log {partition}", start
        async with _Writing(self._target, self._name, f"log-{partition.topic}-{partition.partition}.bin") as file:
            while offset < end:
                frames = await self._source.log.read(partition, offset, min(READ_FRAMES, end - offset))
                if not frames or frames[0].offset != offset:
                    raise GapError(f"{partition}: the frame at offset {offset} is gone")
                await file.write(frames)
                offset = frames[-1].offset + 1
                self._watch(what, offset - start, end - start)
        self._watch(what, end - start, end - start)
        return PartitionEntry(partition.topic, partition.partition, start, end, file.entry)

    async def write_whole(self, name: str, data: bytes) -> FileEntry:
        """A file of one record."""

        def write() -> None:
            with self._target.create(self._name, name) as file:
                file.write(data)

        await asyncio.to_thread(write)
        return FileEntry(name, 1, len(data), blake2b(data, digest_size=CHECKSUM_BYTES).hexdigest())


class _Writing:
    """A stream on its way to the target, with its checksum and its counts."""

    def __init__(self, target: BackupTarget, folder: str, name: str) -> None:
        self._target = target
        self._folder = folder
        self._name = name
        self._hash = blake2b(digest_size=CHECKSUM_BYTES)
        self._bytes = self._records = 0
        self._file: TargetFile | None = None

    @property
    def entry(self) -> FileEntry:
        """What the manifest says of it."""
        return FileEntry(self._name, self._records, self._bytes, self._hash.hexdigest())

    async def write(self, records: Sequence[Any]) -> None:
        assert self._file is not None
        await asyncio.to_thread(self._write, self._file, records)

    def _write(self, file: TargetFile, records: Sequence[Any]) -> None:
        data = encode_chunk(records)
        self._hash.update(data)
        self._bytes += len(data)
        self._records += len(records)
        file.write(data)

    async def __aenter__(self) -> "_Writing":
        self._file = await asyncio.to_thread(self._target.create, self._folder, self._name)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._file is not None
        await asyncio.to_thread(self._file.__exit__, kind)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _chunks(rows: AsyncIterator[Any]) -> AsyncIterator[list[Any]]:
    chunk: list[Any] = []
    async for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK_RECORDS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
