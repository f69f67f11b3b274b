"""The life of one process of the distributed form, from its start to its exit status."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import typer
import uvloop

from services.adapters.logs.logs import Logs, ServiceLog
from services.adapters.metrics import catalogue
from services.cli.local_banner import base_url
from services.cli.local_guards import bound, describe
from services.cli.running import open_logs, signals
from services.config import Settings
from services.domain.errors import ConfigError, ExchangeError, InvariantError

HOLD_SECONDS: Final = 20.0
"""How long a process whose state must not be is there to be looked at: longer than from one scrape to the next."""
REPEAT_SECONDS: Final = 30.0
_MESSAGES: Final = 100
_INSISTENT: Final = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
    "cassandra.cluster",
    "cassandra.connection",
)
"""Each by its own name: a filter of a logger does not count for those below it."""


def live(service: str, member: int, settings: Settings, make: Callable[[Logs], Any]) -> None:
    """Make a process (see `runtime.distributed.process.Process`) and run it until a signal, or until it fails.

    Its health is answered from the beginning. Logs go to stdout, or to files when LOG_DIR is set. A failure ends in
    one sentence on stderr and status 1. An InvariantError stops all work at once, and is shown for HOLD_SECONDS: a
    process that only ended, and was started again to end again, would be gone whenever its numbers are asked for.
    """
    folder = Path(os.environ["LOG_DIR"]) if os.environ.get("LOG_DIR") else None
    internal = settings.internal
    with (
        bound(internal.host, internal.port, "--internal-port") as listener,
        open_logs(folder, settings.log.level, f"{service}-{member}") as logs,
    ):
        lines = logs.service(service.replace("-", "_"), member)
        _quieten_libraries()
        with logs.capturing_stdlib(lines):
            failure = uvloop.run(_live(lambda: make(logs), listener, lines))
        if failure:
            lines.error("stopped", reason=failure)
            print(f"exchange: stopped: {failure}", file=sys.stderr)
            raise typer.Exit(1)


def _quieten_libraries() -> None:
    for name in _INSISTENT:
        logging.getLogger(name).addFilter(_SeldomTheSame())


class _SeldomTheSame(logging.Filter):
    """Lets a message pass once in REPEAT_SECONDS. While a broker is away it would come several times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message, now = record.getMessage(), time.monotonic()
        if now - self._said.get(message, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._said) >= _MESSAGES:
            self._said.clear()
        self._said[message] = now
        return True


async def _live(make: Callable[[], Any], listener: socket.socket, lines: ServiceLog) -> str:
    """Returns the failure's sentence, empty when it was a signal."""
    failed: Exception | None = None
    asked = signals()
    from services.adapters.internal.server import InternalServer
    from services.runtime.process import tune_process

    process = make()
    process.metrics.watch(catalogue.INVARIANT_BROKEN, lambda: failed is not None and _is_invariant(failed))
    tune_process()
    server = InternalServer(process.health, process.metrics.registry, process.core_reads)
    await server.start(listener)
    lines.info("starting", internal=base_url(listener))
    try:
        failed = await _until_told(process, asked, lines)
    except ConfigError:
        await process.stop()
        raise
    except Exception as error:
        failed = error
    failure = "" if failed is None else describe(failed)
    lines.info("stopping")
    try:
        await process.stop()
    except Exception as error:
        failure = failure or f"while stopping: {describe(error)}"
    if failed is not None and _is_invariant(failed):
        await _hold(failure, asked, lines)
    await server.close()
    if not failure:
        lines.info("stopped")
    return failure


def _is_invariant(error: BaseException) -> bool:
    """Whether it is, or holds, an InvariantError."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_invariant(one) for one in error.exceptions)
    return isinstance(error, InvariantError)


async def _hold(failure: str, asked: asyncio.Event, lines: ServiceLog) -> None:
    """Answer on, without doing anything, for HOLD_SECONDS or until a signal."""
    lines.error("held", reason=failure, seconds=HOLD_SECONDS)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HOLD_SECONDS):
            await asked.wait()


async def _until_told(process: Any, asked: asyncio.Event, lines: ServiceLog) -> Exception | None:
    """Start it, and return when it was told to stop, or with what stopped it."""
    starting, stopping = asyncio.create_task(process.start()), asyncio.create_task(asked.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return None
    try:
        starting.result()
        lines.info("ready")
        failing = asyncio.create_task(process.wait_failed())
        await asyncio.wait([failing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            error = failing.exception()
            return error if isinstance(error, Exception) else ExchangeError("it ended by itself")
        failing.cancel()
        await asyncio.gather(failing, return_exceptions=True)
        return None
    finally:
        stopping.cancel()
