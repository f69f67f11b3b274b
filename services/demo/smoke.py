"""`exchange smoke`: does a running exchange trade? Two users that nobody has seen before find out, over HTTP alone.

Made for exchanges that others trade on. The orders are as small as the symbol allows. The first may only rest, at a
price where nothing rests yet, strictly between the best bid and the best ask; the second takes all of it or nothing.
So they take from nobody, whatever happens. Somebody whose order comes in the few milliseconds between them can take
the first, at a price that is better than any that he saw; then the smoke test fails and says so. In the end both users
own nothing, have no keys, and are suspended; what is left is the fees, with the exchange.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from services.demo.books import plain
from services.demo.client import Client, Refusal, Silence, StoryError
from services.demo.smoke_price import Quote, quote_for, top_of
from services.shell.projection_shell import RUNNING

ADMIN: Final = 0
FIRST_USER_ID: Final = 2**62
"""Its users' ids are from here on: an exchange gives smaller ones to people."""
_AGAIN: Final = (429, 503, 504)
"""Answers after which the same is asked again: it takes effect once."""
_RETRY_SECONDS: Final = 0.2

_INTERFERED: Final = "an order of somebody else came between; try again"

T = TypeVar("T")
Say = Callable[[str], None]


class Wish(NamedTuple):
    """What is to be traded. price: None: one that moves nothing. patience_s: for each step."""

    symbol: str
    price: Decimal | None = None
    patience_s: float = 60.0


def smoke(url: str, admin_key: Mapping[str, str], wish: Wish, say: Say) -> None:
    """Trade once, and clear up. say: told of every step, with the milliseconds that it took.

    Raises StoryError, with one sentence, when anything is not as it must be; also then it clears up as well as it can.
    """
    client = Client(url, "is it the URL of a gateway, and is one ready?")
    try:
        _Smoke(client, wish, say).run(dict(admin_key))
    except Refusal as refusal:
        raise StoryError(f"{url} refused what it should have done: {refusal}") from refusal
    finally:
        client.close()


