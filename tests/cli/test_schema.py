"""`exchange schema` on a real database."""

from pathlib import Path

from tests.real.database import Database
from tests.support.databases import new_keyspace
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


def test_schema_apply_without_a_database_says_so_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    path.write_text("database: {contactPoints: [127.0.0.1], port: 1}\n")
    answer = run("schema", "apply", "--config", path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("exchange: database: cannot connect to 127.0.0.1: NoHostAvailable")
    assert answer.stderr.count("\n") == 1
