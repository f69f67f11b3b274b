"""People who trade, so that there is something to look at."""

import random
import time
from typing import Final

from tests.support.live_exchange import LiveExchange

SECONDS: Final = 24
PAUSE_S: Final = 0.06


def trade_a_while(live: LiveExchange) -> None:
    """A book of both sides around 64,000, and trades of a price that wanders, for SECONDS."""
    maker = live.new_user(BTC="500", USDT="50000000")
    taker = live.new_user(BTC="500", USDT="50000000")
    dice = random.Random(7)
    middle = 64_000.0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        middle += dice.gauss(0, 9)
        side, other = dice.choice([("Buy", "Sell"), ("Sell", "Buy")])
        away = 2 if side == "Buy" else -2
        price, quantity = f"{middle + away:.2f}", f"{dice.uniform(0.01, 0.9):.5f}"
        maker.order(other, price, quantity)
        taker.order(side, price, quantity, time_in_force="IOC")
        time.sleep(PAUSE_S)
    maker.post("/api/orders/cancel_all", {})
    for level in range(1, 40):
        for side, direction in (("Buy", -1), ("Sell", 1)):
            price = middle + direction * (3 + level * dice.uniform(1.5, 2.5))
            maker.order(side, f"{price:.2f}", f"{dice.expovariate(1 / 0.6) + 0.02:.5f}")
    eth = {"symbol": "ETH_USDT"}
    maker.post("/api/admin/users", {"user_id": maker.user_id}, live.admin)
    taker.transfer("in", "ETH", "100", f"eth-{taker.user_id}")
    taker.order("Sell", "3120.50", "4", **eth)
    maker.order("Buy", "3120.50", "1.5", **eth)
