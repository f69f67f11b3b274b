"""`exchange top`: the figures of a running exchange, live in a terminal."""

import asyncio
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from services.adapters.metrics.figures import Figures, Look
from services.cli.top_looks import look_at
from services.cli.top_view import screen
from services.domain.errors import ConfigError

LOCAL: Final = "http://127.0.0.1:3001"
EXIT_NOT_READY: Final = 1


class _Running(msgspec.Struct):
    """Of the file that `make up` writes: where each process answers."""

    internal: dict[str, str]


def top(
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="URL...", help="Where processes answer /health and /metrics.", show_default=LOCAL),
    ] = None,
    running: Annotated[
        Path | None, typer.Option(help="Ask the processes in this running.json, which `make up` wrote.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print it once, and say by the status whether it is ready.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Show health, rates, latencies, lag, journals and markets of a running exchange, live, until Ctrl-C.

    One URL is enough for the local form. In the distributed form each process has figures of its own: name all of
    them, by the gateways' port or the internal ones. Rates and latencies are of the time between two looks.

    With --once it looks twice, prints, and ends with 0 when every process is ready, else with 1; its latencies are
    those since the start.
    """
    asked = [url.rstrip("/") for url in urls or ()] + _recorded(running)
    try:
        looks = asyncio.run(_show(asked or [LOCAL], once, every))
    except KeyboardInterrupt:
        return
    if any(look.problem for look in looks):
        raise typer.Exit(EXIT_NOT_READY)


def _recorded(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return list(msgspec.json.decode(file.read_bytes(), type=_Running).internal.values())
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"--running {file}: {error}; it wants the running.json in the folder of `make up`") from error


async def _show(urls: list[str], once: bool, every_s: float) -> list[Look]:
    """Show it until cancelled; or look twice, print, and return the second look."""
    console = Console(highlight=False)
    before = await look_at(urls)
    if once:
        await asyncio.sleep(every_s)
        now = await look_at(urls)
        console.print(screen(Figures(before, now, since_start=True)))
        return now
    with Live(screen(Figures([], before, since_start=True)), console=console, screen=True, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(every_s)
            now = await look_at(urls)
            live.update(screen(Figures(before, now)), refresh=True)
            before = now
