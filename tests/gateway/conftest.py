"""One live exchange for all tests here that need one; each brings its own users."""

from collections.abc import Iterator

import pytest

from tests.support.live_exchange import LiveExchange


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveExchange]:
    exchange = LiveExchange(tmp_path_factory.mktemp("exchange"))
    yield exchange
    exchange.stop()
