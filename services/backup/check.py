"""Whether a backup is whole and holds together; and reading one. Blocking: call it from a thread."""

from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import msgspec

from services.adapters.backup_target import BackupTarget
from services.adapters.ports import StoredFrame
from services.backup.create import Watch
from services.backup.cut import Captured, Cut, causal_cut
from services.backup.layout import Layout
from services.backup.manifest import (
    CHECKSUM_BYTES,
    MANIFEST,
    CoreEntry,
    FileEntry,
    Manifest,
    PartitionEntry,
    TableEntry,
    decode_manifest,
    is_backup_name,
)
from services.backup.stream import decode_chunks
from services.backup.tables import BY_NAME
from services.domain.core import Core
from services.domain.errors import BackupError, ExchangeError
from services.domain.topics import TopicPartition
from services.shell.shell_snapshot import ShellSnapshot, decode_shell_snapshot

R = TypeVar("R")


class _Unfinished(BackupError):
    """A backup without a manifest."""


class Listed(NamedTuple):
    """A folder that may be a backup. why: it is none; empty when it is one. unfinished: it has no manifest."""

    name: str
    manifest: Manifest | None
    why: str
    unfinished: bool = False


class Held(NamedTuple):
    """A backup that holds together: its cores, folded to where the log is cut, and the cut."""

    cores: list[Core]
    cut: Cut


def list_backups(target: BackupTarget) -> list[Listed]:
    """All there are, oldest first, those that were not finished among them."""
    found = []
    for name in filter(is_backup_name, target.folders()):
        try:
            found.append(Listed(name, _open(target, name).manifest, ""))
        except ExchangeError as error:
            found.append(Listed(name, None, str(error), isinstance(error, _Unfinished)))
    return found


def open_backup(target: BackupTarget, name: str) -> "OpenBackup":
    """Raises BackupError when there is no such backup, or it was not finished."""
    if name not in target.folders():
        raise BackupError(f"{target.url}: {name} is no backup: there is no such folder")
    return _open(target, name)


def _open(target: BackupTarget, name: str) -> "OpenBackup":
    try:
        manifest = decode_manifest(target.read(name, MANIFEST))
    except FileNotFoundError as error:
        raise _Unfinished(f"{target.url}: {name} is no backup: it has no {MANIFEST}, so it was not finished") from error
    if manifest.name != name:
        raise BackupError(f"{target.url}: {name} holds {manifest.name}")
    return OpenBackup(target, manifest)


def newest_backup(target: BackupTarget) -> "OpenBackup":
    """The newest finished one. Raises BackupError when there is none."""
    for listed in reversed(list_backups(target)):
        if listed.manifest is not None:
            return OpenBackup(target, listed.manifest)
    raise BackupError(f"{target.url} holds no backup")


class OpenBackup:
    """A finished backup."""

    def __init__(self, target: BackupTarget, manifest: Manifest) -> None:
        self.manifest = manifest
        self.layout = Layout(manifest.account_shards, manifest.matcher_shards)
        self._target = target

    def check_files(self, watch: Watch) -> None:
        """Hold every file against the manifest. Raises BackupError with the file and both checksums."""
        done, whole = 0, self.manifest.bytes
        for file in self.manifest.files:
            seen, size = blake2b(digest_size=CHECKSUM_BYTES), 0
            for block in self._blocks(file):
                seen.update(block)
                size += len(block)
                watch("checksums", done + size, whole)
            if (seen.hexdigest(), size) != (file.blake2b, file.bytes):
                raise BackupError(
                    f"{self.manifest.name}/{file.name} is damaged: the manifest says {file.bytes} bytes, blake2b "
                    f"{file.blake2b}, the file has {size} bytes, blake2b {seen.hexdigest()}"
                )
            done += size

    def hold_together(self, watch: Watch) -> Held:
        """Cut the log where it holds together, and see that everything else in the backup stands within that.

        Holds the cores in memory, and a chunk of frames of every partition.
        """
        watch("folding the log", 0, None)
        cores = []
        for entry in self.manifest.cores:
            core = self.layout.restore(entry.source, self.snapshot(entry).core)
            if (core.next_offset, core.digest().hex()) != (entry.next_offset, entry.digest):
                raise BackupError(f"{self.manifest.name}: the snapshot of {entry.source} is not what the manifest says")
            cores.append(core)
        entries = self.manifest.partitions
        if sorted(entry.partition for entry in entries) != sorted(self.layout.partitions):
            raise BackupError(f"{self.manifest.name}: partitions are missing")
        cut = causal_cut(cores, {entry.partition: Captured(entry.start, self.frames(entry)) for entry in entries})
        self._check_positions(cut)
        for core in cores:
            _check(core)
        watch("folding the log", 1, 1)
        return Held(cores, cut)

    def _check_positions(self, cut: Cut) -> None:
        starts = {entry.partition: entry.start for entry in self.manifest.partitions}
        stands = [
            (f"{row.reader} stands on", TopicPartition(row.topic, row.partition), row.next_offset)
            for row in self.manifest.progress
        ]
        for entry in self.manifest.cores:
            stands += [
                (f"{entry.source} had written", TopicPartition(topic, number), end)
                for topic, number, end in self.snapshot(entry).output_ends
            ]
        for who, partition, offset in stands:
            start, end = starts[partition], cut.ends[partition]
            if not start <= offset <= end:
                raise BackupError(
                    f"{self.manifest.name}: {who} {partition} up to offset {offset}, but what holds together of it is "
                    f"{start} up to {end}"
                )

    def snapshot(self, entry: CoreEntry) -> ShellSnapshot:
        """A core's snapshot."""
        try:
            return decode_shell_snapshot(self.snapshot_data(entry))
        except msgspec.DecodeError as error:
            raise BackupError(f"{self.manifest.name}/{entry.file.name}: is damaged: {error}") from error

    def snapshot_data(self, entry: CoreEntry) -> bytes:
        """As a journal keeps it."""
        return b"".join(self._blocks(entry.file))

    def frames(self, entry: PartitionEntry) -> Iterator[StoredFrame]:
        """The captured frames of a partition."""
        return chain.from_iterable(self._chunks(entry.file, StoredFrame))

    def chunks(self, entry: TableEntry) -> Iterator[list[Any]]:
        """The rows of a table."""
        return self._chunks(entry.file, BY_NAME[entry.table].row_type)

    def _chunks(self, file: FileEntry, kind: type[R]) -> Iterator[list[R]]:
        return decode_chunks(self._blocks(file), kind, f"{self.manifest.name}/{file.name}")

    def _blocks(self, file: FileEntry) -> Iterator[bytes]:
        try:
            yield from self._target.blocks(self.manifest.name, file.name)
        except FileNotFoundError as error:
            raise BackupError(f"{self.manifest.name}/{file.name} is missing") from error


def _check(core: Any) -> None:
    """The core's own invariants. Raises InvariantError."""
    (core.state if hasattr(core, "state") else core).check()
