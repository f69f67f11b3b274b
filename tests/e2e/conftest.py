"""The real program, for whole stories."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import broker, started_broker  # noqa: F401
from tests.support.databases import database, started_database  # noqa: F401
from tests.support.exchange_process import ExchangeProcess


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    """A demo exchange that is ready; it may be killed and started again."""
    process = ExchangeProcess(tmp_path / "data")
    process.start()
    try:
        process.wait_ready()
        yield process
    finally:
        process.end()
