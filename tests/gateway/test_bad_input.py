"""Whatever a client sends, it gets a 4xx with a code and a sentence, and nothing has changed."""

import json
import time
from typing import Any

import pytest

from services.gateway.errors import ApiError
from services.gateway.reading import parse_json
from tests.support.live_exchange import LiveExchange, User

GOOD = {
    "cid": "bad-input-1",
    "symbol": "BTC_USDT",
    "side": "Buy",
    "order_type": "Limit",
    "price": "100.5",
    "quantity": "0.1",
}
TRANSFER = {"transfer_id": "bad-t-1", "user_id": 1001, "asset": "BTC", "amount": "1"}


@pytest.fixture(scope="module")
def user(live: LiveExchange) -> User:
    return live.new_user(USDT="1000")


def send(live: LiveExchange, path: str, body: bytes, headers: dict[str, str], status: int) -> dict[str, Any]:
    """Send a raw body, and see that it is refused so and changes nothing."""
    before = live.state()
    response = live.http.post(path, content=body, headers={"Content-Type": "application/json", **headers})
    assert response.status_code == status, response.text
    refusal = response.json()
    assert refusal["code"] < 0
    assert refusal["msg"].endswith((".", "'", "LOT_SIZE", "PRICE_FILTER")), refusal
    assert live.state() == before
    return refusal  # type: ignore[no-any-return]


def with_field(name: str, text: str, good: dict[str, Any] = GOOD) -> bytes:
    """A good body with one field's JSON replaced by `text`."""
    return json.dumps(good | {name: "\0"}).replace('"\\u0000"', text).encode()


@pytest.mark.parametrize("field", ["symbol", "side", "order_type", "price", "quantity"])
def test_order_without_a_field_is_refused_by_its_name(live: LiveExchange, user: User, field: str) -> None:
    body = json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()
    refusal = send(live, "/api/orders", body, user.headers, 400)
    assert refusal == {"code": -1102, "msg": f"Mandatory parameter '{field}' was not sent."}


@pytest.mark.parametrize("text", ["1", "1.5", "-0", "-0.0", "1e400", "NaN", "-Infinity", "true", "[]", "{}", '["1"]'])
@pytest.mark.parametrize("field", ["cid", "symbol", "side", "order_type", "price", "quantity", "response"])
def test_order_with_a_field_of_a_wrong_type_is_refused(live: LiveExchange, user: User, field: str, text: str) -> None:
    refusal = send(live, "/api/orders", with_field(field, text), user.headers, 400)
    assert refusal["code"] in (-1100, -1115, -1116, -1117)
    assert f"'{field}" in refusal["msg"]


NUMBERS = ["", " ", "-0", "-1", "+1", "1e5", "1e400", "NaN", "Infinity", "0x10", "1,5", "1.", ".5", "1_0", " 1", "1 ",
           "1\\n", "\\u0661", "9" * 41, "1." + "0" * 39]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize("field", ["price", "quantity"])
def test_order_with_a_text_that_is_no_plain_decimal_is_refused(
    live: LiveExchange, user: User, field: str, text: str
) -> None:
    refusal = send(live, "/api/orders", with_field(field, f'"{text}"'), user.headers, 400)
    assert refusal["code"] == -1100
    assert field in refusal["msg"]


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("price", '"100.001"', -1111),
        ("price", '"99999999999999999999"', -1111),
        ("quantity", '"0.000001"', -1111),
        ("symbol", '"NO_SUCH"', -1121),
        ("symbol", '"btc_usdt"', -1100),
        ("symbol", '"' + "A" * 100 + '"', -1100),
        ("side", '"buy"', -1117),
        ("order_type", '"LIMIT"', -1116),
        ("time_in_force", '"DAY"', -1115),
        ("cid", '""', -1100),
        ("cid", '"a b"', -1100),
        ("cid", '"\\ud800"', -1103),
        ("cid", '"' + "c" * 37 + '"', -1100),
        ("unknown", '"1"', -1101),
        ("user_id", "1001", -1101),
        ("quote_quantity", '"5"', -1106),
    ],
)
def test_order_with_a_value_out_of_range_is_refused(
    live: LiveExchange, user: User, field: str, text: str, code: int
) -> None:
    assert send(live, "/api/orders", with_field(field, text), user.headers, 400)["code"] == code


