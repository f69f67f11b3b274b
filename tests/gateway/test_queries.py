"""Queries: balances, ledger, history, trades, statistics, the market, and health."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.live_exchange import LiveExchange, User

WITHIN_S = 5
"""The store is behind by a second at the most; a busy machine gets some more."""


def eventually(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """What the store says once it says what it must: it follows the answers."""
    end = time.monotonic() + WITHIN_S
    while not good(found := ask()):
        assert time.monotonic() < end, found
    return found


@pytest.fixture(scope="module")
def traders(live: LiveExchange) -> tuple[User, User]:
    """Two users who made three trades of ETH_USDT at 100, 101 and 102, and hold nothing open."""
    buyer, seller = live.new_user(USDT="10000"), live.new_user(ETH="100")
    for price in ("1000", "1001", "1002"):
        seller.order("Sell", price, "1", symbol="ETH_USDT")
        buyer.order("Buy", price, "1", symbol="ETH_USDT")
    cancelled = buyer.order("Buy", "900", "1", symbol="ETH_USDT")
    buyer.post("/api/orders/cancel", {"order_id": cancelled["order_id"]})
    buyer.order("Buy", "1000000", "1", status=400, symbol="ETH_USDT")
    return buyer, seller


def test_statistics_count_orders_by_status(traders: tuple[User, User]) -> None:
    buyer, _ = traders
    wanted = {"new": 4, "filled": 3, "cancelled": 1, "rejected": 1, "expired": 0}
    eventually(lambda: buyer.get("/api/orders/statistics"), lambda said: wanted.items() <= said.items())


def test_history_pages_through_all_orders_newest_first(traders: tuple[User, User]) -> None:
    buyer, _ = traders
    whole = eventually(lambda: buyer.get("/api/orders/history")["orders"], lambda orders: len(orders) == 5)
    assert [order["order_status"] for order in whole] == ["Rejected", "Cancelled", "Filled", "Filled", "Filled"]
    paged, query = [], {"limit": 2}
    while True:
        page = buyer.get("/api/orders/history", **query)
        paged += page["orders"]
        if "next" not in page:
            break
        query["cursor"] = page["next"]
    assert paged == whole
    time_ms = whole[1]["time_ms"]
    assert whole[1] in buyer.get("/api/orders/history", **{"from": time_ms, "to": time_ms})["orders"]
    assert buyer.get("/api/orders/history", symbol="BTC_USDT")["orders"] == []


def test_trades_of_a_user_have_fees_and_page(traders: tuple[User, User]) -> None:
    buyer, seller = traders

    def ask(user: User) -> Any:
        return eventually(
            lambda: user.get("/api/trades", user_id=user.user_id)["trades"], lambda trades: len(trades) == 3
        )

    assert [(t["price"], t["side"], t["is_maker"], t["fee_asset"]) for t in ask(buyer)] == [
        (price, "Buy", False, "ETH") for price in ("1002", "1001", "1000")
    ]
    assert {(t["side"], t["is_maker"], t["fee_asset"]) for t in ask(seller)} == {("Sell", True, "USDT")}
    first = buyer.get("/api/trades", user_id=buyer.user_id, limit=2)
    rest = buyer.get("/api/trades", user_id=buyer.user_id, limit=2, cursor=first["next"])
    assert first["trades"] + rest["trades"] == ask(buyer)


def test_trades_of_a_symbol_are_for_anybody_and_name_nobody(live: LiveExchange, traders: tuple[User, User]) -> None:
    def ask() -> Any:
        return live.http.get("/api/trades", params={"symbol": "ETH_USDT", "limit": 3}).json()

    page = eventually(ask, lambda page: len(page["trades"]) == 3 and page["trades"][0]["price"] == "1002")
    assert sorted(page["trades"][0]) == [
        "buyer_is_maker",
        "price",
        "quantity",
        "quote_quantity",
        "symbol",
        "time_ms",
        "trade_id",
    ]
    older = live.http.get("/api/trades", params={"symbol": "ETH_USDT", "limit": 3, "cursor": page["next"]}).json()
    assert all(trade["trade_id"] < page["trades"][-1]["trade_id"] for trade in older["trades"])


def test_ledger_adds_up_to_the_balance_and_pages(traders: tuple[User, User]) -> None:
    buyer, _ = traders
    version = {b["asset"]: b["version"] for b in buyer.get("/api/balances")["balances"]}
    eventually(lambda: buyer.get("/api/ledger", asset="USDT"), lambda page: len(page["entries"]) == version["USDT"])
    entries, query = [], {"limit": 3}
    while True:
        page = buyer.get("/api/ledger", **query)
        entries += page["entries"]
        if "next" not in page:
            break
        query["before"] = page["next"]
    newest = {entry["asset"]: entry for entry in reversed(entries)}
    for asset, (available, reserved) in buyer.balances().items():
        assert (newest[asset]["available"], newest[asset]["reserved"]) == (available, reserved)
    assert len({entry["event_id"] for entry in entries}) == len(entries) == sum(version.values())


def test_depth_shows_levels_best_first(live: LiveExchange) -> None:
    user = live.new_user(BTC="5", USDT="100000")
    for side, price in (("Buy", "50"), ("Buy", "51"), ("Sell", "61"), ("Sell", "60"), ("Sell", "60")):
        user.order(side, price, "0.5")
    depth = live.http.get("/api/depth", params={"symbol": "BTC_USDT", "limit": 5}).json()
    assert (depth["bids"], depth["asks"]) == ([["51", "0.5"], ["50", "0.5"]], [["60", "1"], ["61", "0.5"]])
    assert len(live.http.get("/api/depth", params={"symbol": "BTC_USDT", "limit": 1}).json()["bids"]) == 1
    user.post("/api/orders/cancel_all", {})


def test_transfers_take_effect_once(live: LiveExchange) -> None:
    user = live.new_user()
    first = user.transfer("in", "BTC", "1.5", f"once-{user.user_id}")
    assert first == {
        "status": "Completed",
        "transfer_id": f"once-{user.user_id}",
        "event_id": f"deposit_{user.user_id}_BTC_1",
        "user_id": user.user_id,
        "asset": "BTC",
        "available": "1.5",
        "reserved": "0",
    }
    assert user.transfer("in", "BTC", "1.5", f"once-{user.user_id}") == first
    assert user.transfer("in", "BTC", "2", f"once-{user.user_id}", status=409)["reject"] == "DUPLICATE_TRANSFER_ID"
    short = user.transfer("out", "BTC", "1.6", f"short-{user.user_id}", status=400)
    assert (short["code"], short["reject"]) == (-2010, "INSUFFICIENT_BALANCE")
    assert user.transfer("out", "BTC", "0.5", f"out-{user.user_id}")["available"] == "1"
    assert user.balances() == {"BTC": ("1", "0")}


def test_short_paths_of_transfers_are_the_same_calls(live: LiveExchange) -> None:
    user = live.new_user()
    body = {"transfer_id": f"alias-{user.user_id}", "user_id": user.user_id, "asset": "BTC", "amount": "1"}
    assert user.post("/transfer_in", body, live.admin).json() == user.post("/api/transfers/in", body, live.admin).json()
    body["transfer_id"] = f"alias-out-{user.user_id}"
    assert user.post("/transfer_out", body, live.admin).json()["available"] == "0"


def test_transfer_to_an_unknown_user_is_refused(live: LiveExchange) -> None:
    body = {"transfer_id": "nobody", "user_id": 4_999_999, "asset": "BTC", "amount": "1"}
    response = live.http.post("/transfer_in", json=body, headers=live.admin)
    assert (response.status_code, response.json()["reject"]) == (404, "UNKNOWN_USER")


def test_balances_of_an_unknown_user_are_refused(live: LiveExchange) -> None:
    response = live.http.get("/api/balances", params={"user_id": 4_999_999}, headers=live.admin)
    assert (response.status_code, response.json()["reject"]) == (404, "UNKNOWN_USER")


def test_health_is_live_and_ready_with_every_component(live: LiveExchange) -> None:
    assert live.http.get("/health/live").json()["status"] == "live"
    ready = live.http.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert {"ubscore", "matcher", "settlement", "gateway outcomes"} <= set(ready.json()["components"])


def test_metrics_count_by_the_route_and_not_by_its_ids(live: LiveExchange, traders: tuple[User, User]) -> None:
    traders[0].get("/api/orders/active")
    live.http.get("/api/orders/123456789", headers=live.admin)
    text = live.http.get("/metrics").text
    assert 'exchange_gateway_requests_total{method="POST",route="/api/orders",status="200"}' in text
    assert 'route="/api/orders/{order_id}",status="404"' in text
    assert "123456789" not in text
    assert "exchange_gateway_commands_in_flight 0.0" in text
