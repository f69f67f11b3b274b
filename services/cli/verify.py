"""`exchange verify`: recompute everything from the log alone, and compare."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.adapters.files import is_locked
from services.cli.bars import bars
from services.cli.options import DistributedConfig
from services.verify.report import Check


def verify(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="DATA_DIR",
            show_default="data",
            help="Folder of the local exchange, running or stopped; with --config, of journals to be looked at too.",
        ),
    ] = None,
    config: DistributedConfig = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="The distributed form's cores do not run: ask them nothing.")
    ] = False,
) -> None:
    """Recompute everything from the log alone and compare: outputs, digests, hash chain, every row, every sum.

    Reads only; the exchange may be running. The exit status is 1 when anything differs.
    """
    console = Console()
    # The client complains at every attempt; what came of all of them is said at the end.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    with bars() as watch:
        if config is None:
            checks = asyncio.run(_collect(_verify_local(data_dir or Path("data"), watch)))
        else:
            checks = asyncio.run(_collect(_verify_distributed(config, data_dir, stopped, watch)))
    console.print(check_table(checks))
    wrong = sum(not check.ok for check in checks)
    if wrong:
        console.print(f"[bold red]{wrong} of {len(checks)} checks failed.[/]")
        raise typer.Exit(1)
    console.print(f"[bold green]All {len(checks)} checks passed.[/]")


async def _collect(checks: AsyncIterator[Check]) -> list[Check]:
    return [check async for check in checks]


async def _verify_local(data_dir: Path, watch: Any) -> AsyncIterator[Check]:
    # Imported here so that a wrong argument is answered before both cores are loaded.
    from services.runtime.live_state import live_digests
    from services.runtime.verification import verify_folder

    in_memory = await live_digests(data_dir) if is_locked(data_dir) else None
    async for check in verify_folder(data_dir, in_memory, watch):
        yield check


async def _verify_distributed(config: Path, data_dir: Path | None, stopped: bool, watch: Any) -> AsyncIterator[Check]:
    from services.config import load_settings
    from services.runtime.distributed.verification import verify_distributed

    async for check in verify_distributed(load_settings(config, os.environ), watch, stopped=stopped, data_dir=data_dir):
        yield check


def check_table(checks: list[Check]) -> Table:
    """The checks as a table."""
    table = Table("", "check", "result", title="Verification", title_justify="left")
    for check in checks:
        table.add_row("[green]✓[/]" if check.ok else "[bold red]✗[/]", check.name, check.detail)
    return table