MARKET = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Market"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (MARKET, -1102),
        (MARKET | {"quantity": "1", "quote_quantity": "1"}, -1102),
        (MARKET | {"quantity": "1", "price": "1"}, -1106),
        (MARKET | {"quote_quantity": "0.000000001"}, -1111),
    ],
)
def test_market_order_with_fields_that_do_not_fit_is_refused(
    live: LiveExchange, user: User, body: dict[str, str], code: int
) -> None:
    assert send(live, "/api/orders", json.dumps(body).encode(), user.headers, 400)["code"] == code


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"1e400", 400),
        (b"9" * 5000, 400),
        (b"\xff\xfe{}", 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"symbol":"BTC_USDT","symbol":"BTC_USDT"}', 400),
        (b'{"a":{"b":1,"b":2}}', 400),
        (b"[" * 60_000, 400),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
        (b'{"cid":"' + b"x" * 70_000 + b'"}', 413),
        (b" " * 10_000_000, 413),
    ],
    ids=lambda value: value[:12].decode("latin-1") + f"({len(value)})" if isinstance(value, bytes) else None,
)
@pytest.mark.parametrize("path", ["/api/orders", "/api/orders/cancel", "/transfer_in", "/api/auth/token"])
def test_body_that_is_not_one_json_object_is_refused(
    live: LiveExchange, path: str, body: bytes, status: int, user: User
) -> None:
    headers = live.admin if path == "/transfer_in" else user.headers
    assert send(live, path, body, headers, status)["code"] in (-1100, -1101, -1103)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"])
