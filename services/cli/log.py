"""`exchange log`: look at the topics of the log, also while an exchange writes them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from services.adapters.log_sqlite import SqliteLog
from services.adapters.log_sqlite_reader import SqliteLogReader, check_offset
from services.adapters.ports import StoredFrame
from services.cli.log_lines import RecordLine, record_lines
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
) -> None:
    """Print the records of a topic: partition, offset, source, sequence, and the record with the name of its type."""
    if topic not in TOPICS:
        raise ConfigError(f"there is no topic {topic!r}; there are {', '.join(TOPICS)}")
    path = data_dir / LOG_FILE
    if not path.exists():
        raise ConfigError(f"{data_dir} holds no log; name the exchange's folder with --data-dir")
    printer = _print_json if as_json else _pretty_printer()
    with suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_tail(path, topic, partition, start, follow, printer))


async def _tail(path: Path, topic: str, partition: int | None, start: int | None, follow: bool, printer: Any) -> None:
    log = SqliteLog.open_read_only(path)
    try:
        known = [known for known in await log.partitions() if known.topic == topic]
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


async def _print(
    log: SqliteLogReader, partition: TopicPartition, start: int | None, follow: bool, printer: Any
) -> None:
    async for frame in _frames(log, partition, start, follow):
        for line in record_lines(partition, frame):
            printer(line)


async def _frames(
    log: SqliteLogReader, partition: TopicPartition, start: int | None, follow: bool
) -> AsyncIterator[StoredFrame]:
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
