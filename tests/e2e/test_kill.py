"""kill -9 at random moments, under load from several clients: what was acknowledged is there, and nothing is twice."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from services.demo.client import USERS, Api
from services.demo.review import owned
from tests.support.exchange_process import ExchangeProcess
from tests.support.processes import run
from tests.support.stubborn_client import Intent, StubbornClient

KILLS = 22
SEED = 20_240_621
CLOSED = ("Filled", "Cancelled", "Rejected", "Expired")

Ledger = list[dict[str, Any]]


def test_killed_again_and_again_keeps_what_it_acknowledged_once(exchange: ExchangeProcess) -> None:
    api = Api(exchange.url, exchange.data_dir)
    stop = threading.Event()
    clients = [StubbornClient(exchange.url, api.token(who), who, SEED + who, stop) for who in (0, *USERS)]
    for client in clients:
        client.start()
    kill_at_random_moments(exchange, clients)
    stop.set()
    for client in clients:
        client.join(60)
        assert client.error is None
        assert not client.is_alive()
    done = [intent for client in clients for intent in client.done]
    repeated = sum(intent.attempts > 1 for intent in done)
    print(f"{KILLS} kills, {len(done)} commands, {repeated} of them repeated")
    # Without repeats after a lost answer, and many answers, nothing of this was tried.
    assert repeated >= KILLS
    assert Counter(intent.answer is not None for intent in done)[True] > 200
    until_stored(api)
    check_orders(api, done)
    check_transfers(api, done)
    check_active(api)
    api.close()
    assert exchange.stop() == 0
    result = run("verify", "--data-dir", str(exchange.data_dir))
    assert result.returncode == 0, result.stdout + result.stderr


def kill_at_random_moments(exchange: ExchangeProcess, clients: list[StubbornClient]) -> None:
    """Most kills hit a busy exchange, some one that is still starting."""
    chance = random.Random(SEED)
    for number in range(KILLS):
        if number % 4 == 3:
            # While it starts: modules, recovery, the first commands.
            pause = chance.uniform(0.3, 1.0)
        else:
            exchange.wait_ready()
            wait_for_answers(clients, chance.randint(1, 60))
            pause = chance.uniform(0, 0.02)
        # Not to wait for anything: the moment itself is what is random.
        time.sleep(pause)
        exchange.kill()
        exchange.start()
    exchange.wait_ready()
    wait_for_answers(clients, 20)


def wait_for_answers(clients: list[StubbornClient], count: int) -> None:
    """Return when the clients have `count` more answers than now."""
    before, deadline = answered(clients), time.monotonic() + 60
    while answered(clients) < before + count:
        assert time.monotonic() < deadline, [client.error for client in clients]
        time.sleep(0.001)


def answered(clients: list[StubbornClient]) -> int:
    return sum(len(client.done) for client in clients)


def until_stored(api: Api) -> None:
    """Return when the store has every change that ubscore has made."""
    for user in USERS:
        for balance in api.get("/api/balances", user, user_id=user)["balances"]:
            asset, version = balance["asset"], balance["version"]
            eventually(partial(has_entries, api, user, asset, version))


def has_entries(api: Api, user: int, asset: str, count: int) -> bool:
    return len(ledger(api, user, asset)) == count


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ledger(api: Api, user: int, asset: str) -> Ledger:
    return list(api.pages("/api/ledger", "entries", "before", user, user_id=user, asset=asset))


def check_orders(api: Api, done: list[Intent]) -> None:
    """Every acknowledged order is in history once, as it was placed; nobody has an order that nobody placed."""
    for user in USERS:
        history = list(api.pages("/api/orders/history", "orders", "cursor", user, user_id=user))
        mine = {intent.id: intent for intent in done if intent.kind == "order" and intent.user == user}
        cids = Counter(order["cid"] for order in history)
        assert [cid for cid, count in cids.items() if count > 1] == []
        assert set(cids) <= set(mine)
        by_cid = {order["cid"]: order for order in history}
        for cid, intent in mine.items():
            if intent.answer is not None:
                check_order(intent, by_cid[cid])
            elif intent.refusal is not None and "order_id" in intent.refusal:
                assert (by_cid[cid]["order_id"], by_cid[cid]["order_status"]) == (
                    intent.refusal["order_id"],
                    "Rejected",
                )
        check_cancels(done, user, by_cid)
        for order in random.Random(SEED).sample(history, min(20, len(history))):
            assert api.get(f"/api/orders/{order['order_id']}", user, user_id=user) == order


def check_order(intent: Intent, order: dict[str, Any]) -> None:
    """The order is the acknowledged one, and has only gone on from there."""
    answer = intent.answer
    assert answer is not None
    fixed = ("order_id", "cid", "symbol", "side", "order_type", "time_in_force", "price", "quantity", "time_ms")
    assert [order[name] for name in fixed] == [answer[name] for name in fixed]
    assert float(order["filled_quantity"]) >= float(answer["filled_quantity"])
    if answer["order_status"] in CLOSED:
        assert order == {name: value for name, value in answer.items() if name != "fills"}


def check_cancels(done: list[Intent], user: int, by_cid: dict[str, dict[str, Any]]) -> None:
    """After a cancel was answered, one way or the other, the order is over."""
    for intent in done:
        if intent.kind == "cancel" and intent.user == user:
            status = by_cid[intent.id]["order_status"]
            assert status == "Cancelled" if intent.answer is not None else status in CLOSED, intent


def check_transfers(api: Api, done: list[Intent]) -> None:
    """Every acknowledged transfer is in the ledger once, and no refused one; nothing else moved funds."""
    found: Counter[str] = Counter()
    for user in USERS:
        for asset in ("BTC", "ETH", "USDT"):
            entries = ledger(api, user, asset)
            found.update(entry["reference"] for entry in entries if entry["kind"] in ("Deposit", "Withdrawal"))
    demo = {f"demo_{user}_{asset}" for user in USERS for asset in ("BTC", "ETH", "USDT")}
    transfers = [intent for intent in done if intent.kind == "transfer"]
    completed = {intent.id for intent in transfers if intent.answer is not None}
    assert found == Counter(dict.fromkeys(completed | demo, 1))
    assert all(intent.refusal["code"] == -2010 for intent in transfers if intent.refusal is not None)
    assert all(total > 0 for total in owned(api).values())


def check_active(api: Api) -> None:
    """The open orders that ubscore knows are those that history calls open."""
    for user in USERS:
        active = {order["order_id"] for order in api.get("/api/orders/active", user, user_id=user)["orders"]}
        history = api.pages("/api/orders/history", "orders", "cursor", user, user_id=user)
        assert active == {order["order_id"] for order in history if order["order_status"] not in CLOSED}
