"""docs/metrics.md says what running exchanges show, neither more nor less."""

import itertools
from pathlib import Path
from typing import Any, Final

import httpx

from services.adapters.metrics.page import page
from services.demo.client import Api, Refusal, wait_for
from tests.metrics.page import PAGE, PLACES, differences, shown
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.exchange_process import ExchangeProcess

SELLER, BUYER, ADMIN = 1001, 1002, 0
RARE: Final = {
    "exchange_store_errors_total",
    "exchange_database_errors_total",
    "exchange_core_read_errors_total",
    "exchange_gateway_rate_limited_total",
}
"""What a good hour does not show."""
_NUMBERS = itertools.count(1)


def test_page_is_what_the_catalogue_prints() -> None:
    assert PAGE.read_text() == page(), "run: python -m services.adapters.metrics.page > docs/metrics.md"


def test_page_has_all_that_the_local_form_shows_and_nothing_else(tmp_path: Path) -> None:
    exchange = ExchangeProcess(tmp_path / "data")
    try:
        exchange.start()
        exchange.wait_ready()
        trade(exchange.url, exchange.data_dir)
        assert differences(None, exchange.url) == []
        assert shown(exchange.url).silent == RARE & shown(exchange.url).kinds.keys()
    finally:
        exchange.end()


def test_page_has_all_that_each_process_shows_and_nothing_else(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    with Stack(tmp_path, broker=broker, database=database, prefix=f"metrics-{next(_NUMBERS)}") as stack:
        trade(stack.url, stack.folder)
        services = {name.rpartition("-")[0]: process for name, process in stack.processes.items()}
        assert services.keys() == set(PLACES.values())
        found = {service: differences(service, process.url) for service, process in services.items()}
        assert found == {service: [] for service in services}
        silent = {service: shown(process.url).silent for service, process in services.items()}
        assert {service: names - RARE for service, names in silent.items()} == {service: set() for service in services}
        # The gateway's REST port shows what its internal port shows.
        assert shown(stack.url).kinds == shown(services["gateway"].url).kinds


def trade(url: str, folder: Path) -> None:
    """Have everything happen that has a number, and wait until the store has it."""
    api = Api(url, folder)
    filled = order(api, SELLER, "Sell", "50000", "0.02")
    order(api, BUYER, "Buy", "50000", "0.01")
    order(api, BUYER, "Buy", "49000", "0.01")
    cancelled = order(api, BUYER, "Buy", "48000", "0.01")
    api.post("/api/orders/cancel", {"order_id": cancelled["order_id"]}, BUYER, user_id=BUYER)
    assert refusal(api) == "INSUFFICIENT_BALANCE"
    api.get("/api/balances", BUYER, user_id=BUYER)
    api.get("/api/depth", symbol="BTC_USDT")
    wait_for(
        "the cancelled order",
        lambda: api.get("/api/orders/history", BUYER, user_id=BUYER)["orders"],
        lambda orders: any(one["order_status"] == "Cancelled" for one in orders),
    )
    wait_for(
        "the trade",
        lambda: api.get("/api/trades", symbol="BTC_USDT")["trades"],
        lambda trades: len(trades) == 1,
    )
    assert filled["order_status"] == "New"
    wait_for_lag(url)
    api.close()


def order(api: Api, user: int, side: str, price: str, quantity: str) -> Any:
    body = {"symbol": "BTC_USDT", "side": side, "order_type": "Limit", "price": price, "quantity": quantity}
    return api.post("/api/orders", body, user, user_id=user)


def refusal(api: Api) -> str:
    try:
        order(api, SELLER, "Sell", "50000", "1000")
    except Refusal as refused:
        return refused.reject
    return ""


def wait_for_lag(url: str) -> None:
    """Lag is looked for once a second."""
    wait_for(
        "the gateway's lag",
        lambda: httpx.get(f"{url}/metrics").text,
        lambda text: 'exchange_lag_frames{partition="0",reader="gateway"' in text,
    )
