"""An auditor: works out every balance from the commands and the fills that were answered, and from nothing else.

It shares no code with the exchange and counts in Decimal: the second opinion of the story.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

from services.demo.client import StoryError

OPEN = ("New", "PartiallyFilled")


@dataclass
class Instrument:
    """A symbol. fee: the share of what is received, taker's and maker's alike."""

    name: str
    base: str
    quote: str
    fee: Decimal


@dataclass
class Resting:
    """An order on the book. remaining: base; price: what a Buy reserves for each of them."""

    order_id: int
    user: int
    symbol: str
    side: str
    price: Decimal
    remaining: Decimal


@dataclass
class Fill:
    """One trade, as the auditor has it."""

    symbol: str
    trade_id: int
    price: Decimal
    quantity: Decimal
    buyer: int
    seller: int
    buyer_fee: Decimal
    seller_fee: Decimal
    buyer_is_maker: bool


@dataclass
class Balance:
    available: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)


@dataclass
class Books:
    """What everybody must own. moved: deposits less withdrawals; fees: both per asset, since the story began.

    statuses: order id -> (user, the status it must have by now).
    """

    scales: dict[str, int]
    instruments: dict[str, Instrument]
    balances: dict[tuple[int, str], Balance] = field(default_factory=lambda: defaultdict(Balance))
    moved: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    fees: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    fills: list[Fill] = field(default_factory=list)
    resting: dict[int, Resting] = field(default_factory=dict)
    statuses: dict[int, tuple[int, str]] = field(default_factory=dict)

    def move(self, user: int, asset: str, amount: Decimal) -> None:
        """A deposit, or (negative) a withdrawal."""
        self.balances[user, asset].available += amount
        self.moved[asset] += amount

    def place(self, user: int, order: dict[str, Any], answer: dict[str, Any]) -> None:
        """An order that was accepted, with its fills: who was met follows from price and time."""
        symbol = self.instruments[order["symbol"]]
        for fill in answer["fills"]:
            self._match(symbol, user, order["side"], fill)
        self.statuses[answer["order_id"]] = (user, answer["order_status"])
        if answer["order_status"] in OPEN:
            price, quantity = Decimal(order["price"]), Decimal(order["quantity"])
            remaining = quantity - Decimal(answer["filled_quantity"])
            rest = Resting(answer["order_id"], user, symbol.name, order["side"], price, remaining)
            self.resting[rest.order_id] = rest
            self._reserve(rest, remaining)

    def cancel(self, order_id: int) -> Decimal:
        """Take an order from the book; returns how much of what it reserved is free again."""
        rest = self.resting.pop(order_id)
        self.statuses[order_id] = (rest.user, "Cancelled")
        return self._reserve(rest, -rest.remaining)

    def open_orders(self, user: int) -> list[int]:
        return [rest.order_id for rest in self.resting.values() if rest.user == user]

    def depth(self, symbol: str, side: str) -> list[list[str]]:
        """The price levels of a side, best first, as the API shows them."""
        levels: dict[Decimal, Decimal] = defaultdict(Decimal)
        for rest in self.resting.values():
            if (rest.symbol, rest.side) == (symbol, side):
                levels[rest.price] += rest.remaining
        return [[plain(price), plain(levels[price])] for price in sorted(levels, reverse=side == "Buy")]

    def _match(self, symbol: Instrument, taker: int, side: str, fill: dict[str, Any]) -> None:
        price, quantity = Decimal(fill["price"]), Decimal(fill["quantity"])
        maker = self._next_maker(symbol.name, side, price, quantity)
        maker.remaining -= quantity
        self.statuses[maker.order_id] = (maker.user, "PartiallyFilled" if maker.remaining else "Filled")
        if maker.remaining == 0:
            del self.resting[maker.order_id]
        self._reserve(maker, -quantity)
        buyer, seller = (taker, maker.user) if side == "Buy" else (maker.user, taker)
        notional = price * quantity
        base_fee = self._fee(quantity, symbol.fee, symbol.base)
        quote_fee = self._fee(notional, symbol.fee, symbol.quote)
        self._credit(buyer, symbol.base, quantity, base_fee)
        self._credit(seller, symbol.quote, notional, quote_fee)
        self.balances[buyer, symbol.quote].available -= notional
        self.balances[seller, symbol.base].available -= quantity
        trade = Fill(symbol.name, fill["trade_id"], price, quantity, buyer, seller, base_fee, quote_fee, side == "Sell")
        self.fills.append(trade)
        taker_fee = base_fee if side == "Buy" else quote_fee
        if Decimal(fill["fee"]) != taker_fee:
            raise StoryError(f"trade {trade.trade_id}: the taker's fee is {fill['fee']}, and should be {taker_fee}")

    def _next_maker(self, symbol: str, taker_side: str, price: Decimal, quantity: Decimal) -> Resting:
        """The order that price-time priority says is next. `resting` keeps the order of arrival."""
        side = "Sell" if taker_side == "Buy" else "Buy"
        orders = [rest for rest in self.resting.values() if (rest.symbol, rest.side) == (symbol, side)]
        best = (min if side == "Sell" else max)(orders, key=lambda rest: rest.price, default=None)
        if best is None or best.price != price or best.remaining < quantity:
            raise StoryError(f"{symbol}: a trade of {quantity} at {price} is not what price-time priority gives")
        return best

    def _reserve(self, rest: Resting, quantity: Decimal) -> Decimal:
        """Set aside what `quantity` more of an order needs, or (negative) free it; returns the amount that is freed."""
        symbol = self.instruments[rest.symbol]
        asset, amount = (symbol.quote, rest.price * quantity) if rest.side == "Buy" else (symbol.base, quantity)
        balance = self.balances[rest.user, asset]
        balance.available -= amount
        balance.reserved += amount
        return -amount

    def _credit(self, user: int, asset: str, amount: Decimal, fee: Decimal) -> None:
        self.balances[user, asset].available += amount - fee
        self.fees[asset] += fee

    def _fee(self, amount: Decimal, rate: Decimal, asset: str) -> Decimal:
        """Rounded up to the asset's smallest unit."""
        return (amount * rate).quantize(Decimal(1).scaleb(-self.scales[asset]), ROUND_CEILING)


def plain(number: Decimal) -> str:
    """As the API writes a number: no exponent, no zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
