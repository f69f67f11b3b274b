"""Real files: the journal's folder (`ports.Directory`), and the lock that keeps other processes out of a folder."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from services.domain.errors import ConfigError

_T = TypeVar("_T")

TEMPORARY: Final = ".tmp"
"""Ends the name of a file that `replace` is writing; nobody ever sees such a file in `names`."""

_SPILL_BYTES: Final = 256 * 1024
"""Appended bytes are kept in memory up to here, so that append and sync of a batch cost one trip to the thread."""


class FileDirectory:
    """A folder on a disk, as `ports.Directory`. It is made, durably, when missing.

    Appends and syncs run on one thread, whole-file work on another, so that a large snapshot being written does not
    hold up the next flush. The operating system's errors (OSError) come through as they are; after one of `append` or
    `sync` the file may end in any part of what was appended, and nobody should go on with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folder(path)
        for leftover in path.glob(f"*{TEMPORARY}"):
            leftover.unlink()
        self._appending = ThreadPoolExecutor(1, thread_name_prefix=f"append-{path.name}")
        self._whole = ThreadPoolExecutor(1, thread_name_prefix=f"files-{path.name}")
        self._fds: dict[str, int] = {}
        self._unwritten: dict[str, bytearray] = {}

    async def names(self) -> list[str]:
        await self._settle()
        return await _on(self._whole, lambda: list_files(self._path))

    async def read(self, name: str) -> bytes:
        await self._settle()
        return await _on(self._whole, (self._path / name).read_bytes)

    async def append(self, name: str, data: bytes) -> None:
        unwritten = self._unwritten.setdefault(name, bytearray())
        unwritten += data
        if len(unwritten) > _SPILL_BYTES:
            await _on(self._appending, self._write_job(name))

    async def sync(self, name: str) -> None:
        write = self._write_job(name)

        def job() -> None:
            write()
            _sync_data(self._open(name))

        await _on(self._appending, job)

    async def replace(self, name: str, data: bytes) -> None:
        await self._forget(name)
        await _on(self._whole, lambda: replace_file(self._path / name, data))

    async def truncate(self, name: str, size: int) -> None:
        await self._forget(name)

        def job() -> None:
            with (self._path / name).open("r+b") as file:
                file.truncate(size)
                os.fsync(file.fileno())

        await _on(self._whole, job)

    async def remove(self, name: str) -> None:
        await self._forget(name)

        def job() -> None:
            (self._path / name).unlink()
            sync_folder(self._path)

        await _on(self._whole, job)

    async def close(self) -> None:
        """Write what was appended (without a sync) and close every file."""
        try:
            await self._settle()
        finally:
            await _on(self._appending, self._close_all)
            self._appending.shutdown()
            self._whole.shutdown()

    async def _settle(self) -> None:
        """Write all that was appended, and wait for the appending thread to be done with what it was asked."""
        jobs = [self._write_job(name) for name in list(self._unwritten)]

        def job() -> None:
            for write in jobs:
                write()

        await _on(self._appending, job)

    async def _forget(self, name: str) -> None:
        """Write what is unwritten and close the file, because it is about to change under its descriptor."""
        write = self._write_job(name)

        def job() -> None:
            write()
            fd = self._fds.pop(name, None)
            if fd is not None:
                os.close(fd)

        await _on(self._appending, job)

    def _write_job(self, name: str) -> Callable[[], None]:
        """A job for the appending thread that writes what was appended until now. Bytes are taken only once."""
        data = self._unwritten.pop(name, None)

        def job() -> None:
            if data is not None:
                _write_all(self._open(name), data)

        return job

    def _open(self, name: str) -> int:
        """The descriptor of a file that is appended to; on the appending thread."""
        fd = self._fds.get(name)
        if fd is None:
            fd = os.open(self._path / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._fds[name] = fd
            # Syncing a file does not make its name durable: that is the folder's.
            sync_folder(self._path)
        return fd

    def _close_all(self) -> None:
        while self._fds:
            os.close(self._fds.popitem()[1])


def list_files(folder: Path) -> list[str]:
    """Sorted names of the finished files in a folder."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.endswith(TEMPORARY))


def replace_file(path: Path, data: bytes) -> None:
    """Write a whole file durably, so that after a crash it is the old one or the new one, never a part."""
    temporary = path.with_name(path.name + TEMPORARY)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(fd, data)
        os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        os.close(fd)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, durably, open to owner and group alone; nothing happens when it is there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o750, exist_ok=True)
    sync_folder(path.parent)


_LOCK_FILE: Final = "LOCK"


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder with a FolderLock. Writes nothing, so it may ask about a read-only folder."""
    try:
        fd = os.open(folder / _LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


class FolderLock:
    """Holds a folder for one process, until `release` or the process's end, whichever way it ends.

    Raises ConfigError when another process (or another FolderLock) holds it.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._fd = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise ConfigError(f"data folder {folder} is in use by another process: stop that one first") from error

    def release(self) -> None:
        os.close(self._fd)


def _sync_data(fd: int) -> None:
    # Not every system has fdatasync, which leaves out times of access that nobody needs.
    getattr(os, "fdatasync", os.fsync)(fd)


def _write_all(fd: int, data: bytes | bytearray) -> None:
    # write() may take a part: the rest is written by the next call, which then raises the reason, such as ENOSPC.
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def _on(executor: ThreadPoolExecutor, job: Callable[[], _T]) -> _T:
    # Shielded, because a job that is cancelled before it starts would leave a hole in a file.
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(executor, job))