def test_body_of_another_content_type_is_refused(live: LiveExchange, user: User, kind: str) -> None:
    assert send(live, "/api/orders", json.dumps(GOOD).encode(), {**user.headers, "Content-Type": kind}, 415)


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("transfer_id", '""', -1100),
        ("transfer_id", '"' + "t" * 65 + '"', -1100),
        ("transfer_id", '"a\\nb"', -1100),
        ("transfer_id", "5", -1100),
        ("user_id", "0", -1100),
        ("user_id", "-1", -1100),
        ("user_id", "1.0", -1100),
        ("user_id", "true", -1100),
        ("user_id", '"1001"', -1100),
        ("user_id", "9223372036854775808", -1100),
        ("user_id", "9" * 4400, -1103),
        ("asset", '"XXX"', -4002),
        ("asset", '"btc"', -1100),
        ("amount", '"1.123456789"', -1111),
        ("amount", '"99999999999999999999"', -1111),
        ("amount", "1", -1100),
        ("amount", '"-0"', -1100),
        ("memo", '"x"', -1101),
    ],
)
@pytest.mark.parametrize("way", ["in", "out"])
def test_transfer_with_a_wrong_field_is_refused(live: LiveExchange, way: str, field: str, text: str, code: int) -> None:
    body = with_field(field, text, TRANSFER)
    assert send(live, f"/api/transfers/{way}", body, live.admin, 400)["code"] == code


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, -1102), ({"order_id": 1, "cid": "x"}, -1102), ({"order_id": "1"}, -1100), ({"order_id": 0}, -1100),
     ({"order_id": 2**53}, -1100), ({"cid": "a b"}, -1100), ({"order": 1}, -1101)],
)  # fmt: skip
def test_cancel_that_names_no_order_is_refused(live: LiveExchange, user: User, body: dict[str, Any], code: int) -> None:
    assert send(live, "/api/orders/cancel", json.dumps(body).encode(), user.headers, 400)["code"] == code


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("user_id=1", 403, -1002),
        ("user_id=abc", 400, -1100),
        ("user_id=", 400, -1100),
        ("user_id=0", 400, -1100),
        ("user_id=-5", 400, -1100),
        ("user_id=9223372036854775808", 400, -1100),
        ("user_id=1&user_id=1", 400, -1101),
        ("nonsense=1", 400, -1101),
        ("a=%FF", 400, -1100),
        ("a=%", 400, -1100),
        ("x=" + "y" * 5000, 414, -1100),
    ],
)
@pytest.mark.parametrize("path", ["/api/orders", "/api/orders/cancel_all"])
def test_query_that_is_wrong_or_foreign_is_refused(
    live: LiveExchange, user: User, path: str, query: str, status: int, code: int
) -> None:
    assert send(live, f"{path}?{query}", json.dumps(GOOD).encode(), user.headers, status)["code"] == code


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/orders/abc", 400),
        ("/api/orders/0", 400),
        ("/api/orders/99999999999999999999", 400),
        ("/api/orders/-1", 400),
        ("/api/orders/1e3", 400),
        ("/api/orders/history?limit=0", 400),
        ("/api/orders/history?limit=1001", 400),
        ("/api/orders/history?limit=x", 400),
        ("/api/orders/history?limit=1e2", 400),
        ("/api/orders/history?limit=5.0", 400),
        ("/api/orders/history?from=1e3", 400),
        ("/api/orders/history?to=null", 400),
        ("/api/depth?symbol=BTC_USDT&limit=1e1", 400),
        ("/api/orders/history?cursor=1", 400),
        ("/api/orders/history?cursor=1:x", 400),
        ("/api/orders/history?cursor=1:99999999999999999999", 400),
        ("/api/orders/history?symbol=NO_SUCH", 400),
        ("/api/orders/history?from=-1", 400),
        ("/api/orders/active?symbol=NO_SUCH", 400),
        ("/api/orders?cid=a%20b", 400),
        ("/api/orders", 400),
        ("/api/orders?cid=never-sent", 404),
        ("/api/ledger?asset=XXX", 400),
        ("/api/ledger?before=5", 400),
        ("/api/trades", 400),
        ("/api/trades?symbol=NO_SUCH", 400),
        ("/api/trades?symbol=BTC_USDT&cursor=x", 400),
        ("/api/trades?user_id=1", 403),
        ("/api/balances?user_id=1", 403),
        ("/api/depth", 400),
        ("/api/depth?symbol=NO_SUCH", 400),
        ("/api/depth?symbol=BTC_USDT&limit=0", 400),
        ("/api/symbols?x=1", 400),
        ("/api/nothing", 404),
        ("/console/nothing", 404),
        ("/api/orders/", 404),
        ("/api/transfers/in", 405),
        ("/api/admin/users/1001", 403),
    ],
)
def test_get_that_asks_for_nothing_that_is_there_is_refused(
    live: LiveExchange, user: User, path: str, status: int
) -> None:
    response = live.http.get(path, headers=user.headers)
    assert response.status_code == status, response.text
    assert response.json()["code"] < 0
    assert response.json()["msg"].endswith(".")


@pytest.mark.parametrize(
    "spelling",
    ["{}.0", "{}e0", "+{}", "%2B{}", "%20{}", "{}%20", "0{}", "{}%00", "{}%0A", "{}_", "-{}", "null", "{}&user_id={}",
     "{}&%75ser_id={}", "%D9%A1", "true", "0x10", ""],
)  # fmt: skip
def test_user_id_in_a_query_is_plain_digits_once(live: LiveExchange, user: User, spelling: str) -> None:
    """Whoever means somebody's data says so exactly: no other spelling of the caller's own number is taken."""
    path = "/api/balances?user_id="
    good = live.http.get(f"{path}{user.user_id}", headers=user.headers)
    assert good.json()["user_id"] == user.user_id
    refused = live.http.get(path + spelling.format(user.user_id, user.user_id), headers=user.headers)
    assert (refused.status_code, refused.json()["code"]) in ((400, -1100), (400, -1101)), refused.text


