"""What clients were told, held against what an exchange knows: all is there, as it was told, and nothing twice."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from services.demo.client import USERS, Api, Refusal
from services.demo.review import owned
from tests.support.stubborn_client import Intent, StubbornClient

CLOSED = ("Filled", "Cancelled", "Rejected", "Expired")
_STORED_WITHIN_SECONDS = 180
_SAMPLE = 20

Ledger = list[dict[str, Any]]


def wait_for_answers(clients: Sequence[StubbornClient], count: int) -> None:
    """Return when the clients have `count` more answers than now."""
    before, deadline = answered(clients), time.monotonic() + _STORED_WITHIN_SECONDS
    while answered(clients) < before + count:
        assert time.monotonic() < deadline, [client.error for client in clients]
        time.sleep(0.001)


def answered(clients: Sequence[StubbornClient]) -> int:
    return sum(len(client.done) for client in clients)


def until_stored(api: Api, done: Sequence[Intent] = ()) -> None:
    """Return when the store has every change that ubscore has made, and these orders as far as their senders know.

    Order history keeps a pace of its own: what settlement has stored it may not have yet.
    """
    for user in USERS:
        for balance in api.get("/api/balances", user, user_id=user)["balances"]:
            asset, version = balance["asset"], balance["version"]
            eventually(partial(has_entries, api, user, asset, version))
        eventually(partial(has_orders, api, user, done))


def has_entries(api: Api, user: int, asset: str, count: int) -> bool:
    """Not yet, too, while a gateway looks for a database that came back, and says 503."""
    try:
        return len(ledger(api, user, asset)) == count
    except Refusal as refusal:
        if refusal.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return False


def has_orders(api: Api, user: int, done: Sequence[Intent]) -> bool:
    """Whether history has come as far with every order as its sender was told; a cancel that is done tells its end."""
    told = {}
    for intent in done:
        if intent.user == user and intent.kind == "cancel":
            told[intent.id] = _step("Cancelled")
        elif intent.user == user and intent.kind == "order" and intent.answer is not None:
            told[intent.id] = _step(intent.answer["order_status"])
    if not told:
        return True
    history = api.pages("/api/orders/history", "orders", "cursor", user, user_id=user)
    steps = {order["cid"]: _step(order["order_status"]) for order in history}
    return all(steps.get(cid, -1) >= step for cid, step in told.items())


def _step(status: str) -> int:
    """How far an order has come: it rests, is filled in part, or is over."""
    return 2 if status in CLOSED else ("New", "PartiallyFilled").index(status)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _STORED_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ledger(api: Api, user: int, asset: str) -> Ledger:
    return list(api.pages("/api/ledger", "entries", "before", user, user_id=user, asset=asset))


def check_orders(api: Api, done: Sequence[Intent]) -> None:
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
        for order in random.Random(len(history)).sample(history, min(_SAMPLE, len(history))):
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


def check_cancels(done: Sequence[Intent], user: int, by_cid: dict[str, dict[str, Any]]) -> None:
    """After a cancel was answered, one way or the other, the order is over."""
    for intent in done:
        if intent.kind == "cancel" and intent.user == user:
            status = by_cid[intent.id]["order_status"]
            assert status == "Cancelled" if intent.answer is not None else status in CLOSED, intent


def check_transfers(api: Api, done: Sequence[Intent]) -> None:
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


def check_trades(api: Api) -> None:
    """Every trade that moved a user's funds is among his trades once, and among its symbol's, which lack none."""
    settled: set[tuple[str, int]] = set()
    for user in USERS:
        entries = [entry for asset in ("BTC", "ETH", "USDT") for entry in ledger(api, user, asset)]
        references = {tuple(entry["reference"].split(":")) for entry in entries if entry["kind"] in ("Trade", "Fee")}
        moved = {(symbol, int(trade_id)) for _, symbol, trade_id in references}
        assert traded(api.pages("/api/trades", "trades", "cursor", user, user_id=user)) == Counter(moved)
        settled |= moved
    for symbol in {symbol for symbol, _ in settled}:
        found = traded(api.pages("/api/trades", "trades", "cursor", 0, symbol=symbol))
        assert found == Counter((symbol, trade_id) for trade_id in range(1, len(found) + 1))
        assert set(found) >= {trade for trade in settled if trade[0] == symbol}


def traded(trades: Iterable[dict[str, Any]]) -> "Counter[tuple[str, int]]":
    return Counter((trade["symbol"], trade["trade_id"]) for trade in trades)


def check_active(api: Api) -> None:
    """The open orders that ubscore knows are those that history calls open."""
    for user in USERS:
        active = {order["order_id"] for order in api.get("/api/orders/active", user, user_id=user)["orders"]}
        history = api.pages("/api/orders/history", "orders", "cursor", user, user_id=user)
        assert active == {order["order_id"] for order in history if order["order_status"] not in CLOSED}
