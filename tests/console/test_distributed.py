"""The live feed and `exchange top` where each service is a process of its own, and accounts are in two shards."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from services.demo.client import USERS, Api
from services.domain.topics import account_shard
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.processes import run

SHARDS = 2
QUIET_S = 1.0
PATIENCE_S = 60.0


@pytest.fixture
def stack(tmp_path: Path, broker: Broker, database: Database) -> Iterator[Stack]:
    with Stack(tmp_path, broker=broker, database=database, prefix="console", account_shards=SHARDS) as found:
        yield found


class Told:
    """What a connection was told: all trades, and the newest of everything else."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.trades: list[dict[str, Any]] = []
        self.newest: dict[str, Any] = {}

    def until(self, good: Callable[[], Any]) -> None:
        """Raises TimeoutError when it does not become good."""
        deadline = time.monotonic() + PATIENCE_S
        while not good():
            self._hear(max(0.0, deadline - time.monotonic()))

    def until_quiet(self) -> None:
        with suppress(TimeoutError):
            while True:
                self._hear(QUIET_S)

    def _hear(self, seconds: float) -> None:
        message = json.loads(self._socket.recv(timeout=seconds))
        self.newest[message["type"]] = message["data"]
        if message["type"] == "trades":
            self.trades += message["data"]


def test_trade_between_two_shards_is_told_once_and_top_sees_all_processes(stack: Stack) -> None:
    api = Api(stack.url, stack.folder)
    by_shard = {account_shard(user, SHARDS): user for user in USERS}
    assert len(by_shard) == SHARDS
    maker, taker = by_shard[0], by_shard[1]
    with connect(f"{stack.url.replace('http', 'ws')}/api/live", open_timeout=PATIENCE_S) as socket:
        told = Told(socket)
        socket.send(json.dumps({"symbol": "BTC_USDT", "token": api.token(maker)}))
        told.until(lambda: {"symbols", "depth", "account"} <= told.newest.keys())
        order = {"symbol": "BTC_USDT", "order_type": "Limit", "price": "50000", "quantity": "0.5"}
        api.post("/api/orders", order | {"side": "Sell"}, maker)
        told.until(lambda: told.newest["depth"]["asks"] == [["50000", "0.5"]])
        api.post("/api/orders", order | {"side": "Buy", "quantity": "0.2"}, taker)
        told.until(lambda: told.trades and told.newest["depth"]["asks"] == [["50000", "0.3"]])
        told.until(lambda: [one["filled_quantity"] for one in told.newest["account"]["orders"]] == ["0.2"])
        told.until_quiet()
    assert [(trade["trade_id"], trade["price"], trade["quantity"]) for trade in told.trades] == [(1, "50000", "0.2")]
    _check_top([process.url for process in stack.processes.values()])
    api.close()


SEVEN = [
    "gateway-0",
    "ubscore-0",
    "ubscore-0-standby",
    "matcher-0",
    "matcher-0-standby",
    "settlement-0",
    "order-history-0",
]
LAGS = {
    ("gateway-0", "gateway", "balance.events"),
    ("gateway-0", "gateway", "engine.outputs"),
    ("ubscore-0", "ubscore-0", "balance.operations"),
    ("ubscore-0-standby", "ubscore-0", "balance.operations"),
    ("matcher-0", "matcher-0", "orders"),
    ("matcher-0-standby", "matcher-0", "orders"),
    ("settlement-0", "settlement", "balance.events"),
    ("order-history-0", "order_history", "balance.events"),
    ("order-history-0", "order_history", "engine.outputs"),
}


def test_operations_name_all_processes_and_say_who_does_not_answer(
    tmp_path: Path,
    broker: Broker,
    database: Database,
) -> None:
    with Stack(tmp_path, broker=broker, database=database, prefix="operations", standby=True) as stack:
        api = Api(stack.url, stack.folder)

        def seen() -> Any:
            return api.get("/api/admin/operations", 0)

        # Right after its start a busy machine's process may not answer in time.
        found = _when(seen, lambda now: {_lag_of(row) for row in now["lag"]} >= LAGS and _all_ready(now))
        assert [row["name"] for row in found["processes"]] == SEVEN
        assert found["whole"]
        assert [(row["process"], row["role"]) for row in found["cores"]] == [
            ("ubscore-0", "active"),
            ("ubscore-0-standby", "standby"),
            ("matcher-0", "active"),
            ("matcher-0-standby", "standby"),
        ]
        stack.kill("matcher-0")
        killed_at = time.monotonic()
        found = _when(seen, lambda now: now["processes"][3]["state"] != "ready")
        assert found["processes"][3]["state"] == "does not answer"
        assert time.monotonic() - killed_at < PATIENCE_S / 4
        assert [row["name"] for row in found["processes"]] == SEVEN
        assert "matcher-0" not in {row["process"] for row in found["lag"]}
        # Whoever is not an administrator sees the gateway, and is told that this is not all.
        own = api.get("/api/operations")
        assert [row["name"] for row in own["processes"]] == ["gateway-0"]
        assert not own["whole"]
        api.close()


def _all_ready(seen: dict[str, Any]) -> bool:
    return all(row["state"] == "ready" for row in seen["processes"])


def _lag_of(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["process"], row["reader"], row["topic"]


def _when(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """What is seen as soon as it is good."""
    deadline = time.monotonic() + PATIENCE_S
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
    return seen


def _check_top(urls: list[str]) -> None:
    answer = run("top", *urls, "--once", "--every", "0.2")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    shown = " ".join(answer.stdout.split())
    assert f"● ready: {len(urls)} processes" in shown
    for text in ("ubscore-0 ● active", "ubscore-1 ● active", "matcher-0 ● active", "BTC_USDT ● Trading 50,000"):
        assert text in shown
    assert "order_history engine.outputs-0" in shown
