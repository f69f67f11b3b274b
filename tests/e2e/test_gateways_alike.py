"""Several gateways with the same number, as the pods of a Deployment: nobody can tell them apart, and nobody must."""

import threading
from pathlib import Path
from typing import Any

import httpx

from services.demo.client import USERS, Api
from services.runtime.demo_data import DEMO_DEPOSITS
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.processes import run

GATEWAYS = 3
ORDERS = 60


class Client(threading.Thread):
    """Places orders of one user through one gateway; no two anywhere have the same price."""

    def __init__(self, url: str, token: str, number: int, begin: threading.Barrier) -> None:
        super().__init__()
        self.mixed_up: list[Any] = []
        self.order_ids: dict[str, int] = {}
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self._number = number
        self._begin = begin

    def run(self) -> None:
        self._begin.wait()
        for count in range(ORDERS):
            price = f"{30_000 + 100 * self._number + count}"
            order = {"cid": f"alike-{self._number}-{count}", "price": price, "quantity": "0.001"}
            answer = self.place(order)
            if (answer.get("cid"), answer.get("price")) != (order["cid"], price):
                self.mixed_up.append(answer)
            else:
                self.order_ids[answer["cid"]] = answer["order_id"]
        # What another gateway was asked at the same moment has one outcome, and both tell it.
        self._begin.wait()
        same = self.place({"cid": "the-same-everywhere", "price": "29999", "quantity": "0.001"})
        self.order_ids["the-same-everywhere"] = same["order_id"]

    def place(self, order: dict[str, str]) -> dict[str, Any]:
        limit = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Limit"}
        answer: dict[str, Any] = self._http.post("/api/orders", json=limit | order).json()
        return answer


def test_gateways_with_the_same_number_start_at_once_and_answer_everybody_with_what_is_theirs(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    settings = {"gateway": {"answerTimeout": "30s"}}
    with Stack(
        tmp_path, broker=broker, database=database, prefix="alike", gateways=GATEWAYS, alike=True, settings=settings
    ) as stack:
        user = USERS[0]
        apis = [Api(url, stack.folder) for url in stack.urls]
        for api in apis:
            # All of them declared and funded at the same time.
            balances = {one["asset"]: one["available"] for one in api.get("/api/balances", user)["balances"]}
            assert balances == DEMO_DEPOSITS
        begin = threading.Barrier(2 * GATEWAYS)
        clients = [Client(api.url, api.token(user), number, begin) for number, api in enumerate(2 * apis)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert [client.mixed_up for client in clients] == [[]] * len(clients)
        placed: dict[str, int] = {}
        for client in clients:
            assert client.order_ids["the-same-everywhere"] == clients[0].order_ids["the-same-everywhere"]
            placed |= client.order_ids
        assert len(placed) == len(set(placed.values())) == len(clients) * ORDERS + 1
        for api in apis:
            active = api.get("/api/orders/active", user)["orders"]
            assert {order["cid"]: order["order_id"] for order in active} == placed
        verified = run("verify", "--config", stack.config)
        assert verified.returncode == 0, verified.stdout + verified.stderr
