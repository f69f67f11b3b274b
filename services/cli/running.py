"""How a process that goes on until it is told to stop lives: its signals, its logs, its end."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.adapters.logs.control import LogControl
from services.adapters.logs.logs import Logs
from services.domain.errors import ConfigError


def signals() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets. The second ends the process: what was acknowledged is durable."""
    asked = asyncio.Event()

    def handle() -> None:
        if asked.is_set():
            os._exit(130)
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, handle)
    return asked


@contextmanager
def open_logs(folder: Path | None, level: str, process: str) -> Iterator[Logs]:
    """The JSON logs, in a folder, or on stdout when it is None. Everything is written at the end.

    process: how it names itself to who changes its levels with `exchange log-level`.
    """
    try:
        logs = Logs(folder, level)
    except OSError as error:
        raise ConfigError(f"log folder {folder}: {error.strerror}") from error
    control = LogControl(process, logs.levels)
    control.start()
    try:
        yield logs
    finally:
        control.close()
        logs.close()
