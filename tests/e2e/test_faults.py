"""What a machine does to a running exchange: disks that fill up, files that go, clients without end, a stop under load.

Whatever happens, nothing that was acknowledged is missing afterwards, and `exchange verify` agrees.
"""

import resource
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.demo.client import USERS, Api, wait_for
from tests.support.exchange_process import STOPS_WITHIN_SECONDS, ExchangeProcess
from tests.support.processes import run
from tests.support.stubborn_client import Intent, StubbornClient

USER = 1001
UNLIMITED = resource.RLIM_INFINITY
QUICKLY_SECONDS = 9.0
"""A stop takes a fraction of a second; waiting for a request that never comes to its end took ten."""


class Trader:
    """Places orders of one user, and remembers which were acknowledged."""

    def __init__(self, exchange: ExchangeProcess) -> None:
        self._exchange = exchange
        self._cids = count(1)
        self.acknowledged: set[str] = set()
        self.log_in()

    def log_in(self) -> None:
        token = Api(self._exchange.url, self._exchange.data_dir).token(USER)
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=self._exchange.url, headers=headers, timeout=20)

    def place(self) -> int:
        """Place an order; returns the status of the answer, 0 when there was none."""
        cid = f"faults-{next(self._cids)}"
        order = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Limit", "price": "100", "quantity": "0.1"}
        try:
            answer = self._http.post("/api/orders", json=order | {"cid": cid})
        except httpx.TransportError:
            return 0
        if answer.status_code == 200:
            self.acknowledged.add(cid)
        return answer.status_code

    def get(self, path: str) -> httpx.Response:
        return self._http.get(path)

    def active(self) -> set[str]:
        return {order["cid"] for order in self.get("/api/orders/active").json()["orders"]}


@pytest.fixture
def trader(exchange: ExchangeProcess) -> Trader:
    trader = Trader(exchange)
    assert [trader.place() for _ in range(20)] == [200] * 20
    return trader


def limit(exchange: ExchangeProcess, what: int, most: int) -> None:
    """Limit a running process, softly: the limit can be taken away again."""
    resource.prlimit(exchange.process.pid, what, (most, resource.prlimit(exchange.process.pid, what)[1]))


def one_more(exchange: ExchangeProcess, trader: Trader) -> list[str]:
    """Have an order acknowledged, and see how the components are."""
    assert trader.place() == 200
    return list(httpx.get(f"{exchange.url}/health/ready", timeout=20).json()["components"].values())


def restart(exchange: ExchangeProcess, trader: Trader, open_files: int = 0, **settings: str) -> None:
    assert exchange.stop() == 0
    exchange.start(**settings)
    if open_files:
        resource.prlimit(exchange.process.pid, resource.RLIMIT_NOFILE, (open_files, open_files))
    exchange.wait_ready()
    trader.log_in()
    assert trader.place() == 200


def check_nothing_is_lost(exchange: ExchangeProcess, trader: Trader) -> None:
    """Start again, find every acknowledged order, stop, verify."""
    exchange.start()
    exchange.wait_ready()
    trader.log_in()
    assert trader.acknowledged <= trader.active()
    check_stop_and_verify(exchange)


def check_stop_and_verify(exchange: ExchangeProcess) -> None:
    assert exchange.stop() == 0, exchange.output
    result = run("verify", "--data-dir", exchange.data_dir)
    assert result.returncode == 0, result.stdout + result.stderr


def check_stopped_because(exchange: ExchangeProcess, reason: str) -> None:
    """It ended by itself, with status 1 and the reason in one sentence."""
    assert exchange.process.wait(STOPS_WITHIN_SECONDS) == 1
    (sentence,) = [line for line in exchange.output.splitlines() if line.startswith("exchange: stopped: ")]
    assert reason in sentence
    assert "Traceback" not in exchange.output


def place_until_refused(trader: Trader) -> None:
    while (status := trader.place()) == 200:
        pass
    assert status in (0, 503, 504)


def test_disk_full_for_the_log_stops_the_exchange_and_loses_nothing(exchange: ExchangeProcess, trader: Trader) -> None:
    largest = max(path.stat().st_size for path in exchange.data_dir.glob("log.sqlite3*"))
    limit(exchange, resource.RLIMIT_FSIZE, largest + 100_000)
    place_until_refused(trader)
    check_stopped_because(exchange, "LogError: writing the log failed, and it takes no more frames")
    check_nothing_is_lost(exchange, trader)


