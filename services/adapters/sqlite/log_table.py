"""The SQLite file behind the local log: its tables, and the few statements on them. Blocking; for threads."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from services.adapters.ports import Headers, StoredFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

_SCHEMA_VERSION: Final = 2
_FIRST_VERSION: Final = 1
"""Its frames had no headers."""
_CHECKPOINT_PAGES: Final = 8192
"""32 MiB of WAL between checkpoints: each one syncs the database file, so they are kept rare."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL, UNIQUE (topic, number)
) STRICT;
CREATE TABLE IF NOT EXISTS frames (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL, headers BLOB,
    PRIMARY KEY (partition, offset)
) STRICT, WITHOUT ROWID;
"""

# All frames of a commit travel as one blob and one list of [partition, offset, start, length]. So a commit is one step
# of SQLite with the interpreter released: with a statement a row, each row would wait for a busy event loop.
_INSERT: Final = """
INSERT INTO frames (partition, offset, data)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
       substr(?1, json_extract(value, '$[2]'), json_extract(value, '$[3]'))
FROM json_each(?2)
"""
# For a commit with headers, which are behind the frame's data in the blob; few have any.
_INSERT_WITH_HEADERS: Final = """
INSERT INTO frames (partition, offset, data, headers)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'),
       substr(?1, json_extract(value, '$[2]'), json_extract(value, '$[3]')),
       iif(json_extract(value, '$[4]') = 0, NULL,
           substr(?1, json_extract(value, '$[2]') + json_extract(value, '$[3]'), json_extract(value, '$[4]')))
FROM json_each(?2)
"""
_SELECT: Final = "SELECT offset, data, headers FROM frames WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?"
_SELECT_OLD: Final = "SELECT offset, data, NULL FROM frames WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?"
# Two queries in one: SQLite finds a min or a max at once when it is asked for alone, else it walks the whole partition.
_BOUNDS: Final = """
SELECT (SELECT min(offset) FROM frames WHERE partition = ?1), (SELECT max(offset) FROM frames WHERE partition = ?1)
"""


class Bounds(NamedTuple):
    """The offsets of a partition's first kept frame and of its next one; equal when there is none."""

    start: int
    end: int


class NewFrame(NamedTuple):
    partition: TopicPartition
    offset: int
    data: bytes
    headers: Headers = ()


class FrameTable:
    """One connection to the log's file, for one thread at a time.

    Raises LogError when the file cannot be opened or was written by another version; later sqlite3.Error as it comes.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        try:
            self._connection = open_connection(path, read_only=read_only)
        except sqlite3.Error as error:
            raise LogError(f"log {path} cannot be opened: {error}") from error
        self._files = [path, path.with_name(f"{path.name}-wal")]
        self._identities = [] if read_only else self._identify()
        self._ids: dict[TopicPartition, int] = {}
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        self._select = _SELECT_OLD if version == _FIRST_VERSION else _SELECT

    def bounds(self) -> dict[TopicPartition, Bounds]:
        """Of every partition that was ever written."""
        for partition_id, topic, number in self._connection.execute("SELECT id, topic, number FROM partitions"):
            self._ids[TopicPartition(topic, number)] = partition_id
        return {partition: self._bounds(partition_id) for partition, partition_id in self._ids.items()}

    def insert(self, frames: Sequence[NewFrame]) -> None:
        """Write frames in one durable transaction.

        Raises OSError or LogError when the files are no longer there: SQLite would go on writing to what nobody can
        open any more.
        """
        meta, parts, at = [], list[bytes](), 1
        statement = _INSERT
        for partition, offset, data, headers in frames:
            encoded = b""
            if headers:
                encoded, statement = msgspec.msgpack.encode(headers), _INSERT_WITH_HEADERS
            meta.append((self._ids.get(partition) or self._make_id(partition), offset, at, len(data), len(encoded)))
            at += len(data) + len(encoded)
            parts += (data, encoded)
        self._connection.execute(statement, (b"".join(parts), msgspec.json.encode(meta).decode()))
        if self._identify() != self._identities:
            raise LogError(f"somebody put other files in the place of {self._files[0]}")

    def select(self, partition: TopicPartition, offset: int, max_frames: int) -> list[StoredFrame]:
        partition_id = self._find_id(partition)
        if partition_id is None:
            return []
        rows = self._connection.execute(self._select, (partition_id, offset, max_frames))
        return [StoredFrame(row_offset, data, _headers(encoded)) for row_offset, data, encoded in rows]

    def bounds_of(self, partition: TopicPartition) -> Bounds:
        partition_id = self._find_id(partition)
        return Bounds(0, 0) if partition_id is None else self._bounds(partition_id)

    def close(self) -> None:
        self._connection.close()

    def _identify(self) -> list[tuple[int, int]]:
        """Which files stand under the names of the log's own."""
        found = [os.stat(path) for path in self._files]
        return [(file.st_dev, file.st_ino) for file in found]

    def _bounds(self, partition_id: int) -> Bounds:
        first, last = self._connection.execute(_BOUNDS, (partition_id,)).fetchone()
        return Bounds(0, 0) if last is None else Bounds(first, last + 1)

    def _find_id(self, partition: TopicPartition) -> int | None:
        known = self._ids.get(partition)
        if known is None:
            row = self._connection.execute(
                "SELECT id FROM partitions WHERE topic = ? AND number = ?", partition
            ).fetchone()
            if row is not None:
                known = self._ids[partition] = row[0]
        return known

    def _make_id(self, partition: TopicPartition) -> int:
        self._connection.execute("INSERT OR IGNORE INTO partitions (topic, number) VALUES (?, ?)", partition)
        found = self._find_id(partition)
        assert found is not None
        return found


def _headers(encoded: bytes | None) -> Headers:
    return () if encoded is None else msgspec.msgpack.decode(encoded, type=Headers)


def open_connection(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection whose commits are durable when they return; the tables are made when missing."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= _SCHEMA_VERSION or (read_only and version == 0):
            raise LogError(f"log {path} has version {version}; this program knows {_SCHEMA_VERSION}")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            if version == _FIRST_VERSION:
                connection.execute("ALTER TABLE frames ADD COLUMN headers BLOB")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection
