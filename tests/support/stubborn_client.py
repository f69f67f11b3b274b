"""A client that loses its connection all the time and never gives up: it asks again, with the same id."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

_RETRY_SECONDS = 0.02
_TRANSIENT = (503, 504)
"""Nothing was done, or the outcome is unknown: both say to ask again with the same id."""


@dataclass
class Intent:
    """One command that a client wants done once. Exactly one of answer and refusal is there when it is over."""

    kind: str
    id: str
    user: int
    path: str
    body: dict[str, Any]
    answer: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None
    attempts: int = 0


class StubbornClient(threading.Thread):
    """Drives random commands until told to stop, one at a time, each until it has an answer.

    token: of `user`; a treasurer's when `user` is 0, who moves other users' funds. go: while it is not set, nothing new
    is begun; None: always on. prefix: of its ids, which no other client of the same exchange has.
    """

    def __init__(
        self,
        url: str,
        token: str,
        user: int,
        seed: int,
        stop: threading.Event,
        *,
        symbols: Sequence[str] = ("BTC_USDT",),
        go: threading.Event | None = None,
        prefix: str = "killed",
    ) -> None:
        super().__init__(name=f"client {user}", daemon=True)
        self.done: list[Intent] = []
        self.error: BaseException | None = None
        self.resting = False
        """Whether it waits for `go`, with nothing under way."""
        self._symbols = symbols
        self._go = go
        self._prefix = prefix
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=15.0)
        self._user = user
        self._chance = random.Random(seed)
        self._told = stop
        self._count = 0
        self._open: list[str] = []

    def run(self) -> None:
        try:
            while not self._told.is_set():
                self._rest()
                intent = self._transfer() if self._user == 0 else self._order_or_cancel()
                self._carry_out(intent)
                self.done.append(intent)
        except BaseException as error:
            self.error = error
        finally:
            self._http.close()

    def _rest(self) -> None:
        if self._go is not None and not self._go.is_set():
            self.resting = True
            self._go.wait()
            self.resting = False

    def _carry_out(self, intent: Intent) -> None:
        while True:
            intent.attempts += 1
            try:
                response = self._http.post(intent.path, json=intent.body)
            except httpx.TransportError:
                time.sleep(_RETRY_SECONDS)
                continue
            if response.is_success:
                intent.answer = response.json()
            elif response.status_code in _TRANSIENT:
                time.sleep(_RETRY_SECONDS)
                continue
            elif response.status_code < 500:
                intent.refusal = response.json()
            else:
                raise AssertionError(f"{intent}: {response.status_code} {response.text}")
            if intent.kind == "order" and intent.answer and intent.answer["order_status"] in ("New", "PartiallyFilled"):
                self._open.append(intent.id)
            return

    def _next_id(self, what: str) -> str:
        self._count += 1
        return f"{self._prefix}-{what}-{self._user}-{self._count:07d}"

    def _order_or_cancel(self) -> Intent:
        if self._open and self._chance.random() < 0.3:
            cid = self._open.pop(self._chance.randrange(len(self._open)))
            return Intent("cancel", cid, self._user, "/api/orders/cancel", {"cid": cid})
        cid = self._next_id("order")
        return Intent("order", cid, self._user, "/api/orders", {"cid": cid, **self._random_order()})

    def _random_order(self) -> dict[str, Any]:
        chance = self._chance
        kind = chance.choices(("GTC", "IOC", "FOK", "LimitMaker", "Market"), (60, 12, 8, 12, 8))[0]
        order: dict[str, Any] = {"symbol": chance.choice(self._symbols), "side": chance.choice(("Buy", "Sell"))}
        order["quantity"] = f"{chance.randint(1, 20) / 1000}"
        if kind == "Market":
            return order | {"order_type": "Market"}
        order["price"] = str(50_000 + 10 * chance.randint(-5, 5))
        if kind == "LimitMaker":
            return order | {"order_type": kind}
        return order | {"order_type": "Limit", "time_in_force": kind}

    def _transfer(self) -> Intent:
        chance = self._chance
        way = chance.choice(("in", "in", "out"))
        transfer_id = self._next_id("transfer")
        amount = "10000000000" if way == "out" and chance.random() < 0.2 else f"{chance.randint(1, 99999) / 1000}"
        user = chance.choice((1001, 1002, 1003))
        body = {"transfer_id": transfer_id, "user_id": user, "asset": chance.choice(("BTC", "ETH", "USDT"))}
        return Intent("transfer", transfer_id, user, f"/api/transfers/{way}", body | {"amount": amount})
