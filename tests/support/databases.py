"""Fixtures: a real database, one for all tests of a folder that ask for it. Import both into its conftest."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from cassandra.cluster import Cluster

from services.adapters.cql.migrations import apply_schema
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.tables import TABLES
from tests.real.database import Database

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="package")
def started_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("database"))
    try:
        database.start()
        yield database
    finally:
        database.end()


@pytest.fixture
def database(started_database: Database) -> Database:
    """A real database that runs, whatever the test before did to it. Its content is that of all tests together."""
    started_database.thaw()
    if started_database.process.poll() is not None:
        started_database.start()
    return started_database


@pytest.fixture(scope="package")
def schema_keyspace(started_database: Database) -> str:
    """A keyspace with the schema, which takes a second or two to make: one for all tests that empty it."""
    keyspace = new_keyspace()
    asyncio.run(apply_schema(cql_settings(started_database, keyspace)))
    return keyspace


@pytest.fixture
def empty_store(database: Database, schema_keyspace: str) -> CqlSettings:
    """A store with the schema and without rows."""
    empty_tables(database, schema_keyspace)
    return cql_settings(database, schema_keyspace)


def new_keyspace() -> str:
    """A name that no other test has."""
    return f"test_{next(_NUMBERS)}"


def cql_settings(database: Database, keyspace: str) -> CqlSettings:
    """How to reach a database of the tests."""
    # The machine may be busy with other tests.
    return CqlSettings(
        contact_points=(database.host,),
        port=database.port,
        keyspace=keyspace,
        request_timeout_s=30,
        connect_timeout_s=30,
    )


def empty_tables(database: Database, keyspace: str) -> None:
    """Remove all rows of the store."""
    cluster = Cluster([database.host], port=database.port, protocol_version=4)
    try:
        session = cluster.connect(keyspace)
        for table in TABLES:
            # Looking costs nothing, and a table that is emptied is synced to the disk.
            if session.execute(f"SELECT * FROM {table} LIMIT 1").one() is not None:
                session.execute(f"TRUNCATE {table}", timeout=60)
    finally:
        cluster.shutdown()
