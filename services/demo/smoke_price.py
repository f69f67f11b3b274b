"""At which price, and how much, two orders meet each other and nobody else's. Pure."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, NamedTuple

from services.demo.books import plain
from services.demo.client import StoryError


class Quote(NamedTuple):
    """A price and a quantity that the symbol takes."""

    price: Decimal
    quantity: Decimal

    @property
    def notional(self) -> Decimal:
        return self.price * self.quantity


class Top(NamedTuple):
    """A book's best prices, and the last trade's; 0: there is none."""

    bid: Decimal
    ask: Decimal
    last: Decimal

    def holds(self, price: Decimal) -> bool:
        """Whether an order at this price meets none that rests, on either side."""
        return price > self.bid and (self.ask == 0 or price < self.ask)


def top_of(depth: dict[str, Any]) -> Top:
    """From an answer of GET /api/depth."""
    bid, ask = (Decimal(depth[side][0][0]) if depth[side] else Decimal(0) for side in ("bids", "asks"))
    return Top(bid, ask, Decimal(depth["last_price"]))


def quote_for(symbol: dict[str, Any], top: Top, wished: Decimal | None) -> Quote:
    """The smallest quantity that is allowed, at a price strictly between the best bid and the best ask.

    symbol: of GET /api/symbols. wished: a price that somebody named. Else the last trade's where it is between them,
    because that moves nothing; else the middle. Raises StoryError when there is no such price: a price is never made
    up, for the first trade's is what the symbol's band is held against afterwards.
    """
    price = _checked(symbol["name"], top, wished) if wished is not None else _chosen(symbol, top)
    lot, least = Decimal(symbol["lot_size"]), Decimal(symbol["min_notional"])
    lots = max(Decimal(1), (least / (price * lot)).to_integral_value(ROUND_CEILING))
    return Quote(price, lots * lot)


def _checked(name: str, top: Top, wished: Decimal) -> Decimal:
    if wished <= 0:
        raise StoryError(f"the price {plain(wished)} must be above 0")
    if not top.holds(wished):
        raise StoryError(f"at {plain(wished)} it would meet orders of others: {_spread(name, top)}")
    return wished


def _chosen(symbol: dict[str, Any], top: Top) -> Decimal:
    name, tick = symbol["name"], Decimal(symbol["tick_size"])
    if not (top.bid or top.ask or top.last):
        raise StoryError(f"{name} has had no trade and has no orders, so nothing says what it is worth: name a --price")
    middle = ((top.bid + top.ask) / 2 / tick).to_integral_value(ROUND_FLOOR) * tick
    beside = top.bid + tick if top.bid else top.ask - tick
    for price in (top.last, middle if top.bid and top.ask else beside):
        if price > 0 and top.holds(price):
            return price
    raise StoryError(f"there is no price at which its orders meet nobody else's: {_spread(name, top)}")


def _spread(name: str, top: Top) -> str:
    sides = (("bid", top.bid), ("ask", top.ask))
    best = [f"the best {side} is {plain(price)}" for side, price in sides if price]
    return f"in {name} {' and '.join(best)}"