def test_method_that_a_path_does_not_take_is_refused_with_those_it_takes(live: LiveExchange) -> None:
    response = live.http.delete("/api/orders")
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST, GET"


SYMBOL = {
    "tick_size": "0.01",
    "lot_size": "0.001",
    "min_notional": "1",
    "maker_fee_micros": 0,
    "taker_fee_micros": 0,
}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/api/admin/assets/toolong" + "X" * 20, {"scale": 8}, -4007),
        ("/api/admin/assets/abc", {"scale": 8}, -4007),
        ("/api/admin/assets/ABC", {"scale": 13}, -1100),
        ("/api/admin/assets/ABC", {"scale": "8"}, -1100),
        ("/api/admin/assets/ABC", {}, -1102),
        ("/api/admin/assets/BTC", {"scale": 2, "x": 1}, -1101),
        ("/api/admin/symbols/BTCUSDT", SYMBOL, -4002),
        ("/api/admin/symbols/BTC_BTC", SYMBOL, -4007),
        ("/api/admin/symbols/NOPE_USDT", SYMBOL, -4002),
        ("/api/admin/symbols/ETH_BTC", SYMBOL | {"tick_size": "0"}, -4007),
        ("/api/admin/symbols/ETH_BTC", SYMBOL | {"tick_size": "0.00000001", "lot_size": "0.00000001"}, -4007),
        ("/api/admin/symbols/ETH_BTC", SYMBOL | {"maker_fee_micros": 100_001}, -1100),
        ("/api/admin/symbols/ETH_BTC", SYMBOL | {"matcher_shard": 1}, -1100),
        ("/api/admin/symbols/ETH_BTC", SYMBOL | {"status": "Open"}, -1100),
        ("/api/admin/policy", {"order_window_ms": 0, "transfer_window_ms": 1, "max_open_orders": 1}, -1100),
    ],
)
def test_settings_that_cannot_be_are_refused(live: LiveExchange, path: str, body: dict[str, Any], code: int) -> None:
    before = live.state()
    response = live.http.put(path, json=body, headers=live.admin)
    assert (response.status_code, response.json()["code"]) == (400, code), response.text
    assert live.state() == before


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/admin/users", {"user_id": 0}, 400),
        ("/api/admin/users/abc/suspend", {}, 400),
        ("/api/admin/users/77777/keys", {"scopes": ["read"]}, 404),
        ("/api/admin/users/1001/keys", {"scopes": []}, 400),
        ("/api/admin/users/1001/keys", {"scopes": ["root"]}, 400),
        ("/api/admin/users/1001/keys", {"scopes": ["read", "read"]}, 400),
        ("/api/admin/users/1001/keys", {"scopes": ["read"], "public_key": "no key"}, 400),
    ],
)
def test_administration_of_users_that_cannot_be_is_refused(
    live: LiveExchange, path: str, body: dict[str, Any], status: int
) -> None:
    send(live, path, json.dumps(body).encode(), live.admin, status)


_NAMES = [f"{n:x}" for n in range(7_000)]


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 9 + b'"' + b'\\"' * 32_000,
        ("{" + ",".join(f'"{name}":0' for name in [*_NAMES, _NAMES[-1]]) + "}").encode(),
    ],
    ids=["a text without an end", "a key that comes twice behind thousands"],
)
def test_body_made_to_be_slow_is_refused_without_holding_up_everybody(body: bytes) -> None:
    # The whole exchange waits while a body is read, and the token call reads anybody's. What is allowed here is a
    # hundred times what it takes; time that grows with the square of the length took seconds.
    assert len(body) < 64 * 1024
    started = time.process_time()
    with pytest.raises(ApiError):
        parse_json(body)
    assert time.process_time() - started < 0.25
