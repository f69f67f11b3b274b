"""A database whose only node comes back with another address, as a pod does: only its name stays."""

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.adapters.cql.database import LOST_AFTER_S
from services.adapters.cql.drop import drop_keyspace
from services.adapters.cql.migrations import apply_schema
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from services.domain.errors import StoreError, StoreUnavailable
from services.domain.rows import ApiKeyRow
from tests.real.database import Database
from tests.support.aio import run_async
from tests.support.databases import cql_settings, new_keyspace

NAME = "database.test"
PATIENCE_S = 90.0
KEY = ApiKeyRow("0" * 32, 1, b"sealed", ["read"], 7)


class Moving:
    """A database of its own, the only one who knows where NAME is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = Database(folder)
        self._look_up = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def _getaddrinfo(self, host: Any, *more: Any, **named: Any) -> Any:
        return self._look_up(self.database.host if host == NAME else host, *more, **named)

    async def start(self, host: str) -> None:
        """Start it there, wherever it was before."""
        if self.database._process is not None:
            self.database.kill()
        self.database.move(host)
        await asyncio.to_thread(self.database.start)

    def settings(self) -> CqlSettings:
        settings = cql_settings(self.database, new_keyspace())
        return replace(settings, contact_points=(NAME,), request_timeout_s=5, connect_timeout_s=5)


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Moving]:
    moving = Moving(tmp_path, monkeypatch)
    try:
        yield moving
    finally:
        moving.database.end()


async def answer_of(store: CqlStore) -> ApiKeyRow | None:
    """The key, once there is an answer."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await store.get_key(KEY.api_key)
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


@run_async
async def test_database_that_comes_back_elsewhere_is_found_by_its_name(moving: Moving) -> None:
    await moving.start("127.0.0.1")
    settings = moving.settings()
    await apply_schema(settings)
    store = CqlStore(settings)
    await store.put_key(KEY)
    asking = [asyncio.create_task(answer_of(store)) for _ in range(3)]
    await moving.start("127.0.0.2")
    assert await asyncio.gather(*asking) == [KEY] * 3
    assert await answer_of(store) == KEY
    begin = time.monotonic()
    another = msgspec.structs.replace(KEY, api_key="1" * 32)
    await store.put_key(another)
    assert await store.get_key(another.api_key) == another
    assert time.monotonic() - begin < LOST_AFTER_S / 2
    # Another database under the same name is not waited for: it would never do.
    await moving.start("127.0.0.3")
    await drop_keyspace(settings)
    with pytest.raises(StoreError, match=r"migration 001_settlement\.cql is not applied") as caught:
        await answer_of(store)
    assert not isinstance(caught.value, StoreUnavailable)
    await store.close()