def test_journal_that_cannot_open_its_next_file_stops_the_exchange_and_loses_nothing(
    exchange: ExchangeProcess, trader: Trader
) -> None:
    # A limit on the size of files would hit the log first, which grows faster; so it is their number.
    restart(exchange, trader, EXCHANGE_JOURNAL__SNAPSHOT_INTERVAL="100ms")
    limit(exchange, resource.RLIMIT_NOFILE, len(list(Path(f"/proc/{exchange.process.pid}/fd").iterdir())))
    place_until_refused(trader)
    check_stopped_because(exchange, "JournalError: journal of ")
    check_nothing_is_lost(exchange, trader)


def test_disk_full_for_the_store_waits_says_so_and_goes_on_by_itself(exchange: ExchangeProcess, trader: Trader) -> None:
    # The store's files are made the largest, so that a limit on the size of files is one on the store alone.
    with sqlite3.connect(exchange.data_dir / "store.sqlite3", isolation_level=None) as store:
        store.execute("PRAGMA wal_autocheckpoint = 0")
        store.execute("CREATE TABLE ballast AS SELECT randomblob(40000000) AS bytes")
        store.execute("DROP TABLE ballast")
    limit(exchange, resource.RLIMIT_FSIZE, (exchange.data_dir / "store.sqlite3-wal").stat().st_size)
    wait_for("a store without room", lambda: one_more(exchange, trader), lambda states: "waiting for store" in states)
    assert trader.get("/api/balances").status_code == 200
    limit(exchange, resource.RLIMIT_FSIZE, UNLIMITED)
    exchange.wait_ready()
    newest = f"/api/orders?cid=faults-{len(trader.acknowledged)}"
    assert trader.get(newest).status_code == 200
    check_stop_and_verify(exchange)
    check_nothing_is_lost(exchange, trader)


def test_log_deleted_under_a_running_exchange_stops_it_before_it_acknowledges_more(
    exchange: ExchangeProcess, trader: Trader
) -> None:
    for path in exchange.data_dir.glob("log.sqlite3*"):
        path.unlink()
    assert trader.place() in (0, 503, 504)
    check_stopped_because(exchange, "log.sqlite3")


def test_connections_without_end_leave_files_for_the_exchange(exchange: ExchangeProcess, trader: Trader) -> None:
    """Whoever is not even logged in must not be able to end the exchange."""
    restart(exchange, trader, open_files=256, EXCHANGE_JOURNAL__SNAPSHOT_INTERVAL="100ms")
    with ExitStack() as flood:
        for _ in range(300):
            flood.enter_context(socket.create_connection(("127.0.0.1", exchange.port), timeout=20))
        assert [trader.place() for _ in range(100)] == [200] * 100
    exchange.wait_ready()
    assert trader.acknowledged <= trader.active()
    check_stop_and_verify(exchange)


def test_stop_under_load_answers_all_that_it_took_and_loses_nothing(exchange: ExchangeProcess) -> None:
    api = Api(exchange.url, exchange.data_dir)
    told = threading.Event()
    clients = [StubbornClient(exchange.url, api.token(user), user, user, told) for user in USERS]
    for client in clients:
        client.start()
    with socket.create_connection(("127.0.0.1", exchange.port)) as half:
        half.sendall(b"POST /api/orders HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
        wait_for("answers", lambda: sum(len(client.done) for client in clients), lambda done: done > 200)
        begin = time.monotonic()
        assert exchange.stop() == 0, exchange.output
        assert time.monotonic() - begin < QUICKLY_SECONDS
    exchange.start()
    exchange.wait_ready()
    told.set()
    for client in clients:
        client.join(30)
        assert client.error is None
        for intent in client.done:
            check_is_there(api, intent)
    check_stop_and_verify(exchange)


def check_is_there(api: Api, intent: Intent) -> None:
    if intent.kind == "order" and intent.answer is not None:
        found: dict[str, Any] = api.get("/api/orders", intent.user, cid=intent.id, user_id=intent.user)
        assert found["order_id"] == intent.answer["order_id"]
