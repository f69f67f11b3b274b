"""`exchange local`: the whole exchange in this process, until it is told to stop or a service stops by itself."""

import asyncio
import os
import socket
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from services.adapters.logs.logs import Logs
from services.cli.local_banner import base_url, show_banner
from services.cli.local_guards import bound, describe, locked
from services.cli.options import Config
from services.cli.running import open_logs, signals
from services.config import Settings, load_settings
from services.domain.errors import ConfigError
from services.runtime.layout import ADDRESS_FILE


class LogTarget(StrEnum):
    """Where the JSON logs go."""

    files = "files"
    stdout = "stdout"


def local(
    host: Annotated[str | None, typer.Option(show_default="127.0.0.1", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(show_default="3001", help="Port to listen on; 0: any free one.")] = None,
    data_dir: Annotated[
        Path, typer.Option(envvar="DATA_DIR", help="Folder that holds everything; made when missing.")
    ] = Path("data"),
    config: Config = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Declare BTC, ETH, USDT and two symbols, and fund three users with keys.")
    ] = False,
    log_to: Annotated[
        LogTarget, typer.Option(help="JSON logs: files in LOG_DIR (default DATA_DIR/logs), or stdout.")
    ] = LogTarget.files,
) -> None:
    """Run the whole exchange in this process: gateway, ubscore, matcher, settlement and order history.

    Everything is kept in the data folder; starting again goes on from there. Ctrl-C stops it in order. When a service
    cannot vouch for its state it stops the exchange, says where, and the exit status is 1.
    """
    settings = load_settings(config, os.environ, {"server.host": host, "server.port": port})
    folder = Path(os.environ.get("LOG_DIR") or data_dir / "logs") if log_to is LogTarget.files else None
    console = Console(stderr=folder is None, highlight=False)
    with (
        locked(data_dir),
        bound(settings.server.host, settings.server.port) as listener,
        open_logs(folder, settings.log.level, "local") as logs,
    ):
        with logs.capturing_stdlib(logs.service("gateway")):
            failure = uvloop.run(_run(settings, data_dir, demo, logs, listener, console))
        if failure:
            logs.service("local").error("stopped", reason=failure)
            print(f"exchange: stopped: {failure}", file=sys.stderr)
            raise typer.Exit(1)


async def _run(
    settings: Settings, data_dir: Path, demo: bool, logs: Logs, listener: socket.socket, console: Console
) -> str:
    """Run until a signal or a failure; returns the failure's sentence, empty when it was a signal."""
    # Imported here so that a wrong argument is answered before the whole exchange is loaded.
    from services.runtime.local import LocalExchange
    from services.runtime.process import tune_process

    tune_process()
    asked = signals()
    exchange = LocalExchange(settings, data_dir, logs=logs, demo=demo)
    failure = ""
    try:
        await exchange.start()
        failure = await _serve(exchange, listener, data_dir, asked, console)
    except ConfigError:
        await exchange.stop()
        raise
    except Exception as error:
        failure = describe(error)
    try:
        await exchange.stop()
    except Exception as error:
        failure = failure or f"while stopping: {describe(error)}"
    if not failure:
        console.print("Stopped.")
    return failure


async def _serve(exchange: Any, listener: socket.socket, data_dir: Path, asked: asyncio.Event, console: Console) -> str:
    """Answer requests until a signal or a failure; then finish those that are being answered."""
    from services.gateway.server import Server

    server = Server(exchange.app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    failing = asyncio.create_task(exchange.wait_failed())
    stopping = asyncio.create_task(asked.wait())
    # Whoever reads the address may call at once; until the server is there, they wait.
    listener.listen()
    (data_dir / ADDRESS_FILE).write_text(base_url(listener))
    show_banner(console, listener, data_dir)
    await asyncio.wait([serving, failing, stopping], return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        console.print("Stopping: answering what was asked, then the last snapshots.")
    failure = ""
    if failing.done():
        failure = describe(failing.exception() or failing.result())
    elif serving.done():
        failure = f"the HTTP server ended: {describe(serving.exception() or 'by itself')}"
    server.should_exit = True
    await asyncio.wait([serving])
    for task in (failing, stopping):
        task.cancel()
    await asyncio.gather(failing, stopping, return_exceptions=True)
    return failure
