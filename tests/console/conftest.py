"""One live exchange and one real browser for all tests of the console."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.console.browser import DESK, Console, Open, chromium
from tests.console.traffic import trade_a_while
from tests.support.brokers import broker, started_broker  # noqa: F401
from tests.support.databases import database, started_database  # noqa: F401
from tests.support.live_exchange import LiveExchange


@pytest.fixture(scope="package")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveExchange]:
    exchange = LiveExchange(tmp_path_factory.mktemp("exchange"))
    yield exchange
    exchange.stop()


@pytest.fixture(scope="package")
def busy(live: LiveExchange) -> LiveExchange:
    """It has a book and has traded."""
    trade_a_while(live)
    return live


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Until the module ends: its driver has an event loop run in this thread, where no other could run meanwhile."""
    with chromium() as found:
        yield found


@pytest.fixture
def open_console(browser: Browser, live: LiveExchange) -> Iterator[Open]:
    """Opens the console in a tab of its own; afterwards the browser must have had nothing to complain about."""
    opened: list[Console] = []

    def open_one(viewport: dict[str, int] = DESK, scheme: str = "light") -> Console:
        opened.append(Console(browser, live.url, viewport, scheme))
        return opened[-1]

    yield open_one
    for console in opened:
        console.close()
