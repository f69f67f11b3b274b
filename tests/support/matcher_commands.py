"""Short ways to make matcher commands, and a seeded stream of them. Prices and quantities are ticks and lots."""

import random
from typing import Any

from services.domain.messages import CancelRequest, NewOrder
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce

SYMBOLS = ("BTC_USDT", "ETH_USDT")

_PLAIN: dict[str, Any] = {
    "time_ms": 1_700_000_000_000,
    "user_id": 1001,
    "symbol": "BTC_USDT",
    "order_type": OrderType.Limit,
    "time_in_force": TimeInForce.GTC,
    "self_trade_prevention": SelfTradePrevention.ExpireTaker,
    "quote_budget": 0,
    "maker_fee_micros": 1000,
    "taker_fee_micros": 2000,
}


def order(order_id: int, side: Side, price: int, quantity: int, **changes: Any) -> NewOrder:
    """A Limit GTC order of user 1001, unless `changes` says otherwise."""
    fields = {"request_id": order_id + 500, "cid": f"cid-{order_id}", **_PLAIN, **changes}
    return NewOrder(order_id=order_id, side=side, price_ticks=price, quantity_lots=quantity, **fields)


def buy(order_id: int, price: int, quantity: int, **changes: Any) -> NewOrder:
    return order(order_id, Side.Buy, price, quantity, **changes)


def sell(order_id: int, price: int, quantity: int, **changes: Any) -> NewOrder:
    return order(order_id, Side.Sell, price, quantity, **changes)


def cancel(order_id: int, user_id: int = 1001) -> CancelRequest:
    return CancelRequest(order_id + 900, 1_700_000_000_001, order_id, user_id)


def random_commands(seed: int, count: int) -> list[NewOrder | CancelRequest]:
    """A crowded little market: few prices, few users, every order type, many cancels (some of unknown orders)."""
    chance = random.Random(seed)
    commands: list[NewOrder | CancelRequest] = []
    for order_id in range(1, count + 1):
        user_id = chance.randint(1, 4)
        if chance.random() < 0.25:
            commands.append(cancel(chance.randint(1, order_id), user_id))
        else:
            commands.append(_random_order(chance, order_id, user_id))
    return commands


def _random_order(chance: random.Random, order_id: int, user_id: int) -> NewOrder:
    order_type = chance.choice(
        (OrderType.Limit, OrderType.Limit, OrderType.Limit, OrderType.Market, OrderType.LimitMaker)
    )
    quantity, budget = chance.randint(1, 12), 0
    if order_type is OrderType.Market and chance.random() < 0.6:
        budget = chance.randint(1, 1500)
        quantity = chance.choice((0, quantity))
    return order(
        order_id,
        chance.choice(list(Side)),
        chance.randint(95, 105),
        quantity,
        user_id=user_id,
        symbol=chance.choice(SYMBOLS),
        order_type=order_type,
        time_in_force=chance.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)),
        self_trade_prevention=chance.choice(list(SelfTradePrevention)),
        quote_budget=budget,
        maker_fee_micros=chance.choice((0, 1000)),
        time_ms=1_700_000_000_000 + order_id,
    )
