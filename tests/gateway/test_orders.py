"""Orders through the API: what is answered, and what can be read right after."""

import pytest

from tests.support.live_exchange import LiveExchange, User


@pytest.fixture(scope="module")
def symbol(live: LiveExchange) -> str:
    """A symbol of its own, so that these tests alone decide what is in its book."""
    for path, body in (
        ("/api/admin/assets/ORD", {"scale": 8}),
        (
            "/api/admin/symbols/ORD_USDT",
            {
                "tick_size": "0.01",
                "lot_size": "0.001",
                "min_notional": "1",
                "maker_fee_micros": 1000,
                "taker_fee_micros": 2000,
            },
        ),
    ):
        response = live.http.put(path, json=body, headers=live.admin)
        assert response.status_code == 200, response.text
    return "ORD_USDT"


@pytest.fixture
def traders(live: LiveExchange, symbol: str) -> tuple[User, User]:
    """A buyer and a seller, on an empty book."""
    buyer, seller = live.new_user(USDT="10000"), live.new_user(ORD="100", USDT="1")
    return buyer, seller


def clear(*users: User) -> None:
    for user in users:
        user.post("/api/orders/cancel_all", {})


def test_limit_order_rests_and_its_reservation_is_seen_at_once(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    placed = buyer.order("Buy", "100.50", "2", symbol=symbol, cid="first-order-of-mine")
    assert placed | {"order_id": 0, "time_ms": 0} == {
        "order_id": 0,
        "cid": "first-order-of-mine",
        "symbol": symbol,
        "side": "Buy",
        "order_type": "Limit",
        "time_in_force": "GTC",
        "order_status": "New",
        "price": "100.5",
        "quantity": "2",
        "filled_quantity": "0",
        "filled_quote": "0",
        "time_ms": 0,
    }
    assert buyer.balances()["USDT"] == ("9799", "201")
    assert buyer.get("/api/orders/active") == {"orders": [placed]}
    assert buyer.get(f"/api/orders/{placed['order_id']}") == placed
    assert buyer.get("/api/orders", cid="first-order-of-mine") == placed
    clear(buyer)


def test_full_answer_has_fills_and_balances_are_settled_when_it_comes(traders: tuple[User, User], symbol: str) -> None:
    buyer, seller = traders
    maker = seller.order("Sell", "100", "1", symbol=symbol)
    taken = buyer.order("Buy", "101", "3", symbol=symbol, response="FULL")
    assert (taken["order_status"], taken["filled_quantity"], taken["filled_quote"]) == ("PartiallyFilled", "1", "100")
    (fill,) = taken["fills"]
    assert fill | {"trade_id": 0} == {
        "trade_id": 0,
        "price": "100",
        "quantity": "1",
        "fee": "0.002",
        "fee_asset": "ORD",
    }
    assert buyer.balances() == {"USDT": ("9698", "202"), "ORD": ("0.998", "0")}
    assert seller.balances() == {"ORD": ("99", "0"), "USDT": ("100.9", "0")}
    assert seller.get(f"/api/orders/{maker['order_id']}")["order_status"] == "Filled"
    clear(buyer)


def test_cancel_releases_funds_before_it_answers(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    by_id = buyer.order("Buy", "10", "1", symbol=symbol)
    buyer.order("Buy", "10", "1", symbol=symbol, cid="cancel-me")
    cancelled = buyer.post("/api/orders/cancel", {"order_id": by_id["order_id"]}).json()
    assert (cancelled["order_id"], cancelled["order_status"]) == (by_id["order_id"], "Cancelled")
    assert buyer.post("/api/orders/cancel", {"cid": "cancel-me"}).json()["order_status"] == "Cancelled"
    assert buyer.balances()["USDT"] == ("10000", "0")
    refusal = buyer.post("/api/orders/cancel", {"cid": "cancel-me"}, status=400).json()
    assert (refusal["code"], refusal["reject"]) == (-2011, "UNKNOWN_ORDER")


def test_cancel_of_another_users_order_is_refused(traders: tuple[User, User], symbol: str) -> None:
    buyer, seller = traders
    order = buyer.order("Buy", "10", "1", symbol=symbol)
    assert seller.post("/api/orders/cancel", {"order_id": order["order_id"]}, status=400).json()["code"] == -2011
    assert buyer.balances()["USDT"] == ("9990", "10")
    clear(buyer)


def test_cancel_all_answers_the_orders_that_it_cancelled(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    ids = [buyer.order("Buy", "10", "1", symbol=symbol)["order_id"] for _ in range(3)]
    other = buyer.order("Buy", "10000", "0.001")
    answer = buyer.post("/api/orders/cancel_all", {"symbol": symbol}).json()
    assert [(order["order_id"], order["order_status"]) for order in answer["orders"]] == [(i, "Cancelled") for i in ids]
    assert [order["order_id"] for order in buyer.get("/api/orders/active")["orders"]] == [other["order_id"]]
    assert len(buyer.post("/api/orders/cancel_all", {}).json()["orders"]) == 1
    assert buyer.post("/api/orders/cancel_all", {}).json() == {"orders": []}
    assert buyer.balances()["USDT"] == ("10000", "0")


def test_same_order_sent_again_gets_the_first_ones_state(traders: tuple[User, User], symbol: str) -> None:
    buyer, seller = traders
    first = buyer.order("Buy", "100", "1", symbol=symbol, cid="only-once")
    assert buyer.order("Buy", "100", "1", symbol=symbol, cid="only-once") == first
    seller.order("Sell", "100", "1", symbol=symbol)
    again = buyer.order("Buy", "100", "1", symbol=symbol, cid="only-once")
    assert (again["order_id"], again["order_status"]) == (first["order_id"], "Filled")
    assert buyer.balances()["USDT"] == ("9900", "0")


def test_another_order_with_a_used_cid_is_refused(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    buyer.order("Buy", "10", "1", symbol=symbol, cid="taken")
    refusal = buyer.order("Buy", "11", "1", status=400, symbol=symbol, cid="taken")
    assert (refusal["code"], refusal["reject"]) == (-2010, "DUPLICATE_CLIENT_ORDER_ID")
    clear(buyer)


def test_refused_order_sent_again_gets_the_first_refusal(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    first = buyer.order("Buy", "100000", "1", status=400, symbol=symbol, cid="too-dear")
    assert first == {
        "code": -2010,
        "msg": "Account has insufficient balance for requested action.",
        "reject": "INSUFFICIENT_BALANCE",
        "order_id": first["order_id"],
        "cid": "too-dear",
        "order_status": "Rejected",
    }
    buyer.transfer("in", "USDT", "1000000", f"late-{buyer.user_id}")
    assert buyer.order("Buy", "100000", "1", status=400, symbol=symbol, cid="too-dear") == first


@pytest.mark.parametrize(
    ("price", "quantity", "more", "code", "reject"),
    [
        ("0", "1", {}, -1013, "INVALID_PRICE"),
        ("1", "0", {}, -1013, "INVALID_QUANTITY"),
        ("0.01", "1", {}, -1013, "MIN_NOTIONAL"),
        ("90000000000", "90000000000", {}, -1013, "NOTIONAL_TOO_LARGE"),
        ("10", "1", {"order_type": "LimitMaker", "time_in_force": "IOC"}, -1116, "INVALID_ORDER_TYPE"),
    ],
)
def test_order_outside_the_filters_is_refused_by_its_filter(
    traders: tuple[User, User], symbol: str, price: str, quantity: str, more: dict[str, str], code: int, reject: str
) -> None:
    buyer, _ = traders
    refusal = buyer.order("Buy", price, quantity, status=400, symbol=symbol, **more)
    assert (refusal["code"], refusal["reject"]) == (code, reject)
    assert buyer.balances()["USDT"] == ("10000", "0")


def test_ioc_and_fok_that_find_nothing_expire(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    for time_in_force in ("IOC", "FOK"):
        answer = buyer.order("Buy", "10", "1", symbol=symbol, time_in_force=time_in_force)
        assert (answer["order_status"], answer["filled_quantity"]) == ("Expired", "0")
    assert buyer.balances()["USDT"] == ("10000", "0")


def test_post_only_order_that_would_take_is_rejected(traders: tuple[User, User], symbol: str) -> None:
    buyer, seller = traders
    seller.order("Sell", "50", "1", symbol=symbol)
    refusal = buyer.order("Buy", "50", "1", status=400, symbol=symbol, order_type="LimitMaker")
    assert (refusal["code"], refusal["reject"]) == (-2010, "WOULD_TAKE_LIQUIDITY")
    assert buyer.balances()["USDT"] == ("10000", "0")
    clear(seller)


def test_market_order_by_quantity_takes_within_its_protection_price(traders: tuple[User, User], symbol: str) -> None:
    buyer, seller = traders
    seller.order("Sell", "100", "1", symbol=symbol)
    seller.order("Sell", "104.99", "1", symbol=symbol)
    seller.order("Sell", "105.01", "1", symbol=symbol)
    answer = buyer.order("Buy", None, "3", symbol=symbol, response="FULL")
    assert [fill["price"] for fill in answer["fills"]] == ["100", "104.99"]
    assert (answer["order_status"], answer["price"], answer["time_in_force"]) == ("Expired", "0", "IOC")
    assert buyer.balances()["USDT"] == ("9795.01", "0")
    clear(seller)


def test_market_order_by_quote_quantity_spends_no_more(traders: tuple[User, User], symbol: str) -> None:
    buyer, seller = traders
    seller.order("Sell", "100", "10", symbol=symbol)
    answer = buyer.order("Buy", None, None, symbol=symbol, quote_quantity="250")
    assert (answer["order_status"], answer["filled_quote"]) == ("Filled", "250")
    assert buyer.balances()["USDT"] == ("9750", "0")
    clear(seller)


def test_market_order_without_any_price_is_refused(live: LiveExchange, traders: tuple[User, User]) -> None:
    for path, body in (
        ("/api/admin/assets/NEVER", {"scale": 2}),
        (
            "/api/admin/symbols/NEVER_USDT",
            {"tick_size": "0.01", "lot_size": "1", "min_notional": "0", "maker_fee_micros": 0, "taker_fee_micros": 0},
        ),
    ):
        assert live.http.put(path, json=body, headers=live.admin).status_code == 200
    refusal = traders[0].order("Buy", None, "1", status=400, symbol="NEVER_USDT")
    assert (refusal["code"], refusal["reject"]) == (-2010, "NO_REFERENCE_PRICE")


def test_ack_answers_when_durable_and_the_order_is_found_by_its_cid(traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    answer = buyer.order("Buy", "10", "1", symbol=symbol, response="ACK")
    assert sorted(answer) == ["cid", "symbol", "time_ms"]
    assert buyer.get("/api/orders", cid=answer["cid"])["order_status"] == "New"
    clear(buyer)


def test_suspended_user_may_cancel_but_not_order(live: LiveExchange, traders: tuple[User, User], symbol: str) -> None:
    buyer, _ = traders
    buyer.order("Buy", "10", "1", symbol=symbol, cid="stays")
    buyer.post(f"/api/admin/users/{buyer.user_id}/suspend", {}, live.admin)
    refusal = buyer.order("Buy", "10", "1", status=403, symbol=symbol)
    assert refusal["reject"] == "USER_SUSPENDED"
    assert buyer.post("/api/orders/cancel", {"cid": "stays"}).json()["order_status"] == "Cancelled"
    buyer.post(f"/api/admin/users/{buyer.user_id}/resume", {}, live.admin)
    buyer.order("Buy", "10", "1", symbol=symbol)
    clear(buyer)


def test_halted_symbol_takes_no_orders(live: LiveExchange, traders: tuple[User, User]) -> None:
    settings = {
        "tick_size": "0.01",
        "lot_size": "1",
        "min_notional": "0",
        "maker_fee_micros": 0,
        "taker_fee_micros": 0,
    }
    live.http.put("/api/admin/assets/HALT", json={"scale": 2}, headers=live.admin)
    path = "/api/admin/symbols/HALT_USDT"
    assert live.http.put(path, json=settings | {"status": "Halted"}, headers=live.admin).json()["status"] == "Halted"
    assert traders[0].order("Buy", "1", "1", status=400, symbol="HALT_USDT")["reject"] == "SYMBOL_HALTED"
    assert live.http.put(path, json=settings, headers=live.admin).json()["status"] == "Trading"
    traders[0].order("Buy", "1", "1", symbol="HALT_USDT")
    clear(traders[0])