class _Smoke:
    def __init__(self, client: Client, wish: Wish, say: Say) -> None:
        self._client = client
        self._wish = wish
        self._say = say
        self._run_id = secrets.token_hex(6)
        """In every id of this run, so that what is sent again is known to be the same."""
        first = FIRST_USER_ID + secrets.randbits(61)
        self._seller, self._buyer = first, first + 1
        self._opened: list[int] = []
        self._traders: list[int] = []
        """Those of the opened users who can place orders."""
        self._moved: dict[str, Decimal] = {}
        """By asset, what was paid in and not out again."""

    def run(self, admin_key: dict[str, str]) -> None:
        with self._step("the gateway is ready"):
            self._insist(self._be_ready)
        with self._step("the administrator's key is good"):
            self._insist(lambda: self._client.log_in(ADMIN, admin_key))
        symbol = self._symbol()
        quote = quote_for(symbol, top_of(self._depth()), self._wish.price)
        try:
            self._trade(symbol, quote)
        except BaseException:
            self._clear_up_anyway()
            raise
        self._clear_up()
        self._say(
            f"Done: {self._wish.symbol} trades. The exchange keeps, as fees: {_listed(self._moved) or 'nothing'}."
        )

    # The trade

    def _be_ready(self) -> None:
        try:
            self._client.get("/health/ready")
        except Refusal as refusal:
            states = refusal.body.get("components", {}).items()
            why = "; ".join(f"{name}: {state}" for name, state in states if state != RUNNING)
            raise Silence(f"{self._client.url} is not ready: {why or refusal.status}") from refusal

    def _symbol(self) -> dict[str, Any]:
        listed = self._insist(lambda: self._client.get("/api/symbols"))["symbols"]
        found: dict[str, Any] | None = next((one for one in listed if one["name"] == self._wish.symbol), None)
        if found is None:
            names = ", ".join(one["name"] for one in listed)
            raise StoryError(f"there is no symbol {self._wish.symbol}; there are: {names or 'none'}")
        if found["status"] != "Trading":
            raise StoryError(f"{found['name']} is {found['status']}: it takes no orders now")
        return found

    def _depth(self) -> dict[str, Any]:
        depth: dict[str, Any] = self._insist(lambda: self._client.get("/api/depth", symbol=self._wish.symbol, limit=1))
        return depth

    def _trade(self, symbol: dict[str, Any], quote: Quote) -> None:
        with self._step(f"users {self._seller} and {self._buyer} were opened, with keys"):
            for user in (self._seller, self._buyer):
                self._open(user)
        amounts = {self._seller: (symbol["base"], quote.quantity), self._buyer: (symbol["quote"], quote.notional)}
        with self._step(
            " and ".join(f"{plain(amount)} {asset}" for asset, amount in amounts.values()) + " were paid in"
        ):
            for user, (asset, amount) in amounts.items():
                self._transfer("in", user, asset, amount)
        with self._step(f"the sale of {plain(quote.quantity)} {symbol['base']} at {plain(quote.price)} rests"):
            self._rest(quote)
        with self._step("the purchase took it"):
            self._take(quote)
        with self._step("the trade is settled, and both see it"):
            self._see_trade(quote)
        with self._step("both orders are in the history"):
            for user in (self._seller, self._buyer):
                self._wait_for(partial(self._has_filled_order, user))

    def _open(self, user: int) -> None:
        self._opened.append(user)
        self._insist(lambda: self._client.post("/api/admin/users", {"user_id": user}, ADMIN))
        scopes = {"scopes": ["read", "trade"]}
        key = self._insist(lambda: self._client.post(f"/api/admin/users/{user}/keys", scopes, ADMIN))
        self._insist(lambda: self._client.log_in(user, key))
        self._traders.append(user)

    def _transfer(self, way: str, user: int, asset: str, amount: Decimal) -> None:
        transfer_id = f"smoke-{self._run_id}-{user}-{asset}-{way}"
        body = {"transfer_id": transfer_id, "user_id": user, "asset": asset, "amount": plain(amount)}
        self._insist(lambda: self._client.post(f"/api/transfers/{way}", body, ADMIN))
        self._moved[asset] = self._moved.get(asset, Decimal(0)) + (amount if way == "in" else -amount)

    def _rest(self, quote: Quote) -> None:
        """Place the sale where nothing rests, and see that it is alone there."""
        answer = self._place(self._seller, "Sell", quote, order_type="LimitMaker")
        best_asks = self._depth()["asks"]
        if answer["order_status"] != "New" or best_asks != [[plain(quote.price), plain(quote.quantity)]]:
            raise StoryError(f"{_INTERFERED}: the sale is {answer['order_status']}, and the best ask is {best_asks}")

    def _take(self, quote: Quote) -> None:
        answer = self._place(self._buyer, "Buy", quote, order_type="Limit", time_in_force="FOK")
        if answer["order_status"] != "Filled":
            raise StoryError(f"{_INTERFERED}: the purchase is {answer['order_status']}")

    def _place(self, user: int, side: str, quote: Quote, **kind: str) -> dict[str, Any]:
        order = {
            "cid": f"smoke-{self._run_id}-{side}",
            "symbol": self._wish.symbol,
            "side": side,
            "price": plain(quote.price),
            "quantity": plain(quote.quantity),
        }
        answer: dict[str, Any] = self._insist(lambda: self._client.post("/api/orders", order | kind, user))
        return answer

    def _see_trade(self, quote: Quote) -> None:
        """One trade of all of it, and the same for both."""
        sold, bought = (self._wait_for(partial(self._trades, user)) for user in (self._seller, self._buyer))
        wanted = [(plain(quote.price), plain(quote.quantity), sold[0]["trade_id"])]
        got = [(trade["price"], trade["quantity"], trade["trade_id"]) for trade in bought]
        if got != wanted:
            raise StoryError(f"{_INTERFERED}: the sale's trade is {wanted}, the purchase's {got}")

    def _trades(self, user: int) -> Any:
        return self._client.get("/api/trades", user, user_id=user)["trades"]

    def _has_filled_order(self, user: int) -> bool:
        orders = self._client.get("/api/orders/history", user)["orders"]
        return [order["order_status"] for order in orders] == ["Filled"]

    # Clearing up

    def _clear_up(self) -> None:
        with self._step("both were paid out, and have neither keys nor rights any more"):
            for user in self._opened:
                self._close(user)

    def _clear_up_anyway(self) -> None:
        """After a failure: what went wrong first is what counts, and what stays behind is said."""
        for user in self._opened:
            try:
                self._close(user)
            except (Refusal, StoryError) as error:
                self._say(f"User {user} could not be cleared up: {error}")

    def _close(self, user: int) -> None:
        if user in self._traders:
            self._insist(lambda: self._client.post("/api/orders/cancel_all", {}, user))
        for balance in self._insist(lambda: self._client.get("/api/balances", ADMIN, user_id=user))["balances"]:
            if (amount := Decimal(balance["available"])) > 0:
                self._transfer("out", user, balance["asset"], amount)
        self._insist(lambda: self._client.post(f"/api/admin/users/{user}/suspend", {}, ADMIN))
        for key in self._insist(lambda: self._client.get(f"/api/admin/users/{user}/keys", ADMIN))["keys"]:
            path = f"/api/admin/users/{user}/keys/{key['api_key']}"
            self._insist(partial(self._client.call, "DELETE", path, ADMIN, {}))

    # What every step needs

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self._say(f"{(time.monotonic() - begin) * 1000:7.0f} ms  {what}")

    def _insist(self, call: Callable[[], T]) -> T:
        """Call until there is an answer that says what came of it; when none comes in time, raises the last failure."""
        deadline = time.monotonic() + self._wish.patience_s
        while True:
            try:
                return call()
            except (Refusal, Silence) as error:
                final = isinstance(error, Refusal) and error.status not in _AGAIN
                if final or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)

    def _wait_for(self, look: Callable[[], T]) -> T:
        """Look until there is something: the store follows the exchange."""
        deadline = time.monotonic() + self._wish.patience_s
        while not (found := self._insist(look)):
            if time.monotonic() > deadline:
                raise StoryError(
                    f"what was traded is not in the store after {self._wish.patience_s:g} s: do settlement and order "
                    f"history run?"
                )
            time.sleep(_RETRY_SECONDS)
        return found


def _listed(amounts: Mapping[str, Decimal]) -> str:
    return " and ".join(f"{plain(amount)} {asset}" for asset, amount in amounts.items() if amount)
