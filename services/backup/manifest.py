"""What a backup says of itself: where everybody stood, and which files it has, with their checksums. Pure.

    <target>/<name>/manifest.json             written last: a folder without it is no backup
                    core-<source>.bin         a core's snapshot, as its journal keeps it
                    table-<table>.bin         rows of the store
                    log-<topic>-<number>.bin  frames of a partition

The manifest is JSON, sealed by a checksum of itself; files are streams (see `stream`).
"""

import re
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec

from services.domain.errors import BackupError
from services.domain.rows import ProgressRow
from services.domain.topics import TopicPartition

VERSION: Final = 1
MANIFEST: Final = "manifest.json"
CHECKSUM_BYTES: Final = 32
_NAME: Final = re.compile(r"backup-[0-9]{8}T[0-9]{6}\.[0-9]{3}Z", re.ASCII)


class FileEntry(msgspec.Struct, frozen=True):
    """A file. blake2b: of its bytes, in hex. records: rows or frames."""

    name: str
    records: int
    bytes: int
    blake2b: str


class CoreEntry(msgspec.Struct, frozen=True):
    """A core's snapshot. digest: of the core at `next_offset`, in hex. layout: its shard, as `Core.layout`."""

    source: str
    layout: str
    next_offset: int
    digest: str
    file: FileEntry


class TableEntry(msgspec.Struct, frozen=True):
    """A table of the store."""

    table: str
    file: FileEntry


class PartitionEntry(msgspec.Struct, frozen=True):
    """The captured frames of a partition: from offset `start` up to, without it, `end`."""

    topic: str
    number: int
    start: int
    end: int
    file: FileEntry

    @property
    def partition(self) -> TopicPartition:
        """As everybody else names it."""
        return TopicPartition(self.topic, self.number)


class Manifest(msgspec.Struct, frozen=True):
    """A whole backup. exchange_version: of the program that made it."""

    version: int
    name: str
    exchange_version: str
    created_ms: int
    account_shards: int
    matcher_shards: int
    cores: list[CoreEntry]
    progress: list[ProgressRow]
    """Where settlement and order_history stood before any other row was read."""
    tables: list[TableEntry]
    partitions: list[PartitionEntry]

    @property
    def files(self) -> list[FileEntry]:
        """All of them."""
        entries: list[CoreEntry | TableEntry | PartitionEntry] = [*self.cores, *self.tables, *self.partitions]
        return [entry.file for entry in entries]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


class _Sealed(msgspec.Struct):
    blake2b: str
    backup: msgspec.Raw


class _Version(msgspec.Struct):
    version: int


def backup_name(created_ms: int) -> str:
    """Names sort by time."""
    moment = datetime.fromtimestamp(created_ms // 1000, UTC)
    return f"backup-{moment:%Y%m%dT%H%M%S}.{created_ms % 1000:03d}Z"


def is_backup_name(name: str) -> bool:
    """Whether a folder may be a backup's."""
    return _NAME.fullmatch(name) is not None


def checksum(data: bytes) -> str:
    return blake2b(data, digest_size=CHECKSUM_BYTES).hexdigest()


def encode_manifest(manifest: Manifest) -> bytes:
    """JSON that a person can read."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return b'{"blake2b": "%s",\n"backup": %s}\n' % (checksum(body).encode(), body)


def decode_manifest(data: bytes) -> Manifest:
    """Raises BackupError when it is damaged or torn, or of a version that this program does not know."""
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
        if checksum(bytes(sealed.backup)) != sealed.blake2b:
            raise BackupError(
                f"{MANIFEST} is damaged: it says blake2b {sealed.blake2b}, its content has "
                f"{checksum(bytes(sealed.backup))}"
            )
        version = msgspec.json.decode(sealed.backup, type=_Version).version
        if version != VERSION:
            raise BackupError(f"{MANIFEST} has format version {version}, this program knows {VERSION}")
        return msgspec.json.decode(sealed.backup, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupError(f"{MANIFEST} is damaged or was not finished: {error}") from error
