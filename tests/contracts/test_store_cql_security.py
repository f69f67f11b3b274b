"""TLS and a login to a real database, and that nobody sees the password."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.adapters.cql.migrations import apply_schema
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from services.domain.errors import StoreError
from tests.contracts.store_contract import EVENTS
from tests.real.database import PASSWORD, USER, Database
from tests.support.aio import run_async
from tests.support.databases import cql_settings
from tests.support.rows import balance_row, settlement_batch


@pytest.fixture(scope="module")
def secure_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CqlSettings]:
    """Of a database that asks for both, with the schema."""
    database = Database(tmp_path_factory.mktemp("secure"), secure=True)
    try:
        database.start()
        settings = replace(
            cql_settings(database, "trading"),
            tls=ssl.create_default_context(cafile=str(database.certificate)),
            username=USER,
            password=PASSWORD,
        )
        asyncio.run(apply_schema(settings))
        yield settings
    finally:
        database.end()


@run_async
async def test_tls_and_login_writes_and_reads_work(secure_settings: CqlSettings) -> None:
    store = CqlStore(secure_settings)
    await store.write_settlement(settlement_batch(3, balances=[balance_row()]))
    progress = await store.progress("settlement", EVENTS)
    await store.close()
    assert progress is not None
    assert progress.next_offset == 3


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"password": "wrong-password"}, id="password"),
        pytest.param({"username": None, "password": None}, id="no login"),
        pytest.param({"tls": ssl.create_default_context()}, id="certificate"),
        pytest.param({"tls": None}, id="no TLS"),
    ],
)
@run_async
async def test_refused_by_the_database_raises_store_error_and_tells_no_password(
    secure_settings: CqlSettings, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = replace(secure_settings, **wrong, connect_timeout_s=2.0, request_timeout_s=2.0)
    store = CqlStore(settings)
    with pytest.raises(StoreError) as caught:
        await store.check()
    await store.close()
    secret = settings.password or PASSWORD
    assert secret not in str(caught.value)
    assert caplog.records, "why it was refused is in the log"
    assert secret not in caplog.text


def test_settings_repr_tells_no_password(secure_settings: CqlSettings) -> None:
    assert PASSWORD not in repr(secure_settings)
    assert USER in repr(secure_settings)
