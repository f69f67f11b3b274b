"""A fixed day on a demo exchange, with something of every command and of every refusal, and every question about it."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from services.demo.client import USERS, Api, Refusal

ADMIN = 0
SYMBOLS = ("BTC_USDT", "ETH_USDT")
NEWCOMER = 4_711
ASSETS = ("BTC", "ETH", "USDT")
CANCELLED_CID = "day-cancelled"


class MarketDay:
    """Plays the day. Every command is answered before the next one; `answers` are all of them, refusals too.

    rest: called before every command, so that a test can wait until nothing is under way any more.
    """

    def __init__(self, api: Api, rest: Callable[[], None] = lambda: None) -> None:
        self._api = api
        self._rest = rest
        self._cids = count(1)
        self.answers: list[Any] = []
        self.order_ids: list[tuple[int, int]] = []
        """(user, order id) of every order, refused ones too."""

    def play(self) -> None:
        self._transfers()
        self._limit_orders()
        self._market_orders()
        self._self_trades()
        self._cancels()
        self._accounts()
        self._instruments()
        self._refused_orders()

    def _transfers(self) -> None:
        for user in USERS:
            self._transfer("in", user, "USDT", "1000.5", f"day-in-{user}")
        self._transfer("in", 1001, "USDT", "1000.5", "day-in-1001")
        self._transfer("in", 1001, "USDT", "7", "day-in-1001")
        self._transfer("out", 1002, "BTC", "1.25", "day-out")
        self._transfer("out", 1002, "BTC", "1000000", "day-too-much")
        self._transfer("out", 1002, "BTC", "1000000", "day-too-much")
        self._transfer("in", NEWCOMER, "BTC", "1", "day-nobody")

    def _limit_orders(self) -> None:
        for step in range(4):
            self._order(1001, "Sell", f"{50_010 + 10 * step}", "0.3")
            self._order(1002, "Buy", f"{49_990 - 10 * step}", "0.4")
        self._order(1003, "Buy", "50020", "0.9")
        self._order(1003, "Buy", "50030", "0.7", time_in_force="IOC")
        self._order(1003, "Sell", "49980", "0.1", time_in_force="FOK")
        self._order(1003, "Sell", "49990", "100", time_in_force="FOK")
        self._order(1002, "Sell", "50025", "0.2", order_type="LimitMaker")
        self._order(1002, "Sell", "1", "0.2", order_type="LimitMaker")
        self._order(1003, "Buy", "60000", "0.2", time_in_force="IOC", symbol="ETH_USDT")

    def _market_orders(self) -> None:
        for step in range(3):
            self._order(1001, "Buy", f"{3_000 - step}", "2", symbol="ETH_USDT")
            self._order(1002, "Sell", f"{3_001 + step}", "2", symbol="ETH_USDT")
        market = {"order_type": "Market", "symbol": "ETH_USDT"}
        self._order(1003, "Buy", None, "1.5", **market)
        self._order(1003, "Sell", None, "2.5", **market)
        self._order(1003, "Buy", None, None, quote_quantity="4000", **market)
        self._order(1003, "Sell", None, None, quote_quantity="100.55", response="FULL", **market)

    def _self_trades(self) -> None:
        for prevention in ("ExpireTaker", "ExpireMaker", "ExpireBoth"):
            self._order(1003, "Sell", "3001", "1", symbol="ETH_USDT")
            self._order(1003, "Buy", "3001", "3", symbol="ETH_USDT", self_trade_prevention=prevention)

    def _cancels(self) -> None:
        self._order(1001, "Buy", "48000", "0.1", cid=CANCELLED_CID)
        self._post("/api/orders/cancel", {"cid": CANCELLED_CID}, 1001)
        self._post("/api/orders/cancel", {"cid": CANCELLED_CID}, 1001)
        placed = self._order(1001, "Buy", "48000", "0.1")
        self._post("/api/orders/cancel", {"order_id": placed["order_id"]}, 1001)
        self._post("/api/orders/cancel", {"order_id": placed["order_id"]}, 1002)
        self._post("/api/orders/cancel_all", {"symbol": "ETH_USDT"}, 1002)
        self._order(1001, "Buy", "47000", "0.1", cid=CANCELLED_CID)
        self._post("/api/orders/cancel_all", {}, 1003)
        self._post("/api/orders/cancel_all", {}, 1003)

    def _accounts(self) -> None:
        self._post("/api/admin/users", {"user_id": NEWCOMER}, ADMIN)
        self._transfer("in", NEWCOMER, "ETH", "3", "day-newcomer")
        self._post(f"/api/admin/users/{USERS[2]}/suspend", {}, ADMIN)
        self._order(1003, "Buy", "48000", "0.1")
        self._transfer("out", 1003, "BTC", "1", "day-suspended")
        self._post(f"/api/admin/users/{USERS[2]}/resume", {}, ADMIN)
        self._order(1003, "Buy", "48000", "0.1")

    def _instruments(self) -> None:
        self._call("PUT", "/api/admin/assets/EUR", {"scale": 2}, ADMIN)
        self._call("PUT", "/api/admin/assets/EUR", {"scale": 3}, ADMIN)
        for status in ("Halted", "CancelOnly"):
            self._set_symbol(status=status)
            self._order(1001, "Buy", "48000", "0.1")
        resting = self._api.get("/api/orders/active", ADMIN, user_id=1001, symbol="BTC_USDT")["orders"][0]
        self._post("/api/orders/cancel", {"order_id": resting["order_id"]}, 1001)
        self._set_symbol(status="Trading", taker_fee_micros=2_500)
        self._order(1001, "Buy", "50100", "0.2")
        policy = {"order_window_ms": 7_200_000, "transfer_window_ms": 86_400_000, "max_open_orders": 50}
        self._call("PUT", "/api/admin/policy", policy, ADMIN)

    def _refused_orders(self) -> None:
        self._order(1001, "Buy", "50000", "0.00001")
        self._order(1001, "Buy", "1", "5")
        self._order(1001, "Buy", "50000.001", "1")
        self._order(1001, "Buy", "40000", "100000")
        self._order(1001, "Buy", "49000", "0.1", cid="day-1")
        self._order(NEWCOMER, "Buy", "49000", "0.1")
        self._order(1001, "Buy", "1", "1", symbol="NO_SUCH")

    def _set_symbol(self, **changes: Any) -> None:
        body = {"tick_size": "0.01", "lot_size": "0.00001", "min_notional": "5", "band_micros": 500_000}
        fees = {"maker_fee_micros": 1_000, "taker_fee_micros": 1_000}
        self._call("PUT", "/api/admin/symbols/BTC_USDT", body | fees | changes, ADMIN)

    def _transfer(self, way: str, user: int, asset: str, amount: str, transfer_id: str) -> None:
        body = {"transfer_id": transfer_id, "user_id": user, "asset": asset, "amount": amount}
        self._post(f"/api/transfers/{way}", body, ADMIN)

    def _order(self, user: int, side: str, price: str | None, quantity: str | None, **more: Any) -> Any:
        body = {"cid": f"day-{next(self._cids)}", "symbol": "BTC_USDT", "side": side, "order_type": "Limit"}
        body |= {name: value for name, value in (("price", price), ("quantity", quantity)) if value is not None}
        if user == NEWCOMER:
            return self._call("POST", "/api/orders", body | more, ADMIN, user_id=user)
        answer = self._post("/api/orders", body | more, user)
        if "order_id" in answer:
            self.order_ids.append((user, answer["order_id"]))
        return answer

    def _post(self, path: str, body: dict[str, Any], who: int) -> Any:
        return self._call("POST", path, body, who)

    def _call(self, method: str, path: str, body: dict[str, Any], who: int, **query: Any) -> Any:
        self._rest()
        try:
            answer = self._api.call(method, path, who, query, body)
        except Refusal as refusal:
            if refusal.status >= 500:
                raise
            answer = {"status": refusal.status} | refusal.body
        self.answers.append(answer)
        return answer


def questions(order_ids: list[tuple[int, int]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, query) of everything that can be asked about the day; an administrator may ask all of it."""
    yield "/api/symbols", {}
    for symbol in SYMBOLS:
        yield "/api/depth", {"symbol": symbol, "limit": 1000}
        yield "/api/trades", {"symbol": symbol, "limit": 7}
    for user in (*USERS, NEWCOMER):
        mine = {"user_id": user}
        yield f"/api/admin/users/{user}", {}
        yield "/api/balances", mine
        yield "/api/orders/active", mine
        yield "/api/orders/active", mine | {"symbol": SYMBOLS[0]}
        yield "/api/orders/statistics", mine
        yield "/api/orders", mine | {"cid": CANCELLED_CID}
        for path in ("/api/orders/history", "/api/ledger", "/api/trades"):
            yield path, mine | {"limit": 5}
        yield "/api/orders/history", mine | {"symbol": SYMBOLS[1], "limit": 3}
        yield "/api/trades", mine | {"symbol": SYMBOLS[1], "limit": 3}
        for asset in ASSETS:
            yield "/api/ledger", mine | {"asset": asset, "limit": 4}
    for user, order_id in order_ids:
        yield f"/api/orders/{order_id}", {"user_id": user}


def answers_to(api: Api, path: str, query: dict[str, Any]) -> list[Any]:
    """The answer of every page, or the refusal."""
    cursor = "before" if path == "/api/ledger" else "cursor"
    pages: list[Any] = []
    while True:
        try:
            page = api.get(path, None if "symbol" in query and "user_id" not in query else ADMIN, **query)
        except Refusal as refusal:
            return [*pages, {"status": refusal.status} | refusal.body]
        pages.append(page)
        if "next" not in page:
            return pages
        query = query | {cursor: page["next"]}
