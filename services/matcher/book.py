"""The price-time book of one symbol: who is first in line, and nothing else. Called by matching.py.

A price level is a doubly linked queue through the orders themselves, so that an order leaves it in constant time
wherever it stands. The prices of a side are a sorted list of keys with the best at its end (asks are stored
negated), so that levels near the touch come and go without moving the rest of the list, and one comparison
(`key >= limit key`) serves both sides.

A resting order must cost little memory: what many orders have in common is shared (`Terms`), side and price are
the level's.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from services.domain.errors import InvariantError
from services.domain.orders import OrderType, Side, TimeInForce

_BUY: Final = Side.Buy
_SELL: Final = Side.Sell


class Terms(NamedTuple):
    """What many resting orders have in common; each distinct one is kept once a book. Fee rates in micros."""

    order_type: OrderType
    time_in_force: TimeInForce
    maker_fee_micros: int
    taker_fee_micros: int


class Order:
    """A resting order: an entry of its level's queue.

    filled_tick_lots: Σ price × quantity of its trades so far. After it left the book, `level` is where it was.
    """

    __slots__ = (
        "cid",
        "created_ms",
        "filled_tick_lots",
        "level",
        "next",
        "order_id",
        "previous",
        "quantity_lots",
        "remaining_lots",
        "terms",
        "user_id",
    )

    level: "Level"

    def __init__(
        self,
        order_id: int,
        user_id: int,
        cid: str,
        created_ms: int,
        terms: Terms,
        quantity_lots: int,
        remaining_lots: int,
        filled_tick_lots: int,
    ) -> None:
        self.order_id = order_id
        self.user_id = user_id
        self.cid = cid
        self.created_ms = created_ms
        self.terms = terms
        self.quantity_lots = quantity_lots
        self.remaining_lots = remaining_lots
        self.filled_tick_lots = filled_tick_lots
        self.previous: Order | None = None
        self.next: Order | None = None


class Level:
    """All orders at one price, oldest first. quantity_lots: the sum of what remains of them; 0 once it is gone."""

    __slots__ = ("book_side", "head", "key", "price_ticks", "quantity_lots", "tail")

    def __init__(self, book_side: "BookSide", price_ticks: int, key: int) -> None:
        self.book_side = book_side
        self.price_ticks = price_ticks
        self.key = key
        self.quantity_lots = 0
        self.head: Order | None = None
        self.tail: Order | None = None

    def orders(self) -> Iterator[Order]:
        """Its orders, in the order in which they match."""
        order = self.head
        while order is not None:
            yield order
            order = order.next


class BookSide:
    """The bids or the asks of a book.

    key: the price, negated for asks, so that a better price always has the higher key. best: the level that matches
    first; None when the side is empty.
    """

    __slots__ = ("_keys", "_levels", "best", "book", "side")

    def __init__(self, book: "Book", side: Side) -> None:
        self.book = book
        self.side = side
        self.best: Level | None = None
        self._keys: list[int] = []
        self._levels: dict[int, Level] = {}

    @property
    def price_count(self) -> int:
        """How many prices have orders."""
        return len(self._keys)

    def key(self, price_ticks: int) -> int:
        """The sort key of a price on this side."""
        return price_ticks if self.side is _BUY else -price_ticks

    def add(self, order: Order, price_ticks: int) -> Level:
        """Put an order at the end of the queue at its price; returns its level."""
        key = price_ticks if self.side is _BUY else -price_ticks
        level = self._levels.get(key)
        if level is None:
            level = self._open_level(price_ticks, key)
        tail = level.tail
        if tail is None:
            level.head = order
        else:
            tail.next = order
            order.previous = tail
        level.tail = order
        level.quantity_lots += order.remaining_lots
        order.level = level
        return level

    def remove(self, order: Order) -> None:
        """Take an order out of its queue, wherever it stands, and its level with it when that is empty."""
        level = order.level
        before, after = order.previous, order.next
        if before is None:
            level.head = after
        else:
            before.next = after
        if after is None:
            level.tail = before
        else:
            after.previous = before
        order.previous = order.next = None
        level.quantity_lots -= order.remaining_lots
        if level.head is None:
            self._close_level(level)

    def fill(self, order: Order, lots: int) -> None:
        """Trade `lots` (at most what remains) of an order at its own price; it leaves when nothing remains."""
        level = order.level
        left = order.remaining_lots - lots
        order.remaining_lots = left
        order.filled_tick_lots += lots * level.price_ticks
        level.quantity_lots -= lots
        if left == 0:
            self.remove(order)
        elif left < 0:
            raise InvariantError(f"{self.book.symbol}: order {order.order_id} traded {-left} lots more than it had")

    def _open_level(self, price_ticks: int, key: int) -> Level:
        level = Level(self, price_ticks, key)
        self._levels[key] = level
        best = self.best
        if best is None or key > best.key:
            self._keys.append(key)
            self.best = level
        else:
            insort(self._keys, key)
        return level

    def _close_level(self, level: Level) -> None:
        if level.quantity_lots != 0:
            raise InvariantError(f"{self.book.symbol}: level {level.price_ticks} is empty but holds a quantity")
        keys = self._keys
        del self._levels[level.key]
        if level is self.best:
            keys.pop()
            self.best = self._levels[keys[-1]] if keys else None
        else:
            del keys[bisect_left(keys, level.key)]

    def levels(self) -> Iterator[Level]:
        """Its levels, best first."""
        levels = self._levels
        for key in reversed(self._keys):
            yield levels[key]

    def depth(self, limit: int) -> list[tuple[int, int]]:
        """The best `limit` levels, best first, as (price_ticks, quantity_lots)."""
        levels = self._levels
        best = self._keys[: -limit - 1 : -1] if limit > 0 else []
        return [(level.price_ticks, level.quantity_lots) for level in map(levels.__getitem__, best)]

    def check(self) -> None:
        """Raises InvariantError unless keys, levels and queues all tell the same story."""
        keys, levels = self._keys, self._levels
        where = f"{self.book.symbol} {self.side.name}"
        _require(keys == sorted(levels), f"{where}: price list and levels differ")
        _require(self.best is (levels[keys[-1]] if keys else None), f"{where}: wrong best level")
        for level in self.levels():
            at = f"{where} {level.price_ticks}"
            orders = list(level.orders())
            _require(bool(orders), f"{at}: empty level")
            _require(level.key == self.key(level.price_ticks) and level.book_side is self, f"{at}: wrong key or side")
            _require(level.quantity_lots == sum(order.remaining_lots for order in orders), f"{at}: wrong quantity")
            _require(orders[0].previous is None and level.tail is orders[-1], f"{at}: broken ends")
            for before, after in pairwise(orders):
                _require(after.previous is before, f"{at}: broken queue at order {after.order_id}")
            for order in orders:
                _require(0 < order.remaining_lots <= order.quantity_lots, f"{at}: remainder of {order.order_id}")
                _require(order.level is level, f"{at}: order {order.order_id} is elsewhere")


class Book:
    """Bids and asks of one symbol, and what its trades left behind.

    last_trade_id, last_price_ticks: of the newest trade; 0 when there was none.
    """

    __slots__ = ("_terms", "asks", "bids", "last_price_ticks", "last_trade_id", "symbol")

    def __init__(self, symbol: str, last_trade_id: int = 0, last_price_ticks: int = 0) -> None:
        self.symbol = symbol
        self.last_trade_id = last_trade_id
        self.last_price_ticks = last_price_ticks
        self.bids = BookSide(self, _BUY)
        self.asks = BookSide(self, _SELL)
        # Not state: only saves memory. It grows with the fee rates that the symbol ever had.
        self._terms: dict[Terms, Terms] = {}

    def side(self, side: Side) -> BookSide:
        """Where orders of this side rest."""
        return self.bids if side is _BUY else self.asks

    def opposite(self, side: Side) -> BookSide:
        """What orders of this side match against."""
        return self.asks if side is _BUY else self.bids

    def crosses(self, side: Side, price_ticks: int) -> bool:
        """Whether an order at this price would match something at once."""
        opposite = self.asks if side is _BUY else self.bids
        best = opposite.best
        return best is not None and best.key >= opposite.key(price_ticks)

    def shared_terms(
        self, order_type: OrderType, time_in_force: TimeInForce, maker_fee_micros: int, taker_fee_micros: int
    ) -> Terms:
        """The one copy of these terms."""
        terms = Terms(order_type, time_in_force, maker_fee_micros, taker_fee_micros)
        return self._terms.setdefault(terms, terms)

    def add(self, side: Side, order: Order, price_ticks: int) -> Level:
        """Rest an order; returns its level. Raises InvariantError when that crosses the book."""
        level = (self.bids if side is _BUY else self.asks).add(order, price_ticks)
        bid, ask = self.bids.best, self.asks.best
        if bid is not None and ask is not None and bid.price_ticks >= ask.price_ticks:
            raise InvariantError(f"{self.symbol}: crossed at {bid.price_ticks}/{ask.price_ticks} by {order.order_id}")
        return level

    def cancel(self, order: Order) -> Level:
        """Take a resting order out; returns the level where it was."""
        level = order.level
        level.book_side.remove(order)
        return level

    def check(self) -> None:
        """Raises InvariantError unless the book is sound and not crossed. Walks every order: for tests and restores."""
        self.bids.check()
        self.asks.check()
        bid, ask = self.bids.best, self.asks.best
        _require(bid is None or ask is None or bid.price_ticks < ask.price_ticks, f"{self.symbol}: crossed")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvariantError(message)
