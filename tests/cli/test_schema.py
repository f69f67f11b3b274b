"""`exchange schema` on a real database."""

import asyncio
from pathlib import Path

import pytest

from services.adapters.cql.migrations import OWN_TABLES
from services.adapters.cql.session import CqlSession
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.tables import TABLES
from tests.real.database import Database
from tests.support.databases import cql_settings, new_keyspace
from tests.support.processes import run


def write(folder: Path, database: Database) -> tuple[Path, str]:
    path, keyspace = folder / "exchange.yaml", new_keyspace()
    path.write_text(f"database: {{contactPoints: [{database.host}], port: {database.port}, keyspace: {keyspace}}}\n")
    return path, keyspace


def test_schema_apply_makes_the_tables_and_status_tells(tmp_path: Path, database: Database) -> None:
    config, keyspace = write(tmp_path, database)
    before = run("schema", "status", "--config", config)
    assert (before.returncode, before.stderr) == (1, "")
    assert "001_settlement.cql: not applied" in before.stdout
    applied = run("schema", "apply", EXCHANGE_CONFIG=str(config))
    assert (applied.returncode, applied.stderr) == (0, "")
    assert "applied 001_settlement.cql" in applied.stdout
    assert f"Done: keyspace {keyspace} is up to date." in applied.stdout
    assert "Nothing to do" in run("schema", "apply", "--config", config).stdout
    after = run("schema", "status", "--config", config)
    assert after.returncode == 0
    assert "001_settlement.cql: applied, checksum " in after.stdout


def test_schema_drop_says_what_and_drops_only_with_yes(tmp_path: Path, database: Database) -> None:
    config, keyspace = write(tmp_path, database)
    assert run("schema", "apply", "--config", config).returncode == 0
    asked = run("schema", "drop", "--config", config)
    assert asked.returncode == 1
    assert asked.stdout == f"keyspace {keyspace} with {len(TABLES) + len(OWN_TABLES)} tables\n"
    assert asked.stderr == "exchange: nothing was dropped; --yes drops this keyspace, and all that is in it\n"
    assert run("schema", "status", "--config", config).returncode == 0
    dropped = run("schema", "drop", "--config", config, "--yes")
    assert (dropped.returncode, dropped.stderr) == (0, "")
    assert dropped.stdout == f"{asked.stdout}Done: keyspace {keyspace} was dropped.\n"
    for yes in ((), ("--yes",)):
        again = run("schema", "drop", "--config", config, *yes)
        assert (again.returncode, again.stdout) == (0, f"Nothing to do: there is no keyspace {keyspace}.\n")
    assert "applied 001_settlement.cql" in run("schema", "apply", "--config", config).stdout


def test_schema_drop_of_a_keyspace_with_tables_of_somebody_else_is_refused(tmp_path: Path, database: Database) -> None:
    config, keyspace = write(tmp_path, database)
    assert run("schema", "apply", "--config", config).returncode == 0
    asyncio.run(executed(cql_settings(database, keyspace), f"CREATE TABLE {keyspace}.recipes (k int PRIMARY KEY)"))
    refused = run("schema", "drop", "--config", config, "--yes")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"exchange: database: keyspace {keyspace} holds tables that are not the exchange's: recipes; "
        "nothing was dropped, do it by hand\n"
    )
    assert run("schema", "status", "--config", config).returncode == 0


async def executed(settings: CqlSettings, statement: str) -> None:
    session = await CqlSession.open(settings)
    try:
        await session.run(statement, timeout_s=60)
    finally:
        await session.close()


@pytest.mark.parametrize("command", [("schema", "apply"), ("schema", "drop", "--yes")])
def test_schema_of_a_database_whose_name_nobody_knows_says_so_in_one_sentence(command: tuple[str, ...]) -> None:
    answer = run(*command, EXCHANGE_DATABASE__CONTACT_POINTS="[nowhere.invalid]")
    why = "cannot connect to nowhere.invalid: UnresolvableContactPoints: no host has an address"
    assert (answer.returncode, answer.stderr) == (1, f"exchange: database: {why}\n")


def test_schema_apply_without_a_database_says_so_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    path.write_text("database: {contactPoints: [127.0.0.1], port: 1}\n")
    answer = run("schema", "apply", "--config", path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("exchange: database: cannot connect to 127.0.0.1: NoHostAvailable")
    assert answer.stderr.count("\n") == 1
