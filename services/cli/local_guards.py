"""What must hold before an exchange starts: its folder and its port are its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.adapters.files import FolderLock
from services.domain.errors import ConfigError


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of when the process ends, however it ends.

    Raises ConfigError when another process holds it, or the folder cannot be made or written.
    """
    try:
        lock = FolderLock(data_dir)
    except OSError as error:
        raise ConfigError(f"data folder {data_dir}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def bound(host: str, port: int, option: str = "--port") -> Iterator[socket.socket]:
    """A socket that is bound but does not listen yet: who connects too early is refused instead of left waiting.

    Raises ConfigError when the address cannot be had. option: by which another port is chosen.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"host {host!r} is no address of this machine: {error}") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}; choose another with {option}"
            ) from error
        yield listener


def describe(reason: object) -> str:
    """A failure as one sentence: that of an error of ours, and the kind too of one that nobody expected."""
    if isinstance(reason, BaseExceptionGroup):
        return "; ".join(describe(error) for error in reason.exceptions)
    if isinstance(reason, BaseException):
        return f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
    return str(reason)
