"""The story, from the first deposit to the last sum."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from services.demo import chapters, review
from services.demo.books import Books
from services.demo.client import USERS, Api, wait_for
from services.demo.scene import ADMIN, Scene, expect

MIDDLES = {chapters.BTC: Decimal(50_000), chapters.ETH: Decimal(3_000)}
"""Where prices begin."""
AT_LEAST_TRADES = 136

_DEPOSIT = re.compile(r"deposit_1001_BTC_([0-9]+)")


class Ending(NamedTuple):
    """What the story came to. log_lines: those about its first deposit."""

    run: int
    trades: int
    books: Books
    deposit_events: list[str]
    log_lines: list[dict[str, Any]]


def tell(url: str, data_dir: Path, log_dir: Path, console: Console) -> Ending:
    """Play the story. Raises StoryError at the first thing that is not exactly as it must be.

    It may be played again on the same exchange: with new ids, from the balances that it finds.
    """
    api = Api(url, data_dir)
    try:
        scene = _begin(api, console)
        owned, statistics = review.owned(api), review.statistics_now(api)
        btc, eth = (_middle(api, symbol) for symbol in MIDDLES)
        events = chapters.deposits(scene)
        since_ms = _time_of(api, events[0])
        chapters.first_book(scene, btc)
        chapters.order_types(scene, btc)
        chapters.busy_market(scene, eth)
        chapters.cancels(scene, eth)
        chapters.withdrawal_and_refusals(scene, btc)
        review.orders(scene, since_ms, statistics, btc)
        trades = review.trades(scene, since_ms)
        expect(trades >= AT_LEAST_TRADES, f"there were only {trades} trades")
        review.ledgers(scene)
        review.sums(scene, owned)
        lines = review.follow(scene, events[0], log_dir)
        console.print(f"\n[bold green]The story is told: {trades} trades, and everything adds up.[/]")
        return Ending(scene.run, trades, scene.books, events, lines)
    finally:
        api.close()


def _begin(api: Api, console: Console) -> Scene:
    """Clear the users' open orders, and find out which run this is."""
    console.print(f"The exchange at [cyan]{api.url}[/] is {api.get('/health/ready')['status']}.")
    for user in USERS:
        left = api.post("/api/orders/cancel_all", {}, user, user_id=user)["orders"]
        if left:
            console.print(f"  {user} had {len(left)} open orders; the story begins with none, so they are cancelled")
    deposits = api.pages("/api/ledger", "entries", "before", ADMIN, user_id=1001, asset="BTC")
    runs = [int(match[1]) for entry in deposits if (match := _DEPOSIT.fullmatch(entry["reference"]))]
    return Scene(api, console, max(runs, default=0) + 1)


def _middle(api: Api, symbol: str) -> Decimal:
    """Where prices begin: as always, unless the market has moved so far that its band might refuse them."""
    usual = MIDDLES[symbol]
    last = Decimal(api.get("/api/depth", symbol=symbol)["last_price"])
    return usual if last == 0 or abs(last - usual) < usual / 5 else last.quantize(Decimal(1))


def _time_of(api: Api, event_id: str) -> int:
    """When the story's first command was stamped, by the exchange's own clock."""

    def find() -> list[int]:
        entries = api.get("/api/ledger", ADMIN, user_id=1001, asset="BTC", limit=10)["entries"]
        return [entry["time_ms"] for entry in entries if entry["event_id"] == event_id]

    return wait_for(f"ledger entry {event_id}", find, bool)[0]
