"""`exchange schema`: make the tables in the database what this program wants, or drop them."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import typer

from services.adapters.cql.drop import drop_keyspace, keyspace_tables
from services.adapters.cql.migrations import MigrationStatus, apply_schema, schema_status
from services.adapters.cql.settings import CqlSettings
from services.cli.options import Config, Confirmed
from services.config import load_settings
from services.runtime.connections import cql_settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Make the tables of the distributed form.")


@app.callback()
def _group() -> None:
    """Make the tables of the distributed form."""


@app.command()
def apply(config: Config = None) -> None:
    """Create the keyspace when it is missing, and apply the migrations that were not applied yet, in their order.

    Doing it again changes nothing, and two may do it at one time. When the database has a migration that was edited
    since, or that this program does not have, it is refused, before anything is changed.
    """
    settings = _settings(config)
    for name in (applied := asyncio.run(apply_schema(settings))):
        print(f"applied {name}")
    print(f"{'Done' if applied else 'Nothing to do'}: keyspace {settings.keyspace} is up to date.")


@app.command()
def status(config: Config = None) -> None:
    """Say which migrations were applied. The exit status is 1 when one is missing, or is not what was applied."""
    settings = _settings(config)
    found = asyncio.run(schema_status(settings))
    for one in found:
        print(f"{one.name}: {_state(one)}")
    if any(one.applied is None or one.problem for one in found):
        raise typer.Exit(1)


@app.command()
def drop(config: Config = None, yes: Confirmed = False) -> None:
    """Drop the exchange's keyspace, with all history, balances and API keys in it. Only a backup brings them back.

    Stop its processes first. A keyspace that is not there is fine; one that holds other tables too is left alone.
    Without --yes nothing is dropped, and the exit status is 1 when something would be.
    """
    settings = _settings(config)
    tables = asyncio.run(keyspace_tables(settings))
    if tables is None:
        print(f"Nothing to do: there is no keyspace {settings.keyspace}.")
        return
    print(f"keyspace {settings.keyspace} with {len(tables)} tables")
    if not yes:
        print("exchange: nothing was dropped; --yes drops this keyspace, and all that is in it", file=sys.stderr)
        raise typer.Exit(1)
    asyncio.run(drop_keyspace(settings))
    print(f"Done: keyspace {settings.keyspace} was dropped.")


def _state(one: MigrationStatus) -> str:
    if one.problem:
        return one.problem
    return "not applied" if one.applied is None else f"applied, checksum {one.applied}"


def _settings(config: Path | None) -> CqlSettings:
    # The driver complains at every attempt; what came of all of them is said at the end.
    logging.getLogger("cassandra").addHandler(logging.NullHandler())
    return cql_settings(load_settings(config, os.environ))
