"""`exchange smoke` on exchanges where others trade: it takes nothing from anybody, and leaves nothing behind."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from services.demo.client import StoryError
from services.demo.smoke import FIRST_USER_ID, Wish, smoke
from services.demo.smoke_price import Quote, Top, quote_for
from tests.support.live_exchange import LiveExchange, User

SYMBOL = {"name": "A_B", "tick_size": "0.01", "lot_size": "0.001", "min_notional": "5"}


def top(bid: str = "0", ask: str = "0", last: str = "0") -> Top:
    return Top(Decimal(bid), Decimal(ask), Decimal(last))


@pytest.mark.parametrize(
    ("book", "wished", "price", "quantity"),
    [
        (top("99", "101", "100.5"), None, "100.5", "0.050"),
        (top("99", "101", "98"), None, "100", "0.050"),
        (top("99", "101", "99"), None, "100", "0.050"),
        (top("99", "99.05"), None, "99.02", "0.051"),
        (top("99", "0", "120"), None, "120", "0.042"),
        (top("99", "0", "50"), None, "99.01", "0.051"),
        (top("0", "99"), None, "98.99", "0.051"),
        (top("0", "0", "10000"), None, "10000", "0.001"),
        (top(), "25", "25", "0.200"),
        (top("99", "101", "100"), "99.01", "99.01", "0.051"),
    ],
)
def test_quote_is_strictly_inside_and_as_small_as_may_be(book: Top, wished: str, price: str, quantity: str) -> None:
    quote = quote_for(SYMBOL, book, Decimal(wished) if wished else None)
    assert quote == Quote(Decimal(price), Decimal(quantity))
    assert book.holds(quote.price)
    assert quote.notional >= 5


@pytest.mark.parametrize(
    ("book", "wished", "sentence"),
    [
        (top(), None, "A_B has had no trade and has no orders, so nothing says what it is worth: name a --price"),
        (top("99", "99.01", "99"), None, "meet nobody else's: in A_B the best bid is 99 and the best ask is 99.01"),
        (top("0", "0.01"), None, "meet nobody else's: in A_B the best ask is 0.01"),
        (top("99", "101"), "101", "at 101 it would meet orders of others: in A_B the best bid is 99 and"),
        (top("99", "0"), "99", "at 99 it would meet orders of others: in A_B the best bid is 99"),
        (top(), "0", "the price 0 must be above 0"),
    ],
)
def test_quote_that_would_meet_others_or_is_made_up_is_refused(book: Top, wished: str, sentence: str) -> None:
    with pytest.raises(StoryError, match=f"{sentence}$|{sentence} "):
        quote_for(SYMBOL, book, Decimal(wished) if wished else None)


@pytest.fixture
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveExchange]:
    exchange = LiveExchange(tmp_path_factory.mktemp("smoke"))
    try:
        yield exchange
    finally:
        exchange.stop()


class Smoked:
    """What a smoke test said, and which users it left. at: what to do when a line that ends so is said."""

    def __init__(self, live: LiveExchange, price: str | None = None, at: dict[str, Any] | None = None) -> None:
        self.lines: list[str] = []
        self._live = live
        self._at = at or {}
        admin = live.credentials.admin
        self._key = {"api_key": admin.api_key, "secret_key": admin.secret_key}
        self._wish = Wish("BTC_USDT", None if price is None else Decimal(price), 20)

    def run(self) -> "Smoked":
        smoke(self._live.url, self._key, self._wish, self.say)
        return self

    def say(self, line: str) -> None:
        self.lines.append(line)
        for end, do in self._at.items():
            if line.endswith(end):
                do()

    def check_cleared_up(self) -> None:
        """Its users own nothing, are suspended, and have no key that works."""
        (opened,) = [line.split() for line in self.lines if "were opened" in line]
        for user in (int(opened[3]), int(opened[5])):
            assert user >= FIRST_USER_ID
            assert self._get(f"/api/admin/users/{user}")["suspended"] is True
            keys = self._get(f"/api/admin/users/{user}/keys")["keys"]
            assert [key["revoked"] for key in keys] == [True]
            owned = self._get("/api/balances", user_id=user)["balances"]
            assert {(one["available"], one["reserved"]) for one in owned} == {("0", "0")}
            assert self._get("/api/orders/active", user_id=user)["orders"] == []

    def _get(self, path: str, **params: Any) -> Any:
        answer = self._live.http.get(path, params=params, headers=self._live.admin)
        assert answer.status_code == 200, answer.text
        return answer.json()


def last_price(live: LiveExchange) -> str:
    price: str = live.http.get("/api/depth?symbol=BTC_USDT").json()["last_price"]
    return price


def test_smoke_on_a_new_exchange_wants_a_price_once_and_then_moves_nothing(live: LiveExchange) -> None:
    with pytest.raises(StoryError, match="nothing says what it is worth"):
        Smoked(live).run()
    first = Smoked(live, price="50000").run()
    first.check_cleared_up()
    assert last_price(live) == "50000"
    assert first.lines[-1] == "Done: BTC_USDT trades. The exchange keeps, as fees: 0.0000001 BTC and 0.005 USDT."
    again = Smoked(live).run()
    again.check_cleared_up()
    assert last_price(live) == "50000"
    assert len(live.http.get("/api/trades?symbol=BTC_USDT").json()["trades"]) == 2


def test_smoke_between_orders_of_others_leaves_them_alone(live: LiveExchange) -> None:
    other = live.new_user(BTC="10", USDT="1000000")
    other.order("Buy", "49999", "1")
    other.order("Sell", "50001", "1")
    before = live.http.get("/api/depth?symbol=BTC_USDT").json()
    Smoked(live).run().check_cleared_up()
    after = live.http.get("/api/depth?symbol=BTC_USDT").json()
    assert (after["bids"], after["asks"], after["last_price"]) == (before["bids"], before["asks"], "50000")
    other.order("Buy", "50000.99", "0.1")
    other.order("Sell", "50000.98", "0.1", self_trade_prevention="ExpireTaker")
    other.order("Sell", "51000", "0.1")
    assert other.balances()["BTC"] == ("8.9", "1.1")
    with pytest.raises(StoryError, match=r"meet nobody else's: in BTC_USDT the best bid is 50000\.99 and the best ask"):
        Smoked(live).run()


@pytest.mark.parametrize("somebody", ["takes", "joins"])
def test_smoke_that_somebody_comes_between_says_so_and_clears_up(live: LiveExchange, somebody: str) -> None:
    other: User = live.new_user(BTC="1", USDT="100000")
    acts = {
        "takes": (" rests", lambda: other.order("Buy", "50000", "0.0001")),
        "joins": (" were paid in", lambda: other.order("Sell", "50000", "0.5")),
    }
    end, act = acts[somebody]
    smoked = Smoked(live, price="50000", at={end: act})
    with pytest.raises(StoryError, match="an order of somebody else came between; try again: "):
        smoked.run()
    smoked.check_cleared_up()
    if somebody == "joins":
        assert other.balances()["BTC"] == ("0.5", "0.5")


def test_smoke_of_a_halted_or_unknown_symbol_and_with_a_wrong_key_trades_nothing(live: LiveExchange) -> None:
    def refused(match: str, key: dict[str, str] | None = None, **wish: Any) -> None:
        admin = live.credentials.admin
        good = {"api_key": admin.api_key, "secret_key": admin.secret_key}
        before = live.state()
        with pytest.raises(StoryError, match=match):
            smoke(live.url, key or good, Wish(**{"symbol": "BTC_USDT", "patience_s": 1} | wish), print)
        assert live.state() == before

    refused("there is no symbol X_Y; there are: BTC_USDT, ETH_USDT", symbol="X_Y")
    refused("refused what it should have done: 401", key={"api_key": "0" * 32, "secret_key": "x"})
    (btc,) = [one for one in live.http.get("/api/symbols").json()["symbols"] if one["name"] == "BTC_USDT"]
    body = {key: btc[key] for key in btc.keys() - {"name", "base", "quote"}} | {"status": "Halted"}
    assert live.http.put("/api/admin/symbols/BTC_USDT", json=body, headers=live.admin).status_code == 200
    refused("BTC_USDT is Halted: it takes no orders now")


def test_smoke_of_what_is_no_gateway_says_so_in_one_sentence(live: LiveExchange) -> None:
    assert httpx.get(f"{live.url}/docs").status_code == 200
    for url, why in (("http://127.0.0.1:1", "does not answer"), (f"{live.url}/docs?", "with what is no JSON")):
        with pytest.raises(StoryError, match=f"{why}.*: is it the URL of a gateway, and is one ready") as caught:
            smoke(url, {"api_key": "x", "secret_key": "y"}, Wish("BTC_USDT", None, 1), print)
        assert "\n" not in str(caught.value)
