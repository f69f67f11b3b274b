"""`exchange replay`: recorded NASDAQ order flow through the whole exchange."""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.adapters.logs.logs import Logs
from services.cli.local_guards import locked
from services.cli.replay_tables import show_report
from services.cli.verify import check_table
from services.config import Settings, UbscoreSettings
from services.domain.errors import ConfigError, ExchangeError
from services.gateway.errors import ApiError
from services.replay.lobster import BookRow, read_book, read_messages
from services.replay.plan import Plan, make_plan
from services.replay.player import Player, Report
from services.runtime.layout import LOG_FILE
from services.verify.report import Check

if TYPE_CHECKING:
    from services.runtime.local import LocalExchange

_TICKER: Final = re.compile(r"([A-Z0-9]{1,16})(?=_|\.|$)", re.ASCII)
_SETTINGS: Final = Settings(ubscore=UbscoreSettings(max_open_orders=1_000_000))
"""A recorded participant may have any number of open orders, and we know few of them by user."""


def replay(
    file: Annotated[Path, typer.Argument(help="A LOBSTER message file.", show_default=False)],
    compare: Annotated[
        Path | None,
        typer.Option(metavar="BOOKFILE", help="Its book file: seed the book from it, and compare after each message."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the exchange's data stays; a fresh folder. Without it, nothing stays.")
    ] = None,
    users: Annotated[int, typer.Option(min=2, max=100_000, help="How many users trade: half of them buy.")] = 10,
    ticker: Annotated[str, typer.Option(show_default="how the file's name begins", help="The stock's name.")] = "",
) -> None:
    """Feed recorded order flow (LOBSTER) through gateway, log, ubscore, matcher, settlement and order history.

    Prints what came of it, and verifies everything from the log. With --compare, the book is held against the recorded
    one after every message; without, commands follow each other as fast as they go. The exit status is 1 when anything
    does not add up.
    """
    console = Console()
    messages = read_messages(file)
    rows = read_book(compare, len(messages)) if compare is not None else None
    plan = make_plan(messages, rows[0] if rows else None, ticker or _ticker_of(file), users)
    with _folder(data_dir) as folder, locked(folder):
        if (folder / LOG_FILE).exists():
            raise ConfigError(f"{folder}: holds an exchange already; a replay wants a fresh folder")
        # Without a folder to keep them in, nobody would read the logs.
        logs = Logs(folder / "logs") if data_dir is not None else None
        try:
            report, checks = uvloop.run(_run(plan, rows, folder, logs, console))
        finally:
            if logs is not None:
                logs.close()
    show_report(console, report, plan.symbol.name)
    console.print(check_table(checks))
    if any(not check.ok for check in checks):
        raise typer.Exit(1)


async def _run(
    plan: Plan, rows: list[BookRow] | None, folder: Path, logs: Logs | None, console: Console
) -> tuple[Report, list[Check]]:
    # Imported here so that a wrong file is answered before the whole exchange is loaded.
    from services.runtime.local import LocalExchange
    from services.runtime.process import tune_process
    from services.runtime.verification import verify_folder

    tune_process()
    exchange = LocalExchange(_SETTINGS, folder, logs=logs)
    try:
        await exchange.start()
        failing = asyncio.ensure_future(exchange.wait_failed())
        playing = asyncio.ensure_future(_play(exchange, plan, rows, console))
        await asyncio.wait([failing, playing], return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            playing.cancel()
            await failing
        failing.cancel()
        report = await playing
    except ApiError as error:
        raise ExchangeError(f"the exchange did not answer: {error.msg}") from error
    finally:
        await exchange.stop()
    with console.status("Verifying everything from the log …"):
        return report, [check async for check in verify_folder(folder)]


async def _play(exchange: "LocalExchange", plan: Plan, rows: list[BookRow] | None, console: Console) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"Replaying {plan.symbol.base}", total=len(plan.steps))
        player = Player(exchange, exchange.clock, plan, lambda done: progress.update(task, completed=done))
        await player.prepare()
        return await player.play(rows)


@contextmanager
def _folder(data_dir: Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield data_dir
        return
    with tempfile.TemporaryDirectory(prefix="exchange-replay-") as folder:
        yield Path(folder)


def _ticker_of(file: Path) -> str:
    match = _TICKER.match(file.name)
    if match is None:
        raise ConfigError(f"{file.name} does not begin with a stock's name; name it with --ticker")
    return match.group(1)
