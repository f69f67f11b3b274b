"""Putting a backup back into an empty environment.

    exchange that was   --create-->   backup   --restore-->   topics, tables, journals

Whoever is killed half-way calls it again with the same backup: what is there already must be what the backup would
write, and is passed over. A note of the restore is the first row in the store, as a position of a reader of its own.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple, Protocol, TypeVar

from services.adapters.journal.format import segment_offset, snapshot_name, snapshot_offset
from services.adapters.journal.seed import seed_journal
from services.adapters.ports import Append, BackupStore, Directory, Log, StoredFrame
from services.backup.check import OpenBackup
from services.backup.create import Watch
from services.backup.cut import Cut
from services.backup.layout import Layout
from services.backup.manifest import CoreEntry, PartitionEntry
from services.backup.tables import BY_NAME, TABLES, write_progress, write_rows
from services.domain.errors import BackupError
from services.domain.rows import ProgressRow
from services.domain.topics import TopicPartition

READER: Final = "restore"
"""The name under which a restore notes in the store how far it is."""
DONE: Final = "done"
WRITE_FRAMES: Final = 128
WRITE_BYTES: Final = 4 * 2**20

T = TypeVar("T")


class Topics(Protocol):
    """The log of the environment that is restored into."""

    async def held(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """How many frames each partition ever got. Raises LogError when one does not exist."""

    async def open(self, bases: Mapping[TopicPartition, int]) -> Log:
        """The log, whose new partitions begin at these offsets; nobody else has it open."""


class Destination(NamedTuple):
    """Where to. journals: gives the folder of a core's journal, by source; None when they are restored elsewhere."""

    layout: Layout
    topics: Topics
    store: BackupStore
    journals: Callable[[str], Directory] | None


class Restored(NamedTuple):
    """What was put back. digests: by source, of the cores at the end of what holds together, and their next offset."""

    frames: int
    dropped: int
    rows: int
    digests: dict[str, tuple[int, bytes]]


async def restore_backup(backup: OpenBackup, to: Destination, watch: Watch) -> Restored:
    """Write everything. The services must not run.

    Raises BackupError when the backup is damaged, was made with other numbers of shards, or the environment holds
    anything that this backup did not put there.
    """
    require_same_layout(backup, to.layout)
    await asyncio.to_thread(backup.check_files, watch)
    held = await asyncio.to_thread(backup.hold_together, watch)
    note = _Note(to.store, backup.manifest.name)
    if not await note.is_begun():
        await _require_empty(to)
        await note.write()
    bases = {entry.partition: entry.start for entry in backup.manifest.partitions}
    log = await to.topics.open(bases)
    try:
        frames = 0
        for entry in backup.manifest.partitions:
            frames += await _restore_partition(backup, entry, held.cut, log, watch)
    finally:
        await log.close()
    rows = await _restore_tables(backup, to.store, note, watch)
    if to.journals is not None:
        for core in backup.manifest.cores:
            await restore_journal(backup, core, to.journals(core.source))
    await note.finish()
    digests = {core.source: (core.next_offset, core.digest()) for core in held.cores}
    return Restored(frames, held.cut.dropped, rows, digests)


def require_same_layout(backup: OpenBackup, layout: Layout) -> None:
    """Raises BackupError unless the numbers of shards are those of the backup."""
    if backup.layout != layout:
        raise BackupError(
            f"{backup.manifest.name} was made of {_shards(backup.layout)}; this environment has {_shards(layout)}, and "
            f"the numbers of shards must not change"
        )


def _shards(layout: Layout) -> str:
    return f"{layout.account_shards} account and {layout.matcher_shards} matcher shards"


async def _require_empty(to: Destination) -> None:
    """Raises BackupError with all that is in the way."""
    found = [
        f"{partition} has had {count:,} frames"
        for partition, count in (await to.topics.held(to.layout.partitions)).items()
        if count
    ]
    for table in TABLES:
        async for _ in table.read(to.store):
            found.append(f"table {table.name} has rows")
            break
    for reader, partition in to.layout.readers:
        if await to.store.progress(reader, partition) is not None:
            found.append(f"{reader} has a position on {partition}")
    for source in to.layout.sources if to.journals is not None else ():
        assert to.journals is not None
        found += [f"{source} has a journal ({name})" for name in await _journal_files(to.journals(source))][:1]
    if found:
        raise BackupError(
            f"the environment is not empty: {'; '.join(found)}. Nothing is overwritten: restore under another "
            f"topic prefix and keyspace, and into empty folders"
        )


