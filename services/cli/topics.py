"""`exchange topics`: make the topics on the broker what the settings say, or delete them."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import typer

from services.cli.options import Config, Confirmed
from services.config import Settings, load_settings
from services.runtime.topics import apply_settings, delete_all, present, topic_partitions, topic_settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Make the topics of the distributed form.")


@app.callback()
def _group() -> None:
    """Make the topics of the distributed form: balance.operations, balance.events, orders, engine.outputs."""


@app.command()
def apply(config: Config = None) -> None:
    """Create the topics, or grow them to the settings' shards, and set how long they keep frames.

    Doing it again changes nothing. A topic with more partitions than the settings want is refused, before anything is
    changed: the frames of a partition would be lost.
    """
    settings = _settings(config)
    wanted, kept = topic_settings(settings), settings.broker.retention_ms
    changes = asyncio.run(apply_settings(settings))
    for change in changes:
        print(change)
    if wanted.retention_ms != kept:
        print(
            f"Frames are kept for {_hours(wanted.retention_ms)}, not {_hours(kept)}: snapshots and backups need them."
        )
    partitions = ", ".join(f"{name} × {count}" for name, count in topic_partitions(settings).items())
    print(f"{'Done' if changes else 'Nothing to do'}: {partitions}.")


@app.command()
def delete(config: Config = None, yes: Confirmed = False) -> None:
    """Delete the exchange's topics, with every order and balance on them. Nothing brings them back but a backup.

    Stop its processes first. Topics that are not there are fine, and other topics with the same prefix are left alone.
    Without --yes nothing is deleted, and the exit status is 1 when something would be.
    """
    settings = _settings(config)
    found = asyncio.run(present(settings))
    for name, partitions in found.items():
        print(f"topic {name} with {partitions} partitions")
    if not found:
        print("Nothing to do: the brokers have no topic of this exchange.")
    elif not yes:
        print("exchange: nothing was deleted; --yes deletes these topics, and all that is on them", file=sys.stderr)
        raise typer.Exit(1)
    else:
        asyncio.run(delete_all(settings))
        print(f"Done: {len(found)} topics were deleted.")


def _settings(config: Path | None) -> Settings:
    # The client complains at every attempt; what came of all of them is said at the end.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    return load_settings(config, os.environ)


def _hours(milliseconds: int | None) -> str:
    return f"{(milliseconds or 0) / 3_600_000:g} h"
