"""After the story: does everything that can be asked say the same, and does it add up?"""

from collections import Counter, defaultdict
from decimal import Decimal
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table

from services.demo.books import OPEN, plain
from services.demo.chapters import BTC
from services.demo.client import USERS, Api, StoryError, wait_for
from services.demo.scene import Scene, expect

Statistics = dict[int, dict[str, int]]
COUNTED: Final = ("Filled", "Cancelled", "Rejected", "Expired")


def statistics_now(api: Api) -> Statistics:
    """Each user's totals by status."""
    return {user: api.get("/api/orders/statistics", user, user_id=user) for user in USERS}


def orders(scene: Scene, since_ms: int, before: Statistics, middle: Decimal) -> None:
    """Active orders, one order, history and statistics."""
    scene.chapter("Questions: orders")
    api, statuses = scene.api, scene.books.statuses
    rests = scene.place(1001, "Buy", BTC, "New", "0", price=plain(middle - 500), quantity="0.1")
    active = api.get("/api/orders/active", 1001, user_id=1001)["orders"]
    expect([order["order_id"] for order in active] == [rests["order_id"]], f"1001's active orders are {active}")
    one = api.get(f"/api/orders/{rests['order_id']}", 1001, user_id=1001)
    expect(one == {key: value for key, value in rests.items() if key != "fills"}, f"order {rests} is shown as {one}")
    scene.cancel(1001, order_id=rests["order_id"])
    table = Table("user", "orders", "new", *(status.lower() for status in COUNTED))
    for user in USERS:
        mine = {order_id: status for order_id, (owner, status) in statuses.items() if owner == user}
        wait_for(f"history of {user}", partial(_history, api, user, since_ms), partial(eq, mine))
        counts = Counter(mine.values())
        counts["New"] = len(mine) - counts["Rejected"]
        expect(not any(counts[status] for status in OPEN[1:]), f"{user} has orders that are neither open nor closed")
        words = ("New", *COUNTED)
        expected = {word.lower(): before[user][word.lower()] + counts[word] for word in words}
        wait_for(
            f"statistics of {user}",
            partial(_statistics_of, api, user, tuple(expected)),
            partial(eq, expected),
        )
        table.add_row(str(user), str(len(mine)), *(str(counts[word]) for word in words))
    scene.console.print(table)
    scene.say("  [green]✓[/] history and statistics hold exactly these orders, each with its status")


def _statistics_of(api: Api, user: int, words: tuple[str, ...]) -> dict[str, int]:
    totals = api.get("/api/orders/statistics", user, user_id=user)
    return {word: totals[word] for word in words}


def _history(api: Api, user: int, since_ms: int) -> dict[int, str]:
    rows = api.pages("/api/orders/history", "orders", "cursor", user, user_id=user, **{"from": since_ms})
    return {order["order_id"]: order["order_status"] for order in rows}


def trades(scene: Scene, since_ms: int) -> int:
    """Every trade is settled, with its price, quantity and fees. Returns how many there were."""
    scene.chapter("Questions: trades")
    for user in USERS:
        expected = _expected_trades(scene, user)
        wait_for(
            f"trades of {user}",
            partial(_settled_trades, scene.api, user, since_ms),
            partial(eq, expected),
        )
    fills = scene.books.fills
    table = Table("trade", "symbol", "price", "quantity", "buyer", "its fee", "seller", "its fee")
    for fill in fills[-5:]:
        table.add_row(
            str(fill.trade_id),
            fill.symbol,
            plain(fill.price),
            plain(fill.quantity),
            str(fill.buyer),
            plain(fill.buyer_fee),
            str(fill.seller),
            plain(fill.seller_fee),
        )
    scene.console.print(table)
    scene.say(f"  [green]✓[/] {len(fills)} trades are settled, each with the right price, quantity and fees")
    return len(fills)


def _expected_trades(scene: Scene, user: int) -> dict[tuple[str, int], tuple[Any, ...]]:
    found: dict[tuple[str, int], tuple[Any, ...]] = {}
    for fill in scene.books.fills:
        if user in (fill.buyer, fill.seller):
            bought = fill.buyer == user
            side, fee = ("Buy", fill.buyer_fee) if bought else ("Sell", fill.seller_fee)
            maker = fill.buyer_is_maker if bought else not fill.buyer_is_maker
            found[fill.symbol, fill.trade_id] = (fill.price, fill.quantity, side, maker, fee)
    return found


