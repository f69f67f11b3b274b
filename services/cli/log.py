"""`exchange log`: look at the topics of the log, also while an exchange writes them."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from services.adapters.ports import Log, StoredFrame
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.log_reader import check_offset
from services.cli.log_lines import RecordLine, record_lines
from services.config import Settings, load_settings
from services.domain.errors import ConfigError
from services.domain.topics import TOPICS, TopicPartition
from services.runtime.layout import LOG_FILE

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Look at the topics of the log.")


@app.callback()
def _group() -> None:
    """Look at the topics of the log: balance.operations, balance.events, orders, engine.outputs."""


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help="balance.operations, balance.events, orders or engine.outputs.")],
    start: Annotated[
        int | None,
        typer.Option("--from", min=0, show_default="the 10 newest frames", help="Offset of the first frame."),
    ] = None,
    partition: Annotated[
        int | None, typer.Option(min=0, show_default="all, one after the other", help="One partition.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a record.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")] = False,
    data_dir: Annotated[Path, typer.Option(envvar="DATA_DIR", help="The exchange's data folder.")] = Path("data"),
    config: Annotated[
        Path | None, typer.Option(envvar="EXCHANGE_CONFIG", help="Settings of the distributed form: read its broker.")
    ] = None,
) -> None:
    """Print the records of a topic: partition, offset, source, sequence, and the record with the name of its type."""
    if topic not in TOPICS:
        raise ConfigError(f"there is no topic {topic!r}; there are {', '.join(TOPICS)}")
    path = data_dir / LOG_FILE
    # The local form has settings too, and no broker in them.
    settings = load_settings(config, os.environ) if config is not None else Settings()
    distributed = bool(settings.broker.bootstrap_servers)
    if not distributed and not path.exists():
        raise ConfigError(
            f"{data_dir} holds no log; name the exchange's folder with --data-dir, or its settings with --config"
        )
    printer = _print_json if as_json else _pretty_printer()
    opened = _open_distributed(settings) if distributed else _open_local(path)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_tail(opened, topic, partition, start, follow, printer))


async def _open_local(path: Path) -> tuple[Log, list[TopicPartition]]:
    log = SqliteLog.open_read_only(path)
    return log, await log.partitions()


async def _open_distributed(settings: Settings) -> tuple[Log, list[TopicPartition]]:
    from services.runtime.connections import open_log
    from services.runtime.topics import topic_partitions

    # The client complains at every attempt; what came of all of them is said at the end.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    counts = topic_partitions(settings)
    return open_log(settings, "exchange-tail"), [TopicPartition(t, n) for t in counts for n in range(counts[t])]


async def _tail(
    opened: Awaitable[tuple[Log, list[TopicPartition]]],
    topic: str,
    partition: int | None,
    start: int | None,
    follow: bool,
    printer: Any,
) -> None:
    log, partitions = await opened
    try:
        known = [known for known in partitions if known.topic == topic]
        wanted = known if partition is None else [TopicPartition(topic, partition)]
        if follow:
            async with asyncio.TaskGroup() as group:
                for one in wanted or [TopicPartition(topic, 0)]:
                    group.create_task(_print(log, one, start, follow, printer))
        else:
            for one in wanted:
                await _print(log, one, start, follow, printer)
    finally:
        await log.close()


async def _print(log: Log, partition: TopicPartition, start: int | None, follow: bool, printer: Any) -> None:
    async for frame in _frames(log, partition, start, follow):
        for line in record_lines(partition, frame):
            printer(line)


async def _frames(log: Log, partition: TopicPartition, start: int | None, follow: bool) -> AsyncIterator[StoredFrame]:
    """Frames from `start` on (the ten newest when it is None), and what comes after them when `follow`."""
    first, end = await log.start(partition), await log.end(partition)
    offset = max(first, end - 10) if start is None else start
    if not follow:
        # Nothing printed would look like nothing written. Who follows may wait for what is still to come.
        check_offset(partition, offset, first, end)
    while follow or offset < end:
        if follow:
            await log.wait(partition, offset)
        for frame in await log.read(partition, offset):
            yield frame
            offset = frame.offset + 1


def _print_json(line: RecordLine) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _pretty_printer() -> Any:
    console = Console(highlight=False, soft_wrap=True)

    def show(line: RecordLine) -> None:
        text = Text()
        text.append(f"{line.partition:>3} {line.offset:>8} ", style="dim")
        text.append(f"{line.source:<12}", style="cyan")
        text.append(f"{line.sequence or '':>8} ", style="dim")
        text.append(line.type, style="bold green")
        for name, value in line.record.items():
            text.append(f" {name}=", style="dim")
            text.append(value if isinstance(value, str) else msgspec.json.encode(value).decode())
        console.print(text)

    return show
