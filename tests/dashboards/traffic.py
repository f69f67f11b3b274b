"""People who trade, look, and do what is refused, so that every panel has something to show."""

import itertools
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from services.demo.client import Api, Refusal

SYMBOLS: Final = {"BTC_USDT": 50_000.0, "ETH_USDT": 3_000.0}
MAKER, TAKER, CARELESS, ADMIN = 1001, 1002, 1003, 0
PER_SECOND, BURST = 3, 20
"""Requests of an address without credentials that the gateway is to take, so that what comes here is too many."""
_PAUSE_S: Final = 0.05


class Traffic:
    """Goes on until the block ends. Of an exchange of the demo whose gateway takes few strangers, as above."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self._api = Api(url, data_dir)
        self._over = threading.Event()
        self._errors: list[Exception] = []
        self._dice = random.Random(7)
        self._threads = [threading.Thread(target=self._again, args=(work,)) for work in (self._trade, self._look)]
        self._threads.append(threading.Thread(target=self._again, args=(self._err,)))

    def __enter__(self) -> Self:
        # As long as strangers are few: logging in is for strangers.
        for who in (MAKER, TAKER, CARELESS, ADMIN):
            self._api.token(who)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._api.close()
        if self._errors:
            raise self._errors[0]

    def _again(self, work: Callable[[], None]) -> None:
        try:
            while not self._over.wait(_PAUSE_S):
                # An order that somebody has filled cannot be cancelled, and a busy exchange may be late. They go on.
                with suppress(Refusal):
                    work()
        except Exception as error:
            self._errors.append(error)

    def _trade(self) -> None:
        """A book of both sides, trades of a price that wanders, and cancellations."""
        for symbol, middle in SYMBOLS.items():
            price = middle * (1 + self._dice.gauss(0, 0.0005))
            for side, away in (("Buy", 0.999), ("Sell", 1.001)):
                rests = self._order(MAKER, symbol, side, price * away)
                if self._dice.random() < 0.5:
                    self._api.post("/api/orders/cancel", {"order_id": rests["order_id"]}, MAKER, user_id=MAKER)
            side, away = self._dice.choice([("Buy", 1.002), ("Sell", 0.998)])
            self._order(TAKER, symbol, side, price * away, time_in_force="IOC")
        if self._dice.random() < 0.1:
            self._api.post("/api/orders/cancel_all", {}, MAKER, user_id=MAKER)

    def _look(self) -> None:
        """At balances, books, own orders and what was traded."""
        self._api.get("/api/balances", MAKER, user_id=MAKER)
        for symbol, path in itertools.product(SYMBOLS, ("/api/depth", "/api/trades")):
            self._stranger(path, symbol=symbol)
        for path in ("/api/orders/active", "/api/orders/history"):
            self._api.get(path, MAKER, user_id=MAKER)

    def _err(self) -> None:
        """More than somebody has, too little to be an order, what is no symbol; and a stranger's asking."""
        self._refused(lambda: self._order(CARELESS, "BTC_USDT", "Sell", 50_000, "1000"))
        self._refused(lambda: self._order(CARELESS, "BTC_USDT", "Sell", 50_000, "0.00001"))
        self._refused(lambda: self._order(CARELESS, "NO_SUCH", "Sell", 50_000))
        self._stranger("/api/balances", user_id=MAKER)

    def _stranger(self, path: str, **query: Any) -> None:
        """Somebody without credentials asks, who may be refused."""
        with suppress(Refusal):
            self._api.get(path, **query)

    def _order(self, user: int, symbol: str, side: str, price: float, quantity: str = "", **more: str) -> Any:
        body = {"symbol": symbol, "side": side, "order_type": "Limit", "price": f"{price:.2f}"}
        body["quantity"] = quantity or f"{self._dice.uniform(0.01, 0.05):.4f}"
        return self._api.post("/api/orders", body | more, user, user_id=user)

    def _refused(self, call: Callable[[], object]) -> None:
        """Raises AssertionError when it is not."""
        try:
            call()
        except Refusal:
            return
        raise AssertionError("the exchange takes what it must refuse")
