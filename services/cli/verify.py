"""`exchange verify`: recompute everything from the log alone, and compare."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.adapters.files import is_locked
from services.verify.report import Check


def verify(
    data_dir: Annotated[
        Path, typer.Option(envvar="DATA_DIR", help="Folder of the exchange, running or stopped.")
    ] = Path("data"),
) -> None:
    """Recompute everything from the log alone and compare: outputs, digests, hash chain, every row, every sum.

    Reads only; the exchange may be running. The exit status is 1 when anything differs.
    """
    console = Console()
    checks = asyncio.run(_run(data_dir, console))
    console.print(check_table(checks))
    wrong = sum(not check.ok for check in checks)
    if wrong:
        console.print(f"[bold red]{wrong} of {len(checks)} checks failed.[/]")
        raise typer.Exit(1)
    console.print(f"[bold green]All {len(checks)} checks passed.[/]")


async def _run(data_dir: Path, console: Console) -> list[Check]:
    # Imported here so that a wrong argument is answered before both cores are loaded.
    from services.runtime.live_state import live_digests
    from services.runtime.verification import verify_folder

    checks = []
    in_memory = await live_digests(data_dir) if is_locked(data_dir) else None
    with console.status("Folding the log …") as status:
        async for check in verify_folder(data_dir, in_memory):
            checks.append(check)
            status.update(f"{check.name} …")
    return checks


def check_table(checks: list[Check]) -> Table:
    """The checks as a table."""
    table = Table("", "check", "result", title="Verification", title_justify="left")
    for check in checks:
        table.add_row("[green]✓[/]" if check.ok else "[bold red]✗[/]", check.name, check.detail)
    return table
