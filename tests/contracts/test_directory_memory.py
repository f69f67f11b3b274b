import pytest

from services.adapters.ports import Directory
from tests.contracts.directory_contract import DirectoryContract
from tests.support.memory_directory import MemoryDirectory


@pytest.fixture
def place() -> MemoryDirectory:
    return MemoryDirectory()


class TestMemoryDirectory(DirectoryContract):
    """The one that tests break on purpose must first of all be a right one."""

    async def open_directory(self, place: MemoryDirectory) -> Directory:
        return place

    async def close_directory(self, directory: Directory) -> None:
        pass
