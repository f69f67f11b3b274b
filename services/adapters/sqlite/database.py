"""Connections and threads of the SQLite store: one writer, a few readers, and what their errors mean.

Queries are for clients, and as long as they like them. What the exchange itself needs before it can go on (a key, a
balance's version) has a thread of its own, so that no query holds it up.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from services.adapters.sqlite.schema import check_schema, create_schema
from services.adapters.store_calls import CallWatch
from services.domain.errors import StoreError, StoreUnavailable

T = TypeVar("T")

BUSY_SECONDS: Final = 5.0
"""How long SQLite waits for another process's lock before the call fails with StoreUnavailable."""

READERS: Final = 3

MAX_QUERIES: Final = 256
"""Queries that run or wait at one time; more are refused with StoreUnavailable."""

_TRANSIENT: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Result codes that an operator or time can cure without a change to the store's content."""


class SqliteDatabase:
    """A database file behind an async door: `_write` on its one writer thread, `_read` on any reader thread, and
    `_look_up` on one that no query ever uses.

    on_call: told of the calls of its ports. read_only: no writer; every read sees the store as it was when it was
    opened, while another process writes on.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Raises StoreError when the file is no store, or missing and `read_only`; StoreUnavailable when locked."""
        self.on_call: CallWatch | None = None
        self._path = path
        self._read_only = read_only
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        # One reader thread when read-only: its one transaction is the one moment that all reads see.
        self._readers = ThreadPoolExecutor(1 if read_only else READERS, thread_name_prefix="store-reader")
        self._own_reader = self._readers if read_only else ThreadPoolExecutor(1, thread_name_prefix="store-own-reader")
        self._queries = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        first = (self._readers, self._reading) if read_only else (self._writer, self._writing)
        first[0].submit(self._guard, first[1]).result()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one durable transaction: all of it, or nothing when it raises."""
        if self._read_only:
            raise StoreError(f"store {self._path} is open for reading only")
        return await self._run(self._writer, lambda: _in_transaction(self._writing(), work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query. Raises StoreUnavailable when MAX_QUERIES are under way."""
        if self._queries >= MAX_QUERIES:
            raise StoreUnavailable(f"store {self._path}: too many queries at one time")
        self._queries += 1
        try:
            return await self._run(self._readers, lambda: work(self._reading()))
        finally:
            self._queries -= 1

    async def _look_up(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a short query of the exchange's own."""
        return await self._run(self._own_reader, lambda: work(self._reading()))

    async def close(self) -> None:
        """Finish what was asked and close every connection."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._own_reader.shutdown()
        while self._connections:
            self._connections.pop().close()

    async def _run(self, executor: Executor, work: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(executor, self._guard, work)
        except RuntimeError as error:
            raise StoreError(f"store {self._path} is closed") from error
        return await future

    def _guard(self, work: Callable[[], T]) -> T:
        """Run `work`, with SQLite's errors as ours."""
        try:
            return work()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            kind = StoreUnavailable if code in _TRANSIENT else StoreError
            raise kind(f"store {self._path}: {error}") from error

    def _writing(self) -> sqlite3.Connection:
        """The writer thread's connection."""
        return self._connection(_prepare_writer)

    def _reading(self) -> sqlite3.Connection:
        """This reader thread's connection."""
        return self._connection(_prepare_moment if self._read_only else _prepare_reader)

    def _connection(self, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        """This thread's connection, opened at its first use."""
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._open(prepare)
            self._own.connection = connection
        return connection

    def _open(self, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rwc"
        connection = sqlite3.connect(
            f"file:{quote(str(self._path))}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            # Each thread uses its own; only `close` comes from outside, when the threads are gone.
            check_same_thread=False,
            cached_statements=512,
        )
        try:
            connection.execute("PRAGMA cache_size = -65536")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connections.append(connection)
        return connection


def _prepare_writer(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Batches touch the same pages again and again: checkpoint rarely (64 MB), and give the space back afterwards.
    connection.execute("PRAGMA wal_autocheckpoint = 16384")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    create_schema(connection)


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")


def _prepare_moment(connection: sqlite3.Connection) -> None:
    """Begin the transaction whose first read decides what all the others see."""
    connection.execute("BEGIN")
    check_schema(connection)


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # A disk that is full has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
