"""Migrations on a real database: once each, in order, by one at a time, and never on top of something else."""

import asyncio
import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.adapters.cql.drop import drop_keyspace
from services.adapters.cql.migrations import FOLDER, apply_schema, migrations, schema_status
from services.adapters.cql.session import CqlSession
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from services.adapters.cql.tables import COLUMN_TYPES, TABLES
from services.domain.errors import ConfigError, StoreError, StoreUnavailable
from tests.real.database import Database
from tests.support.aio import run_async
from tests.support.databases import cql_settings, new_keyspace
from tests.support.internal import silent

ROUNDS = 3
NAMES = [path.name for path in sorted(FOLDER.glob("*.cql"))]


@pytest.fixture
def settings(database: Database) -> CqlSettings:
    """A keyspace that does not exist yet."""
    return cql_settings(database, new_keyspace())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small migrations."""
    (tmp_path / "001_one.cql").write_text("CREATE TABLE IF NOT EXISTS one (k int PRIMARY KEY); -- and; a comment\n")
    (tmp_path / "002_two.cql").write_text(
        "-- Two tables.\nCREATE TABLE IF NOT EXISTS two (k int PRIMARY KEY);\n"
        "CREATE TABLE IF NOT EXISTS three (k int PRIMARY KEY);\n"
    )
    return tmp_path


async def asked(settings: CqlSettings, text: str, *values: Any) -> list[tuple[Any, ...]]:
    session = await CqlSession.open(settings)
    try:
        return await session.run(text, values)
    finally:
        await session.close()


async def tables_in(settings: CqlSettings) -> set[str]:
    text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    return {name for (name,) in await asked(settings, text, settings.keyspace)} - {"schema_migrations", "schema_lock"}


@run_async
async def test_apply_creates_keyspace_and_tables_and_again_does_nothing(settings: CqlSettings, folder: Path) -> None:
    assert [one.applied for one in await schema_status(settings, folder)] == [None, None]
    assert await apply_schema(settings, folder) == ["001_one.cql", "002_two.cql"]
    assert await tables_in(settings) == {"one", "two", "three"}
    assert await apply_schema(settings, folder) == []
    (folder / "003_next.cql").write_text("CREATE TABLE IF NOT EXISTS four (k int PRIMARY KEY);")
    assert await apply_schema(settings, folder) == ["003_next.cql"]
    assert all(one.applied == one.checksum for one in await schema_status(settings, folder))


@run_async
async def test_apply_by_two_at_once_applies_each_migration_once(settings: CqlSettings, folder: Path) -> None:
    # More than once: where they meet is a matter of milliseconds.
    for _ in range(ROUNDS):
        fresh = replace(settings, keyspace=new_keyspace())
        applied = await asyncio.gather(*[apply_schema(fresh, folder) for _ in range(3)])
        assert sorted(itertools.chain(*applied)) == ["001_one.cql", "002_two.cql"]
        assert await asked(fresh, f"SELECT * FROM {fresh.keyspace}.schema_lock") == []


@run_async
async def test_apply_of_an_edited_migration_is_refused_with_both_checksums(settings: CqlSettings, folder: Path) -> None:
    await apply_schema(settings, folder)
    before = migrations(folder)[0].checksum
    (folder / "001_one.cql").write_text("CREATE TABLE IF NOT EXISTS one (k bigint PRIMARY KEY);")
    (folder / "003_next.cql").write_text("CREATE TABLE IF NOT EXISTS four (k int PRIMARY KEY);")
    after = migrations(folder)[0].checksum
    with pytest.raises(StoreError, match=rf"001_one\.cql was edited .* {after}, the database has {before}$"):
        await apply_schema(settings, folder)
    assert "four" not in await tables_in(settings)


@run_async
async def test_apply_without_a_file_that_was_applied_is_refused(settings: CqlSettings, folder: Path) -> None:
    await apply_schema(settings, folder)
    (folder / "002_two.cql").unlink()
    with pytest.raises(StoreError, match=r"002_two\.cql was applied with checksum .* no such file"):
        await apply_schema(settings, folder)


@run_async
async def test_apply_cut_short_in_the_middle_of_a_migration_goes_on(settings: CqlSettings, folder: Path) -> None:
    whole = (folder / "002_two.cql").read_text()
    (folder / "002_two.cql").write_text(f"{whole}\nCREATE TABLE IF NOT EXISTS broken (k nothing PRIMARY KEY);")
    with pytest.raises(StoreError):
        await apply_schema(settings, folder)
    assert [one.applied is not None for one in await schema_status(settings, folder)] == [True, False]
    (folder / "002_two.cql").write_text(whole)
    assert await apply_schema(settings, folder) == ["002_two.cql"]


@run_async
async def test_apply_while_another_holds_the_lock_waits_until_it_runs_out(settings: CqlSettings, folder: Path) -> None:
    await apply_schema(settings, folder)
    lock = f"INSERT INTO {settings.keyspace}.schema_lock (name, owner) VALUES ('schema', 'killed') USING TTL 2"
    await asked(settings, lock)
    async with asyncio.timeout(20):
        assert await apply_schema(settings, folder) == []


def test_migrations_with_a_number_left_out_are_refused(folder: Path) -> None:
    (folder / "002_two.cql").rename(folder / "004_two.cql")
    with pytest.raises(StoreError, match="must be numbered"):
        migrations(folder)


@run_async
async def test_tables_of_the_schema_have_the_columns_and_keys_that_are_written(empty_store: CqlSettings) -> None:
    text = "SELECT table_name, column_name, type, kind, position FROM system_schema.columns WHERE keyspace_name = %s"
    found: dict[str, dict[str, tuple[str, str, int]]] = {}
    for table, column, type_, kind, position in await asked(empty_store, text, empty_store.keyspace):
        found.setdefault(table, {})[column] = (type_, kind, position)
    for table, (columns, partition, key) in TABLES.items():
        wanted = {}
        for place, column in enumerate(columns):
            kind, position = ("regular", -1)
            if place < key:
                kind, position = ("partition_key", place) if place < partition else ("clustering", place - partition)
            wanted[column] = (COLUMN_TYPES.get(column, "bigint"), kind, position)
        assert found[table] == wanted


@run_async
async def test_store_without_the_schema_says_what_to_run(settings: CqlSettings, tmp_path: Path) -> None:
    store = CqlStore(settings)
    with pytest.raises(StoreError, match=r"001_settlement\.cql is not applied: run `exchange schema apply`"):
        await store.check()
    await store.close()


@run_async
async def test_store_of_a_newer_program_s_schema_works_and_of_an_edited_one_does_not(
    settings: CqlSettings, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(FOLDER, newer)
    (newer / f"{len(NAMES) + 1:03}_next.cql").write_text("CREATE TABLE IF NOT EXISTS next (k int PRIMARY KEY);")
    await apply_schema(settings, newer)
    store = CqlStore(settings)
    await store.check()
    await asked(settings, f"UPDATE {settings.keyspace}.schema_migrations SET checksum = 'other' WHERE number = 1")
    await store.check()
    await store.close()
    with pytest.raises(StoreError, match="was edited after"):
        await CqlStore(settings).check()


@run_async
async def test_store_whose_view_is_gone_or_unfinished_is_not_healthy(settings: CqlSettings) -> None:
    await apply_schema(settings)
    store = CqlStore(settings)
    await store.check()
    built = "FROM system.built_views WHERE keyspace_name = %s AND view_name = 'user_balances_by_user'"
    await asked(settings, f"DELETE {built}", settings.keyspace)
    with pytest.raises(StoreUnavailable, match="still being built"):
        await store.check()
    await asked(settings, f"DROP MATERIALIZED VIEW {settings.keyspace}.user_balances_by_user")
    with pytest.raises(StoreError, match="user_balances_by_user of balance_ledger is missing"):
        await store.check()
    await store.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"contact_points": ()}, "contact points are missing"),
        ({"keyspace": "Trading; DROP"}, "is no keyspace"),
        ({"local_datacenter": "dc'1"}, "no datacenter's name"),
        ({"replication_factor": 0}, "at least 1"),
        ({"username": "exchange"}, "a user name and a password, or neither"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    good = CqlSettings(contact_points=("127.0.0.1",))
    with pytest.raises(ConfigError, match=message):
        replace(good, **wrong)


@run_async
async def test_database_that_takes_connections_and_says_nothing_is_given_up_in_time() -> None:
    async with silent() as url:
        host, port = url.removeprefix("http://").split(":")
        settings = CqlSettings(contact_points=(host,), port=int(port), connect_timeout_s=0.5, request_timeout_s=1)
        for question in (apply_schema(settings), schema_status(settings), drop_keyspace(settings)):
            async with asyncio.timeout(20):
                with pytest.raises(StoreUnavailable, match="cannot connect to"):
                    await question
