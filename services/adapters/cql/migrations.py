"""Brings the database's tables to what this program wants: numbered files of CQL, each applied once, in order.

What was applied is recorded in the keyspace itself, with a checksum of the file: one that was edited afterwards, or
that is gone, is refused. A lock with an owner and an end lets one at a time do it; another waits. Every statement says
IF NOT EXISTS, so a file that was cut short is run again from its first statement.
"""

import asyncio
import hashlib
import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from services.adapters.cql.session import CqlSession
from services.adapters.cql.settings import CqlSettings
from services.domain.errors import StoreError, StoreUnavailable

FOLDER: Final = Path(__file__).parents[1] / "schema" / "cql"
"""The project's schema/cql: `schema` here is a link to it, so that an installed package carries the files."""
STATEMENT_TIMEOUT_S: Final = 60.0
"""Of a change to the schema, which all nodes must agree to."""
LOCK_S: Final = 90
"""How long the lock outlives its owner: longer than a statement takes, for it is renewed before each."""
SETTLE_S: Final = 10.0
"""How long a keyspace that was created may take until it can be used."""
_LOOK_EVERY_S: Final = 0.2
_LOCK: Final = "schema"
OWN_TABLES: Final = ("schema_migrations", "schema_lock")
"""What it keeps about itself in the keyspace."""
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (number int PRIMARY KEY, name text, checksum text)",
    "CREATE TABLE IF NOT EXISTS schema_lock (name text PRIMARY KEY, owner text)",
)


class Migration(NamedTuple):
    """One file. checksum: of its bytes, as hex."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]


class MigrationStatus(NamedTuple):
    """One migration as the database and this program know it. applied: the checksum in the database, or None."""

    name: str
    applied: str | None
    checksum: str | None
    """Of this program's file; None when it has no such file."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be applied on top of it."""
        if self.applied is None or self.applied == self.checksum:
            return None
        if self.checksum is None:
            return f"migration {self.name} was applied with checksum {self.applied}, and this program has no such file"
        return (
            f"migration {self.name} was edited after it had been applied: its checksum is {self.checksum}, "
            f"the database has {self.applied}"
        )


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """The files of a folder, in their order. Raises StoreError when their numbers are not 1, 2, 3 …"""
    found = [_read(path) for path in sorted(folder.glob("*.cql"))]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError(f"{folder}: migrations must be numbered 001, 002, 003 …: {[one.name for one in found]}")
    return found


def _read(path: Path) -> Migration:
    data = path.read_bytes()
    text = re.sub(r"--[^\n]*", "", data.decode())
    statements = tuple(part.strip() for part in text.split(";") if part.strip())
    number = int(path.name[:3]) if path.name[:3].isdecimal() else 0
    return Migration(number, path.name, hashlib.blake2b(data, digest_size=16).hexdigest(), statements)


async def apply_schema(settings: CqlSettings, folder: Path = FOLDER) -> list[str]:
    """Create the keyspace when it is missing, and apply what was not applied yet. Returns the names of those files.

    Raises StoreError, before anything is changed, when an applied file was edited or is gone; StoreUnavailable when
    the database does not answer.
    """
    # What is recorded must be seen by everybody.
    session = await CqlSession.open(replace(settings, consistency="QUORUM"))
    try:
        await _enter_keyspace(session)
        for statement in _TABLES:
            await session.run(statement, timeout_s=STATEMENT_TIMEOUT_S)
        return await _Applying(session, migrations(folder)).run()
    finally:
        await session.close()


async def schema_status(settings: CqlSettings, folder: Path = FOLDER) -> list[MigrationStatus]:
    """Every migration that the database or this program knows, in order; none is applied when there is no keyspace."""
    session = await CqlSession.open(settings)
    try:
        return await migration_status(session, migrations(folder))
    finally:
        await session.close()


async def migration_status(session: CqlSession, files: Sequence[Migration]) -> list[MigrationStatus]:
    """As schema_status, on an open session."""
    known = {migration.number: migration for migration in files}
    applied: dict[int, tuple[str, str]] = {}
    if await _has_table(session, "schema_migrations"):
        text = f"SELECT number, name, checksum FROM {session.settings.keyspace}.schema_migrations"  # noqa: S608 - ours
        applied = {number: (name, checksum) for number, name, checksum in await session.run(text)}
    return [_status(known.get(number), applied.get(number)) for number in sorted(known.keys() | applied.keys())]