async def _journal_files(directory: Directory) -> list[str]:
    return [n for n in await directory.names() if segment_offset(n) is not None or snapshot_offset(n) is not None]


class _Note:
    """The note of a restore in the store. rows: written so far, which orders the notes."""

    def __init__(self, store: BackupStore, name: str) -> None:
        self._store = store
        self._at = TopicPartition(name, 0)
        self._rows = 0

    async def is_begun(self) -> bool:
        """Whether this backup was being restored here. Raises BackupError when that is done."""
        row = await self._store.progress(READER, self._at)
        if row is not None and DONE in row.sequences:
            raise BackupError(f"{self._at.topic} was restored here already")
        return row is not None

    def after(self, rows: int) -> ProgressRow:
        """The note that goes with so many more rows."""
        self._rows += rows
        return ProgressRow(READER, *self._at, self._rows, {})

    async def write(self) -> None:
        await write_progress(self._store, self.after(0))

    async def finish(self) -> None:
        await write_progress(self._store, ProgressRow(READER, *self._at, self._rows + 1, {DONE: 1}))


async def _restore_partition(backup: OpenBackup, entry: PartitionEntry, cut: Cut, log: Log, watch: Watch) -> int:
    """Write the frames before the cut, behind those that are there already. Returns how many there are then."""
    partition, end = entry.partition, cut.ends[entry.partition]
    what, present = f"log {partition}", await log.end(partition)
    first = await log.start(partition)
    if first != entry.start or present > end:
        raise BackupError(
            f"{partition} holds offsets {first} up to {present}, the backup has {entry.start} up to {end} for it"
        )
    frames = backup.frames(entry)
    offset = entry.start
    while offset < present:
        there = await log.read(partition, offset, WRITE_FRAMES)
        ours = await asyncio.to_thread(_first, frames, len(there))
        if there != ours:
            raise BackupError(f"{partition} holds other frames than the backup, from offset {offset} on")
        offset += len(there)
    while offset < end:
        batch = await asyncio.to_thread(_take, frames, end - offset)
        written = await log.append([Append(partition, frame.data) for frame in batch])
        if written != [frame.offset for frame in batch]:
            raise BackupError(f"{partition}: frame {batch[0].offset} went to {written[0]}: somebody else writes there")
        offset += len(batch)
        watch(what, offset - entry.start, end - entry.start)
    watch(what, end - entry.start, end - entry.start)
    return end - entry.start


def _first(frames: Iterator[StoredFrame], count: int) -> list[StoredFrame]:
    return list(islice(frames, count))


def _take(frames: Iterator[StoredFrame], count: int) -> list[StoredFrame]:
    """The next frames, as many as make a good batch."""
    batch: list[StoredFrame] = []
    size = 0
    for frame in islice(frames, min(count, WRITE_FRAMES)):
        batch.append(frame)
        size += len(frame.data)
        if size >= WRITE_BYTES:
            break
    return batch


async def _restore_tables(backup: OpenBackup, store: BackupStore, note: _Note, watch: Watch) -> int:
    """Write all rows, those that balances depend on before them, and the positions of the readers last."""
    rows = 0
    for entry in sorted(backup.manifest.tables, key=lambda entry: entry.table == "user_balances"):
        chunks, done = backup.chunks(entry), 0
        while (chunk := await asyncio.to_thread(_next, chunks)) is not None:
            await write_rows(store, BY_NAME[entry.table], chunk, note.after(len(chunk)))
            done += len(chunk)
            watch(f"table {entry.table}", done, entry.file.records)
        rows += done
    for progress in backup.manifest.progress:
        await write_progress(store, progress)
    return rows


def _next(chunks: Iterator[T]) -> T | None:
    return next(chunks, None)


async def restore_journal(backup: OpenBackup, entry: CoreEntry, directory: Directory) -> None:
    """Have a core's journal begin with its snapshot; nothing when it does already.

    Raises BackupError when there is any other journal.
    """
    data = await asyncio.to_thread(backup.snapshot_data, entry)
    name = snapshot_name(entry.next_offset)
    present = await _journal_files(directory)
    if present == [name] and data in await directory.read(name):
        return
    if present:
        raise BackupError(f"{entry.source} has a journal that is not from {backup.manifest.name}: {present[0]}")
    await seed_journal(directory, entry.source, data, entry.next_offset)


def find_core(backup: OpenBackup, source: str) -> CoreEntry:
    """Raises BackupError when the backup has no such core."""
    for entry in backup.manifest.cores:
        if entry.source == source:
            return entry
    raise BackupError(f"{backup.manifest.name} has no core {source}: it has {', '.join(backup.layout.sources)}")
