"""The store of the tests keeps the contract, so that what it proves holds for the real ones."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.contracts.store_contract import StoreContract
from tests.support.memory_store import MemoryStore


class TestMemoryStore(StoreContract):
    def setup_method(self) -> None:
        self.kept: dict[Path, MemoryStore] = defaultdict(MemoryStore)

    @asynccontextmanager
    async def open(self, place: Path) -> AsyncIterator[MemoryStore]:
        yield self.kept[place]
