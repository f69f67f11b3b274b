"""`exchange topics`: make the topics on the broker what the settings say."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from services.config import load_settings
from services.runtime.topics import apply_settings, topic_partitions, topic_settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Make the topics of the distributed form.")


@app.callback()
def _group() -> None:
    """Make the topics of the distributed form: balance.operations, balance.events, orders, engine.outputs."""


@app.command()
def apply(
    config: Annotated[
        Path | None, typer.Option(envvar="EXCHANGE_CONFIG", help="Settings, a YAML file; the environment may override.")
    ] = None,
) -> None:
    """Create the topics, or grow them to the settings' shards, and set how long they keep frames.

    Doing it again changes nothing. A topic with more partitions than the settings want is refused, before anything is
    changed: the frames of a partition would be lost.
    """
    settings = load_settings(config, os.environ)
    # The client complains at every attempt; what came of all of them is said at the end.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
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


def _hours(milliseconds: int | None) -> str:
    return f"{(milliseconds or 0) / 3_600_000:g} h"