def _settled_trades(api: Api, user: int, since_ms: int) -> dict[tuple[str, int], tuple[Any, ...]]:
    found: dict[tuple[str, int], tuple[Any, ...]] = {}
    for trade in api.pages("/api/trades", "trades", "cursor", user, user_id=user):
        if trade["time_ms"] < since_ms:
            break
        fee, price, quantity = (Decimal(trade[name]) for name in ("fee", "price", "quantity"))
        found[trade["symbol"], trade["trade_id"]] = (price, quantity, trade["side"], trade["is_maker"], fee)
    return found


def ledgers(scene: Scene) -> None:
    """Every ledger adds up to its balance, entry by entry, from the very first one on."""
    scene.chapter("Every ledger adds up to its balance")
    table = Table("user", "asset", "entries", "by kind", "available", "reserved")
    for user in USERS:
        balances = {one["asset"]: one for one in scene.api.get("/api/balances", user, user_id=user)["balances"]}
        entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for asset, balance in balances.items():
            entries[asset] = wait_for(
                f"ledger of {user} in {asset}",
                partial(_ledger, scene.api, user, asset),
                partial(_reaches, balance["version"]),
            )
            _check_ledger(entries[asset], balance)
            kinds = Counter(entry["kind"] for entry in entries[asset])
            words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            table.add_row(str(user), asset, str(balance["version"]), words, balance["available"], balance["reserved"])
    scene.console.print(table)


def _ledger(api: Api, user: int, asset: str) -> list[dict[str, Any]]:
    """Oldest first."""
    return list(api.pages("/api/ledger", "entries", "before", user, user_id=user, asset=asset))[::-1]


def _reaches(version: int, entries: list[dict[str, Any]]) -> bool:
    return len(entries) == version


def _check_ledger(entries: list[dict[str, Any]], balance: dict[str, Any]) -> None:
    available = reserved = Decimal(0)
    for number, entry in enumerate(entries, start=1):
        available += Decimal(entry["available_delta"])
        reserved += Decimal(entry["reserved_delta"])
        stated = (entry["seq"], Decimal(entry["available"]), Decimal(entry["reserved"]))
        expect(stated == (number, available, reserved), f"ledger entry {entry} does not continue the one before")
    ends = (Decimal(balance["available"]), Decimal(balance["reserved"]))
    expect(ends == (available, reserved), f"the ledger ends at {available} and {reserved}, the balance is {balance}")


def sums(scene: Scene, before: dict[str, Decimal]) -> None:
    """Per asset: what all users own has grown by deposits less withdrawals less fees, to the smallest unit."""
    scene.chapter("Everything adds up, to the smallest unit")
    table = Table("asset", "before", "+ moved in", "- fees", "= now", "difference")
    now = owned(scene.api)
    for asset in sorted(now):
        moved, fees = scene.books.moved[asset], scene.books.fees[asset]
        difference = now[asset] - (before.get(asset, Decimal(0)) + moved - fees)
        row = (before.get(asset, Decimal(0)), moved, fees, now[asset])
        colour = "green" if difference == 0 else "red"
        table.add_row(asset, *(plain(number) for number in row), f"[{colour}]{plain(difference)}[/]")
        expect(difference == 0, f"{asset}: {difference} appeared from nowhere")
    scene.console.print(table)


def owned(api: Api) -> dict[str, Decimal]:
    """Per asset, what the three users own, available and reserved."""
    total: dict[str, Decimal] = defaultdict(Decimal)
    for user in USERS:
        for balance in api.get("/api/balances", user, user_id=user)["balances"]:
            total[balance["asset"]] += Decimal(balance["available"]) + Decimal(balance["reserved"])
    return dict(total)


def follow(scene: Scene, event_id: str, log_dir: Path) -> list[dict[str, Any]]:
    """One deposit through the JSON logs of all services that it passed. Returns its lines."""
    scene.chapter(f"Following {event_id} through the logs")
    if not log_dir.is_dir():
        raise StoryError(f"{log_dir} is no folder: name the exchange's LOG_DIR with --log-dir")
    services = ("gateway", "settlement", "ubscore")
    lines = wait_for(
        f"{event_id} in {log_dir}",
        lambda: _lines_about(event_id, log_dir),
        lambda found: {line["service"] for line in found} >= set(services),
    )
    for line in lines:
        scene.say(f"  [dim]{line['timestamp']}[/] [cyan]{line['service']:<11}[/] {line['event']}")
    return lines


def _lines_about(event_id: str, log_dir: Path) -> list[dict[str, Any]]:
    found = []
    needle = f'"{event_id}"'.encode()
    for path in sorted(log_dir.glob("*.log.*")):
        with path.open("rb") as file:
            found += [msgspec.json.decode(line) for line in file if needle in line and line.endswith(b"\n")]
    return sorted(found, key=lambda line: line["timestamp"])
