"""Several gateways with the same number, as the pods of a Deployment: nobody can tell them apart, and nobody must."""

import asyncio
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
ROUNDS = 3
AT_ONCE = 40
"""Orders under way through each gateway: more than what their starts differ by in commands."""
USER = USERS[0]


async def place(http: httpx.AsyncClient, cid: str, price: int) -> dict[str, Any]:
    """Place an order; returns its answer, which must be its own."""
    order = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Limit", "quantity": "0.001"}
    answer = await http.post("/api/orders", json=order | {"cid": cid, "price": str(price)})
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body.get("cid"), body.get("price")) == (200, cid, str(price)), answer.text
    return body


async def place_many(apis: list[Api]) -> dict[str, int]:
    """Many orders through all gateways at the same time, and one through each of them. Returns ids by cid."""
    clients = [
        httpx.AsyncClient(base_url=api.url, headers={"Authorization": f"Bearer {api.token(USER)}"}, timeout=60)
        for api in apis
    ]
    placed: dict[str, int] = {}
    for number in range(ROUNDS):
        first = 30_000 + number * GATEWAYS * AT_ONCE
        answers = await asyncio.gather(
            *[place(clients[n % GATEWAYS], f"alike-{first + n}", first + n) for n in range(GATEWAYS * AT_ONCE)]
        )
        placed |= {answer["cid"]: answer["order_id"] for answer in answers}
    # What several are asked at the same moment has one outcome, and all tell it.
    same = await asyncio.gather(*[place(client, "the-same", 29_999) for client in clients])
    assert len({answer["order_id"] for answer in same}) == 1
    for client in clients:
        await client.aclose()
    return placed | {"the-same": same[0]["order_id"]}


def test_gateways_with_the_same_number_start_at_once_and_answer_everybody_with_what_is_theirs(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    settings = {"gateway": {"answerTimeout": "30s"}}
    with Stack(
        tmp_path, broker=broker, database=database, prefix="alike", gateways=GATEWAYS, alike=True, settings=settings
    ) as stack:
        apis = [Api(url, stack.folder) for url in stack.urls]
        for api in apis:
            # All of them declared and funded at the same time.
            balances = {one["asset"]: one["available"] for one in api.get("/api/balances", USER)["balances"]}
            assert balances == DEMO_DEPOSITS
        placed = asyncio.run(place_many(apis))
        assert len(set(placed.values())) == ROUNDS * GATEWAYS * AT_ONCE + 1
        for api in apis:
            active = api.get("/api/orders/active", USER)["orders"]
            assert {order["cid"]: order["order_id"] for order in active} == placed
        verified = run("verify", "--config", stack.config)
        assert verified.returncode == 0, verified.stdout + verified.stderr
