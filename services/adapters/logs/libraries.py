"""What libraries say through `logging`, as our lines, and how much of it."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from services.adapters.logs.levels import FLOORS, LogLevels

TALKATIVE: Final = ("aiokafka", "cassandra", "faust", "mode", "services.adapters.kafka.faust_app")
"""What they say about every connection and every step of a group is for whoever asked for everything."""
_LEVELS: Final = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"), (0, "debug"))

_QUERY: Final = re.compile(r"\?[^\s\"]+")
"""Of a WebSocket's URL, where a client may put a token although nobody wants it there."""


class Says(Protocol):
    """`ServiceLog.say`: writes a line whatever the level is."""

    def __call__(self, level: str, event: str, /, **fields: Any) -> None: ...


@contextmanager
def capturing(say: Says, levels: LogLevels) -> Iterator[None]:
    """While it lasts, libraries' lines go to `say`, and their levels follow `levels`."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = [_Bridge(say)]
    followers = _Followers(levels)
    followers.follow()
    levels.listeners.append(followers.follow)
    try:
        yield
    finally:
        if followers.follow in levels.listeners:
            levels.listeners.remove(followers.follow)
        followers.leave()
        root.handlers, root.level = handlers, level


class _Followers:
    """The loggers whose levels follow ours. What they had before they have again afterwards."""

    def __init__(self, levels: LogLevels) -> None:
        self._levels = levels
        self._before: dict[str, int] = {}
        self._lock = threading.Lock()

    def follow(self) -> None:
        with self._lock:
            self._follow()

    def _follow(self) -> None:
        least = self._levels.number()
        logging.getLogger().setLevel(least)
        wanted = {name: max(floor, least) for name, floor in FLOORS.items()}
        if least > logging.DEBUG:
            wanted |= {name: max(logging.WARNING, least) for name in TALKATIVE}
        wanted |= self._levels.changed_loggers()
        for name in self._before.keys() - wanted.keys():
            logging.getLogger(name).setLevel(self._before.pop(name))
        for name, number in wanted.items():
            logger = logging.getLogger(name)
            self._before.setdefault(name, logger.level)
            logger.setLevel(number)

    def leave(self) -> None:
        with self._lock:
            for name, number in self._before.items():
                logging.getLogger(name).setLevel(number)
            self._before.clear()


class _Bridge(logging.Handler):
    """What libraries say through `logging`, as our lines. Their loggers have decided whether it is said."""

    def __init__(self, say: Says) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:
            message = str(record.msg)
        if record.name.startswith("uvicorn"):
            message = _QUERY.sub("?…", message)
        fields: dict[str, Any] = {"logger": record.name, "message": message}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        level = next(word for number, word in _LEVELS if record.levelno >= number)
        self._say(level, "library", **fields)
