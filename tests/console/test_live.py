"""GET /api/live and the files of the console, as programs see them."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from services.gateway import live as live_module
from services.gateway.console import FOLDER
from tests.support.live_exchange import LiveExchange

TEXTS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Listener:
    """One connection, which remembers the newest message of each type."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def say(self, **wish: str) -> None:
        self.socket.send(json.dumps(wish))

    def until(self, kind: str, good: Any = lambda data: True) -> Any:
        """The data of the first message of this type that is good."""
        deadline = time.monotonic() + 20
        while True:
            message = json.loads(self.socket.recv(timeout=deadline - time.monotonic()))
            if message["type"] == kind and good(message["data"]):
                return message["data"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveExchange]:
    """One of its own, in which nobody else trades."""
    exchange = LiveExchange(tmp_path_factory.mktemp("quiet"))
    yield exchange
    exchange.stop()


@pytest.fixture
def listener(live: LiveExchange) -> Iterator[Listener]:
    with connect(address(live)) as socket:
        yield Listener(socket)


def address(live: LiveExchange) -> str:
    return f"{live.url.replace('http', 'ws')}/api/live"


def token(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


def test_listener_is_told_the_symbols_and_of_a_symbols_book_and_trades(live: LiveExchange, listener: Listener) -> None:
    assert {one["name"] for one in listener.until("symbols")["symbols"]} >= {"BTC_USDT", "ETH_USDT"}
    maker, taker = live.new_user(BTC="1"), live.new_user(USDT="100000")
    listener.say(symbol="BTC_USDT")
    listener.until("depth")
    maker.order("Sell", "50000", "0.5")
    depth = listener.until("depth", lambda data: ["50000", "0.5"] in data["asks"])
    assert depth["symbol"] == "BTC_USDT"
    placed = taker.order("Buy", "50000", "0.2", response="FULL")
    (trade,) = listener.until("trades")
    stored = wait_for_trade(live, trade["trade_id"])
    # What is told at once is what the store has later.
    assert trade == stored
    assert trade["trade_id"] == placed["fills"][0]["trade_id"]
    assert listener.until("prices") == {"BTC_USDT": "50000"}
    book = listener_depth(live)
    assert book["asks"][0] == ["50000", "0.3"]
    maker.post("/api/orders/cancel_all", {})
    assert listener.until("depth", lambda data: not data["asks"])["sequence"] > depth["sequence"]


def wait_for_trade(live: LiveExchange, trade_id: int) -> Any:
    for _ in range(200):
        for trade in live.http.get("/api/trades", params={"symbol": "BTC_USDT"}).json()["trades"]:
            if trade["trade_id"] == trade_id:
                return trade
        time.sleep(0.05)
    raise AssertionError(f"trade {trade_id} does not come into the store")


def listener_depth(live: LiveExchange) -> Any:
    return live.http.get("/api/depth", params={"symbol": "BTC_USDT"}).json()


def test_listener_with_a_token_is_told_of_its_own_account_alone(live: LiveExchange, listener: Listener) -> None:
    me, other = live.new_user(USDT="1000"), live.new_user(USDT="1000")
    listener.say(token=token(me.headers))
    account = listener.until("account")
    assert (account["user_id"], account["orders"]) == (me.user_id, [])
    other.order("Buy", "40000", "0.01")
    me.order("Buy", "39000", "0.02")
    account = listener.until("account", lambda data: data["orders"])
    assert [(order["price"], order["quantity"]) for order in account["orders"]] == [("39000", "0.02")]
    assert account["balances"][0]["reserved"] == "780"
    listener.say(token="")
    other.post("/api/orders/cancel_all", {})
    me.post("/api/orders/cancel_all", {})
    listener.say(symbol="NO_SUCH")
    # Nobody's account was told since the token was taken back.
    kinds = []
    while not kinds or kinds[-1] != "error":
        kinds.append(json.loads(listener.socket.recv(timeout=20))["type"])
    assert "account" not in kinds


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", -1103),
        ("[1]", -1100),
        ('{"symbols":"BTC_USDT"}', -1100),
        ('{"symbol":"NO_SUCH"}', -1121),
        ('{"token":"nonsense"}', -1002),
        ('{"symbol":"A","symbol":"B"}', -1103),
    ],
)
def test_wish_that_makes_no_sense_is_answered_and_the_connection_goes_on(
    live: LiveExchange, listener: Listener, text: str, code: int
) -> None:
    listener.socket.send(text)
    error = listener.until("error")
    assert error["code"] == code
    assert error["msg"].endswith(".")
    listener.say(symbol="BTC_USDT")
    assert listener.until("depth")["symbol"] == "BTC_USDT"


def test_token_without_the_scope_read_is_refused(live: LiveExchange, listener: Listener) -> None:
    listener.say(token=token(live.new_user(("trade",)).headers))
    assert "scope read" in listener.until("error")["msg"]


def test_message_that_is_too_large_ends_the_connection(live: LiveExchange, listener: Listener) -> None:
    listener.say(symbol="x" * 5_000)
    with pytest.raises(ConnectionClosed):
        listener.until("never")


def test_listeners_above_the_limit_are_refused_with_the_apis_error(
    live: LiveExchange, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener.until("symbols")
    monkeypatch.setattr(live_module, "MAX_LISTENERS", 1)
    with pytest.raises(InvalidStatus) as refused, connect(address(live)):
        pass
    response = refused.value.response
    assert response.status_code == 503
    assert json.loads(response.body)["code"] == -1008


def test_feed_that_nobody_listens_to_does_nothing(live: LiveExchange) -> None:
    with connect(address(live)) as socket:
        Listener(socket).until("symbols")
        assert "live" in task_names(live)
    for _ in range(100):
        if "live" not in task_names(live):
            return
        time.sleep(0.05)
    raise AssertionError("the feed goes on without listeners")


def task_names(live: LiveExchange) -> set[str]:
    async def names() -> set[str]:
        return {task.get_name() for task in asyncio.all_tasks()}

    return live.run(names)


@pytest.mark.parametrize("name", ["", *(f"console/{path.name}" for path in sorted(FOLDER.iterdir()))])
def test_every_file_of_the_console_is_typed_guarded_and_not_sent_twice(live: LiveExchange, name: str) -> None:
    answer = live.http.get(f"/{name}")
    assert answer.status_code == 200
    suffix = f".{name.rsplit('.', 1)[1]}" if name else ".html"
    assert answer.headers["content-type"].split(";")[0] == TEXTS[suffix]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["cache-control"] == "no-cache"
    again = live.http.get(f"/{name}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = live.http.get(f"/{name}", headers={"If-None-Match": '"another"'})
    assert other.content == answer.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/console/none.js", 404),
        ("GET", "/console/..%2Fauth.py", 404),
        ("GET", "/console/", 404),
        ("POST", "/", 405),
    ],
)
def test_paths_beside_the_console_answer_in_the_apis_shape(
    live: LiveExchange, method: str, path: str, status: int
) -> None:
    answer = live.http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["code"] == -4000


def test_page_names_no_other_host_and_has_nothing_inline() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        outside = [
            line for line in text.splitlines() if "//" in line and "http" in line and "w3.org/2000/svg" not in line
        ]
        assert outside == [], path.name
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == 1
