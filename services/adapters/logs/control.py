"""Log levels of a running process, asked for and changed from beside it.

Every process listens on a socket that has no file and no port: a name of its network namespace, which is that of its
pod. It answers to its own user and to root alone, whom the kernel vouches for: those who could end it too. So nothing
needs to be mounted, exposed or known, and it works while the process waits for its broker. Linux has such sockets;
elsewhere there is none.

A request is a JSON line, and so is the answer. A thread answers: also when the event loop is stuck.
"""

import os
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from services.adapters.logs.levels import EVERYTHING, LogLevel, LogLevels
from services.domain.errors import FormatError

PREFIX: Final = "exchange-logs-"
SECONDS: Final = 2.0
"""For either side to say what it has to say."""
_MAX_BYTES: Final = 64 * 1024
_SOCKETS: Final = Path("/proc/net/unix")


class LevelRequest(msgspec.Struct, omit_defaults=True):
    """level: as `LogLevels.set` takes it; empty to ask only; RESET to have the start's again."""

    level: str = ""
    logger: str = EVERYTHING
    for_ms: int | None = None


RESET: Final = "reset"


class LevelAnswer(msgspec.Struct, omit_defaults=True):
    """The levels as they are now, or what is wrong with the request."""

    process: str
    pid: int
    levels: list[LogLevel] = []
    error: str = ""


class LogControl:
    """The listening side of one process. process: how it names itself, such as `settlement-0`."""

    def __init__(self, process: str, levels: LogLevels) -> None:
        self._process = process
        self._levels = levels
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen from now on, where there are such sockets."""
        if sys.platform != "linux":
            return
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(f"\0{PREFIX}{os.getpid()}")
        self._listener.listen(4)
        self._thread = threading.Thread(target=self._run, args=(self._listener,), name="log control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None and self._thread is not None:
            # The name is taken until the thread has noticed, which may have somebody to answer.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join(2 * SECONDS)
            self._listener.close()

    def _run(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(SECONDS)
                connection.sendall(msgspec.json.encode(self._answer(connection)) + b"\n")

    def _answer(self, connection: socket.socket) -> LevelAnswer:
        answer = LevelAnswer(self._process, os.getpid())
        # Read in any case: a socket that is closed with something unread takes the answer away with it.
        request = _read_line(connection)
        if _user_of(connection) not in (0, os.geteuid()):
            answer.error = f"only root and the process's own user may ask, whose number is {os.geteuid()}"
            return answer
        try:
            self._do(msgspec.json.decode(request, type=LevelRequest))
            answer.levels = self._levels.listed()
        except (FormatError, msgspec.DecodeError) as error:
            answer.error = str(error)
        return answer

    def _do(self, request: LevelRequest) -> None:
        if request.level == RESET:
            self._levels.reset(request.logger or None)
        elif request.level:
            self._levels.set(request.level, request.logger, request.for_ms)


def running_processes() -> list[int]:
    """The process ids of those that listen in this network namespace, whoever's they are."""
    names = [line.rpartition(" ")[2] for line in _SOCKETS.read_text().splitlines()]
    return sorted({int(name.removeprefix(f"@{PREFIX}")) for name in names if name.startswith(f"@{PREFIX}")})


def ask(pid: int, request: LevelRequest) -> LevelAnswer:
    """What a process answers. Raises OSError when it does not, msgspec.DecodeError when it is none of ours."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        connection.connect(f"\0{PREFIX}{pid}")
        connection.sendall(msgspec.json.encode(request) + b"\n")
        return msgspec.json.decode(_read_line(connection), type=LevelAnswer)


def _read_line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _MAX_BYTES:
        chunk = connection.recv(4096)
        if not chunk:
            break
        data += chunk
    return data


def _user_of(connection: socket.socket) -> int:
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user: int = struct.unpack("3i", found)[1]
    return user
