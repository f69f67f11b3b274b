import asyncio
import errno
import os
import resource
from pathlib import Path

import pytest

from services.adapters.files import FileDirectory, FolderLock
from services.adapters.ports import Directory
from services.domain.errors import ConfigError
from tests.contracts.directory_contract import DirectoryContract


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "made" / "when" / "missing"


class TestFileDirectory(DirectoryContract):
    async def open_directory(self, place: Path) -> Directory:
        return FileDirectory(place)

    async def close_directory(self, directory: Directory) -> None:
        assert isinstance(directory, FileDirectory)
        await directory.close()


def test_folder_made_for_an_exchange_is_closed_to_strangers(place: Path) -> None:
    # Everybody's orders and balances are in it; the logs in it may be read by a group.
    FolderLock(place).release()
    assert place.stat().st_mode & 0o007 == 0


def test_open_removes_what_an_interrupted_replace_left(place: Path) -> None:
    place.mkdir(parents=True)
    (place / "f.tmp").write_bytes(b"half")
    (place / "f").write_bytes(b"whole")

    async def main() -> None:
        directory = FileDirectory(place)
        assert await directory.names() == ["f"]
        await directory.close()

    asyncio.run(main())
    assert [path.name for path in place.iterdir()] == ["f"]


def test_close_writes_what_was_appended(place: Path) -> None:
    async def main() -> None:
        directory = FileDirectory(place)
        await directory.append("f", b"unsynced")
        await directory.close()

    asyncio.run(main())
    assert (place / "f").read_bytes() == b"unsynced"


def test_sync_cancelled_still_writes_what_was_appended_once(place: Path) -> None:
    async def main() -> None:
        directory = FileDirectory(place)
        for n in range(50):
            await directory.append("f", b"%02d" % n)
            sync = asyncio.create_task(directory.sync("f"))
            await asyncio.sleep(0)
            sync.cancel()
        assert await directory.read("f") == b"".join(b"%02d" % n for n in range(50))
        await directory.close()

    asyncio.run(main())


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_sync_that_the_disk_refuses_raises(place: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def main() -> None:
        directory = FileDirectory(place)
        await directory.append("f", b"x")
        # fsync is the folder's, which makes the new name durable.
        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(OSError, match="Input/output"):
            await directory.sync("f")
        await directory.close()

    asyncio.run(main())


def test_replace_disk_full_keeps_the_old_file(place: Path) -> None:
    async def main() -> None:
        directory = FileDirectory(place)
        await directory.replace("f", b"old")
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                await directory.replace("f", b"new" * 1000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert await directory.read("f") == b"old"
        assert await directory.names() == ["f"]
        await directory.close()

    asyncio.run(main())
    assert [path.name for path in place.iterdir()] == ["f"]


def test_folder_lock_held_raises_until_released(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "data")
    with pytest.raises(ConfigError, match="in use"):
        FolderLock(tmp_path / "data")
    lock.release()
    FolderLock(tmp_path / "data").release()
