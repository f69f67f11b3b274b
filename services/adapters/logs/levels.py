"""Which lines are written. Levels are changed while the process runs, and fall back by themselves when told to.

A change is of everything, or of one name: a service, as lines have it (`settlement`), or a library's logger
(`aiokafka`, and all below it). The same change again replaces the former.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from services.domain.errors import FormatError

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
EVERYTHING: Final = ""
MAX_FOR_MS: Final = 7 * 86_400_000
FLOORS: Final = {
    # What a broker is told when somebody logs in, and what WebSocket clients say, which may be a token.
    "aiokafka.conn": logging.INFO,
    "uvicorn.error": logging.INFO,
    "websockets": logging.INFO,
    # Requests and answers of APIs, which may be a Secret; `kopf.objects` tells of what was in an event.
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "urllib3": logging.WARNING,
    "kubernetes": logging.WARNING,
    "kopf.objects": logging.WARNING,
    "botocore": logging.WARNING,
}
"""Loggers that would say secrets, and the least level at which they do not. Nobody gets them below it."""


class LogLevel(NamedTuple):
    """The level of one name. until_ms: when it falls back, in milliseconds since the epoch; None: never by itself."""

    logger: str
    level: str
    until_ms: int | None = None


class _Change(NamedTuple):
    level: str
    until_ms: int | None
    timer: threading.Timer | None


class LogLevels:
    """The levels of one process. All methods may be called on any thread.

    level: of everything, from the start and whenever nothing else was asked for.
    """

    def __init__(self, level: str = "info") -> None:
        self._start = level
        self._changes: dict[str, _Change] = {}
        self._services: set[str] = set()
        self._least: Mapping[str, int] = {}
        self._lock = threading.RLock()
        self.listeners: list[Callable[[], None]] = []
        """Told after every change, also after a fall back; then on a thread of its own."""
        self._renew()

    def add_service(self, name: str) -> None:
        """Make the name of a service known."""
        with self._lock:
            self._services.add(name)

    def enabled(self, level: str, service: str = EVERYTHING) -> bool:
        """Whether lines of this level are written."""
        least = self._least
        return LEVELS[level] >= least.get(service, least[EVERYTHING])

    def number(self) -> int:
        """The level of everything, as `logging` counts."""
        return self._least[EVERYTHING]

    def changed_loggers(self) -> dict[str, int]:
        """The names that have a level of their own, with its number, but not below their floor."""
        least = self._least
        return {name: max(number, _floor(name)) for name, number in least.items() if name != EVERYTHING}

    def listed(self) -> list[LogLevel]:
        """The level of everything first, then those of single names."""
        with self._lock:
            changes = dict(self._changes)
        everything = changes.pop(EVERYTHING, _Change(self._start, None, None))
        listed = [LogLevel(EVERYTHING, everything.level, everything.until_ms)]
        return listed + [LogLevel(name, change.level, change.until_ms) for name, change in sorted(changes.items())]

    def set(self, level: str, logger: str = EVERYTHING, for_ms: int | None = None) -> None:
        """Change the level of a name; of everything, without one. for_ms: fall back after so long.

        Raises FormatError when there is no such level or name, or when the name would say secrets at that level.
        """
        if level not in LEVELS:
            raise FormatError(f"level {level[:40]!r}: wants one of {', '.join(LEVELS)}")
        if for_ms is not None and not 0 < for_ms <= MAX_FOR_MS:
            raise FormatError(f"a level falls back after {MAX_FOR_MS} ms at most, and after 1 at least")
        with self._lock:
            name = self._known(logger)
            if LEVELS[level] < (floor := _floor(name)):
                least = logging.getLevelName(floor).lower()
                raise FormatError(f"logger {name}: would say secrets at level {level}; {least} is the least")
            self._forget(name)
            self._changes[name] = self._change(name, level, for_ms)
            self._renew()
        self._tell()

    def reset(self, logger: str | None = None) -> None:
        """Let a name have its level of the start again; every name, without one. Raises FormatError as `set` does."""
        with self._lock:
            for name in list(self._changes) if logger is None else [self._known(logger)]:
                self._forget(name)
            self._renew()
        self._tell()

    def close(self) -> None:
        """Fall back no more."""
        with self._lock:
            self.listeners.clear()
            for name in list(self._changes):
                self._forget(name)

    def _change(self, name: str, level: str, for_ms: int | None) -> _Change:
        if for_ms is None:
            return _Change(level, None, None)
        timer = threading.Timer(for_ms / 1000, lambda: self._fall_back(name, change))
        timer.daemon = True
        change = _Change(level, time.time_ns() // 1_000_000 + for_ms, timer)
        timer.start()
        return change

    def _fall_back(self, name: str, change: _Change) -> None:
        with self._lock:
            if self._changes.get(name) is not change:
                return
            del self._changes[name]
            self._renew()
        self._tell()

    def _forget(self, name: str) -> None:
        change = self._changes.pop(name, None)
        if change is not None and change.timer is not None:
            change.timer.cancel()

    def _renew(self) -> None:
        # A new mapping each time: `enabled` reads without the lock.
        least = {EVERYTHING: LEVELS[self._start]}
        self._least = least | {name: LEVELS[change.level] for name, change in self._changes.items()}

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener()

    def _known(self, logger: str) -> str:
        """The name as it is known. Raises FormatError: a level of a name that nobody has would change nothing."""
        if logger == EVERYTHING or logger in self._services or logger in logging.root.manager.loggerDict:
            return logger
        if (service := logger.replace("-", "_")) in self._services:
            return service
        services = sorted(self._services)
        close = get_close_matches(logger[:100], [*services, *logging.root.manager.loggerDict], n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(services)}, and those of libraries"
        raise FormatError(f"logger {logger[:100]!r} is not here: {hint}")


def _floor(name: str) -> int:
    """The least level of a logger: its own floor, or that of one above it."""
    while name:
        if name in FLOORS:
            return FLOORS[name]
        name = name.rpartition(".")[0]
    return 0
