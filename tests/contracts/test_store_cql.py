"""The store on a real database that speaks CQL, against the store contract."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from tests.contracts.store_contract import Store, StoreContract


@asynccontextmanager
async def opened(settings: CqlSettings) -> AsyncIterator[CqlStore]:
    store = CqlStore(settings)
    try:
        yield store
    finally:
        await store.close()


class TestCqlStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _empty(self, empty_store: CqlSettings) -> None:
        self.settings = empty_store

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        return opened(self.settings)