def _status(file: Migration | None, applied: tuple[str, str] | None) -> MigrationStatus:
    name = file.name if file is not None else applied[0] if applied is not None else ""
    return MigrationStatus(name, applied and applied[1], file and file.checksum)


async def _has_table(session: CqlSession, table: str) -> bool:
    text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = %s"
    return bool(await session.run(text, (session.settings.keyspace, table)))


async def _enter_keyspace(session: CqlSession) -> None:
    """Address the keyspace, and create it when there is none.

    A node may list a keyspace in its tables, or answer that IF NOT EXISTS had nothing to do, a moment before it takes
    statements for it: another is creating it just then.
    """
    with suppress(StoreError):
        return await session.use_keyspace()
    await _create_keyspace(session)
    for _ in range(int(SETTLE_S / _LOOK_EVERY_S)):
        with suppress(StoreError):
            return await session.use_keyspace()
        await asyncio.sleep(_LOOK_EVERY_S)
    return await session.use_keyspace()


async def _create_keyspace(session: CqlSession) -> None:
    settings = session.settings
    factor = settings.replication_factor
    replication = (
        f"{{'class': 'NetworkTopologyStrategy', '{settings.local_datacenter}': {factor}}}"
        if settings.local_datacenter
        else f"{{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
    )
    text = f"CREATE KEYSPACE IF NOT EXISTS {settings.keyspace} WITH replication = {replication}"
    try:
        # ScyllaDB keeps no materialized view in a keyspace with tablets.
        await session.run(f"{text} AND tablets = {{'enabled': false}}", timeout_s=STATEMENT_TIMEOUT_S)
    except StoreUnavailable:
        raise
    except StoreError:
        # Cassandra knows no tablets.
        await session.run(text, timeout_s=STATEMENT_TIMEOUT_S)


class _Applying:
    """One run, by an owner of its own."""

    def __init__(self, session: CqlSession, files: Sequence[Migration]) -> None:
        self._session = session
        self._files = files
        self._owner = str(uuid.uuid4())

    async def run(self) -> list[str]:
        await self._lock()
        try:
            return await self._apply()
        finally:
            # Unless it ran out; and when the database is away it will, so nobody waits for that here.
            with suppress(StoreError):
                text = "DELETE FROM schema_lock WHERE name = %s IF owner = %s"
                await self._session.run(text, (_LOCK, self._owner))

    async def _apply(self) -> list[str]:
        status = await migration_status(self._session, self._files)
        if problems := [one.problem for one in status if one.problem]:
            raise StoreError("\n".join(problems))
        done = {one.name for one in status if one.applied is not None}
        todo = [migration for migration in self._files if migration.name not in done]
        for migration in todo:
            await self._apply_one(migration)
        return [migration.name for migration in todo]

    async def _apply_one(self, migration: Migration) -> None:
        for statement in migration.statements:
            await self._renew()
            await self._session.run(statement, timeout_s=STATEMENT_TIMEOUT_S)
        await self._renew()
        text = "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)"
        await self._session.run(text, (migration.number, migration.name, migration.checksum))

    async def _lock(self) -> None:
        text = f"INSERT INTO schema_lock (name, owner) VALUES (%s, %s) IF NOT EXISTS USING TTL {LOCK_S}"  # noqa: S608 - ours
        # Nobody tells when the lock is free.
        while not await self._agreed(text, (_LOCK, self._owner)):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _renew(self) -> None:
        """Hold the lock for longer. Raises StoreUnavailable when it is another's now: this process was too slow."""
        text = f"UPDATE schema_lock USING TTL {LOCK_S} SET owner = %s WHERE name = %s IF owner = %s"  # noqa: S608 - ours
        if not await self._agreed(text, (self._owner, _LOCK, self._owner)):
            raise StoreUnavailable("database: the schema's lock ran out while a migration was applied: apply it again")

    async def _agreed(self, text: str, values: Sequence[str]) -> bool:
        """Whether a statement on condition took effect. After a time-out nobody knows: then ours may be there."""
        rows = await self._session.run(text, values, STATEMENT_TIMEOUT_S)
        return bool(rows[0][0])
