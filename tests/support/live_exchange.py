"""A whole local exchange behind a real HTTP server, in a thread of its own, for tests that are its clients."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx

from services.config import Settings
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from services.gateway.server import Server
from services.runtime.credentials import Credentials, read_credentials
from services.runtime.local import LocalExchange

T = TypeVar("T")

FIRST_USER = 5_000_000
PATIENCE_SECONDS = 120


class LiveExchange:
    """Started when made; `stop` it. http: a client without credentials. demo: as of `exchange local --demo`."""

    def __init__(self, data_dir: Path, *, demo: bool = True) -> None:
        self._data_dir = data_dir
        self._demo = demo
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._next_user = FIRST_USER
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="exchange")
        self._thread.start()
        assert self._ready.wait(PATIENCE_SECONDS), "the exchange does not start"
        if self._error is not None:
            raise self._error
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.admin = self.log_in(self.credentials.admin.api_key, self.credentials.admin.secret_key)

    async def _serve(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
            self.exchange = LocalExchange(Settings(), self._data_dir, demo=self._demo)
            await self.exchange.start()
            self.credentials: Credentials = read_credentials(self._data_dir)
            # Said to be TCP: else asyncio does not switch Nagle's algorithm off, and every answer takes 40 ms.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            # Before anybody is told: who comes before the server accepts has to wait, and is not refused.
            listener.listen()
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._server = Server(self.exchange.app)
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ready.set()
        await self._server.serve(sockets=[listener])
        await self.exchange.stop()

    def stop(self) -> None:
        self.http.close()
        self._server.should_exit = True
        self._thread.join(60)

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something in the exchange's own loop."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(PATIENCE_SECONDS)

    def log_in(self, api_key: str, secret_key: str) -> dict[str, str]:
        """Headers of somebody who has this key."""
        response = self.http.post("/api/auth/token", json={"api_key": api_key, "secret_key": secret_key})
        assert response.status_code == 200, response.text
        return {"Authorization": f"Bearer {response.json()['access_token']}"}

    def new_user(self, scopes: tuple[str, ...] = ("read", "trade"), **funds: str) -> "User":
        """A user nobody has seen before, with these funds (asset=amount)."""
        self._next_user += 1
        return User(self, self._next_user, scopes, funds)

    def state(self) -> tuple[bytes, bytes, int]:
        """Digests of both cores, and how many frames of commands there are."""

        async def read() -> tuple[bytes, bytes, int]:
            operations = await self.exchange.log.end(TopicPartition(BALANCE_OPERATIONS, 0))
            return self.exchange.ubscore.core.digest(), self.exchange.matcher.core.digest(), operations

        return self.run(read)


class User:
    """A user of a live exchange, and calls in its name."""

    def __init__(self, live: LiveExchange, user_id: int, scopes: tuple[str, ...], funds: dict[str, str]) -> None:
        self.live = live
        self.user_id = user_id
        self.post("/api/admin/users", {"user_id": user_id}, live.admin)
        self.key = self.post(f"/api/admin/users/{user_id}/keys", {"scopes": [*scopes]}, live.admin).json()
        self.headers = live.log_in(self.key["api_key"], self.key["secret_key"])
        for asset, amount in funds.items():
            self.transfer("in", asset, amount, f"fund-{user_id}-{asset}")

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None, status: int = 200) -> httpx.Response:
        response = self.live.http.post(path, json=body, headers=self.headers if headers is None else headers)
        assert response.status_code == status, response.text
        return response

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a GET answers."""
        response = self.live.http.get(path, params=params, headers=self.headers)
        assert response.status_code == 200, response.text
        return response.json()

    def transfer(self, way: str, asset: str, amount: str, transfer_id: str, status: int = 200) -> Any:
        body = {"transfer_id": transfer_id, "user_id": self.user_id, "asset": asset, "amount": amount}
        return self.post(f"/api/transfers/{way}", body, self.live.admin, status).json()

    def order(self, side: str, price: str | None, quantity: str | None, status: int = 200, **more: Any) -> Any:
        """Place an order of BTC_USDT (Limit when it has a price, else Market); returns the answer."""
        body: dict[str, Any] = {"symbol": "BTC_USDT", "side": side, "order_type": "Limit" if price else "Market"}
        body |= {name: value for name, value in (("price", price), ("quantity", quantity)) if value is not None}
        return self.post("/api/orders", body | more, status=status).json()

    def balances(self) -> dict[str, tuple[str, str]]:
        """asset -> (available, reserved)"""
        return {b["asset"]: (b["available"], b["reserved"]) for b in self.get("/api/balances")["balances"]}
