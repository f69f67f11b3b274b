"""The life of one process of the distributed form, from its start to its exit status."""

import asyncio
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

from services.adapters.logs import Logs, ServiceLog
from services.cli.local_banner import base_url
from services.cli.local_guards import bound, describe
from services.cli.running import open_logs, signals
from services.config import Settings
from services.domain.errors import ConfigError

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
_TALKATIVE: Final = ("aiokafka", "cassandra", "faust", "mode", "services.adapters.frames_faust_app")


def live(service: str, member: int, settings: Settings, make: Callable[[Logs], Any]) -> None:
    """Make a process (see `runtime.distributed.process.Process`) and run it until a signal, or until it fails.

    Its health is answered from the beginning. Logs go to stdout, or to files when LOG_DIR is set. A failure ends in
    one sentence on stderr and status 1.
    """
    folder = Path(os.environ["LOG_DIR"]) if os.environ.get("LOG_DIR") else None
    internal = settings.internal
    with bound(internal.host, internal.port, "--internal-port") as listener, open_logs(folder, settings) as logs:
        lines = logs.service(service.replace("-", "_"), member)
        _quieten_libraries(settings)
        with logs.capturing_stdlib(lines):
            failure = uvloop.run(_live(lambda: make(logs), listener, lines))
        if failure:
            lines.error("stopped", reason=failure)
            print(f"exchange: stopped: {failure}", file=sys.stderr)
            raise typer.Exit(1)


def _quieten_libraries(settings: Settings) -> None:
    """What they say about every connection and every step of a group is for whoever asked for everything."""
    if settings.log.level != "debug":
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
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
    asked = signals()
    from services.adapters.internal_server import InternalServer
    from services.runtime.process import tune_process

    process = make()
    tune_process()
    server = InternalServer(process.health, process.metrics.registry, process.core_reads)
    await server.start(listener)
    lines.info("starting", internal=base_url(listener))
    failure = ""
    try:
        failure = await _until_told(process, asked, lines)
    except ConfigError:
        await process.stop()
        raise
    except Exception as error:
        failure = describe(error)
    lines.info("stopping")
    try:
        await process.stop()
    except Exception as error:
        failure = failure or f"while stopping: {describe(error)}"
    await server.close()
    if not failure:
        lines.info("stopped")
    return failure


async def _until_told(process: Any, asked: asyncio.Event, lines: ServiceLog) -> str:
    """Start it, and return when it was told to stop, or with the sentence of what stopped it."""
    starting, stopping = asyncio.create_task(process.start()), asyncio.create_task(asked.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return ""
    try:
        starting.result()
        lines.info("ready")
        failing = asyncio.create_task(process.wait_failed())
        await asyncio.wait([failing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            return describe(failing.exception() or "it ended by itself")
        failing.cancel()
        await asyncio.gather(failing, return_exceptions=True)
        return ""
    finally:
        stopping.cancel()
