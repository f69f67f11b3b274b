"""How one order meets one book: order types, time in force, self-trade prevention. Called by engine.py.

Updates come in the order in which things happened: the taker's New (or Rejected) first; for each trade the taker's
and then the maker's; a maker that self-trade prevention removes where it stood in line; the taker's Expired last.
A Filled is said with a trade or not at all. The taker's self-trade prevention mode decides, the maker's does not.

A Market order by quote budget is Filled when after a trade the budget does not pay for one more lot at the best
price within its protection price; when liquidity ends before, it is Expired.
"""

from typing import Final

from services.domain.messages import Closed, LevelChange, NewOrder, OrderUpdate, Trade
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject
from services.matcher.book import Book, Level, Order

# Members of enums are looked up once: attribute lookups on an enum class are slow, and this is the hottest code.
_BUY: Final = Side.Buy
_MARKET: Final = OrderType.Market
_LIMIT_MAKER: Final = OrderType.LimitMaker
_GTC: Final = TimeInForce.GTC
_FOK: Final = TimeInForce.FOK
_EXPIRE_TAKER: Final = SelfTradePrevention.ExpireTaker
_EXPIRE_MAKER: Final = SelfTradePrevention.ExpireMaker
_NEW: Final = OrderStatus.New
_PARTIALLY_FILLED: Final = OrderStatus.PartiallyFilled
_FILLED: Final = OrderStatus.Filled
_CANCELLED: Final = OrderStatus.Cancelled
_REJECTED: Final = OrderStatus.Rejected
_EXPIRED: Final = OrderStatus.Expired
_NONE: Final = Reject.NONE
_WOULD_TAKE: Final = Reject.WOULD_TAKE_LIQUIDITY

_UNBOUNDED: Final = 1 << 128
"""More than any quantity (2**63) and any sum of ticks × lots (2**126)."""


class Outcome:
    """What one command did. touched: levels whose quantity it changed, each once."""

    __slots__ = ("closes", "touched", "trades", "updates")

    def __init__(self) -> None:
        self.updates: list[OrderUpdate] = []
        self.trades: list[Trade] = []
        self.closes: list[Closed] = []
        self.touched: list[Level] = []

    def levels(self) -> list[LevelChange]:
        """The touched levels as they are now."""
        return [LevelChange(level.book_side.side, level.price_ticks, level.quantity_lots) for level in self.touched]


class _Fills:
    """What an incoming order has traded so far. ended: it may neither match on nor rest."""

    __slots__ = ("ended", "lots", "status", "tick_lots")

    def __init__(self) -> None:
        self.lots = 0
        self.tick_lots = 0
        self.status = _NEW
        self.ended = False


def place(book: Book, command: NewOrder, outcome: Outcome) -> Order | None:
    """Match an accepted order and rest what may rest; returns it when it rests."""
    if command.order_type is _LIMIT_MAKER:
        if book.crosses(command.side, command.price_ticks):
            _close(command, _REJECTED, _NO_FILLS, outcome, _WOULD_TAKE)
            return None
        outcome.updates.append(_taker_update(command, _NEW, _NO_FILLS))
        return _rest(book, command, _NO_FILLS, outcome)
    outcome.updates.append(_taker_update(command, _NEW, _NO_FILLS))
    if command.time_in_force is _FOK and not _can_fill(book, command):
        _close(command, _EXPIRED, _NO_FILLS, outcome)
        return None
    if not book.crosses(command.side, command.price_ticks):
        fills = _NO_FILLS
    else:
        fills = _take(book, command, outcome)
        if fills.status is _FILLED:
            outcome.closes.append(Closed(command.order_id, command.user_id, _FILLED, _remaining(command, fills)))
            return None
    if fills.ended or command.time_in_force is not _GTC or command.order_type is _MARKET:
        _close(command, _EXPIRED, fills, outcome)
        return None
    return _rest(book, command, fills, outcome)


def cancel(book: Book, order: Order, outcome: Outcome) -> None:
    """Take a resting order out at its owner's wish."""
    outcome.touched.append(book.cancel(order))
    _close_maker(order, _CANCELLED, outcome)


def _take(book: Book, command: NewOrder, outcome: Outcome) -> _Fills:
    """Trade against the other side, best price first, oldest first, until the order, its limit or the book ends."""
    opposite = book.asks if command.side is _BUY else book.bids
    limit_key = opposite.key(command.price_ticks)
    user_id = command.user_id
    remaining = command.quantity_lots or _UNBOUNDED
    budget = command.quote_budget or _UNBOUNDED
    touched = outcome.touched
    fills = _Fills()
    level = opposite.best
    while level is not None and level.key >= limit_key and budget >= level.price_ticks:
        maker = level.head
        assert maker is not None, "an open level has orders"
        if maker.user_id == user_id:
            if not _prevent_self_trade(book, command, maker, outcome):
                fills.ended = True
                break
            level = opposite.best
            continue
        price = level.price_ticks
        lots = maker.remaining_lots
        if lots > remaining:
            lots = remaining
        if budget is not _UNBOUNDED:
            lots = min(lots, budget // price)
            budget -= lots * price
        remaining -= lots
        opposite.fill(maker, lots)
        if not touched or touched[-1] is not level:
            touched.append(level)
        level = opposite.best
        filled = remaining == 0 or budget == 0
        if not filled and budget is not _UNBOUNDED and level is not None:
            filled = level.key >= limit_key and budget < level.price_ticks
        _record_trade(book, command, maker, price, lots, fills, filled, outcome)
        if filled:
            break
    return fills


def _record_trade(
    book: Book, command: NewOrder, maker: Order, price: int, lots: int, fills: _Fills, filled: bool, outcome: Outcome
) -> None:
    """Say a trade: itself, the taker's update, the maker's, and the maker's close when it is done."""
    trade_id = book.last_trade_id + 1
    book.last_trade_id = trade_id
    book.last_price_ticks = price
    terms = maker.terms
    outcome.trades.append(
        Trade(
            trade_id,
            price,
            lots,
            command.side,
            maker.order_id,
            command.order_id,
            maker.user_id,
            command.user_id,
            terms.maker_fee_micros,
            command.taker_fee_micros,
        )
    )
    fills.lots += lots
    fills.tick_lots += lots * price
    fills.status = _FILLED if filled else _PARTIALLY_FILLED
    updates = outcome.updates
    updates.append(_taker_update(command, fills.status, fills, price, lots, trade_id))
    if maker.remaining_lots == 0:
        updates.append(_maker_update(maker, _FILLED, lots, trade_id))
        outcome.closes.append(Closed(maker.order_id, maker.user_id, _FILLED, 0))
    else:
        updates.append(_maker_update(maker, _PARTIALLY_FILLED, lots, trade_id))


def _prevent_self_trade(book: Book, command: NewOrder, maker: Order, outcome: Outcome) -> bool:
    """Deal with a maker of the taker's own user; returns whether the taker goes on."""
    mode = command.self_trade_prevention
    if mode is not _EXPIRE_TAKER:
        level = book.cancel(maker)
        if not outcome.touched or outcome.touched[-1] is not level:
            outcome.touched.append(level)
        _close_maker(maker, _EXPIRED, outcome)
    return mode is _EXPIRE_MAKER


def _can_fill(book: Book, command: NewOrder) -> bool:
    """Whether `_take` would end Filled. Walks the same orders by the same rules, and changes nothing."""
    opposite = book.opposite(command.side)
    limit_key = opposite.key(command.price_ticks)
    remaining = command.quantity_lots or _UNBOUNDED
    budget = command.quote_budget or _UNBOUNDED
    just_traded = False
    for level in opposite.levels():
        if level.key < limit_key:
            return False
        price = level.price_ticks
        for maker in level.orders():
            if budget < price:
                return just_traded
            if maker.user_id == command.user_id:
                if command.self_trade_prevention is not _EXPIRE_MAKER:
                    return False
                just_traded = False
                continue
            lots = min(remaining, maker.remaining_lots, budget // price)
            remaining -= lots
            budget -= lots * price
            if remaining == 0 or budget == 0 or lots < maker.remaining_lots:
                return True
            just_traded = True
    return False


def _rest(book: Book, command: NewOrder, fills: _Fills, outcome: Outcome) -> Order:
    terms = book.shared_terms(
        command.order_type, command.time_in_force, command.maker_fee_micros, command.taker_fee_micros
    )
    quantity = command.quantity_lots
    order = Order(
        command.order_id,
        command.user_id,
        command.cid,
        command.time_ms,
        terms,
        quantity,
        quantity - fills.lots if fills.lots else quantity,  # one int object for both while nothing is filled
        fills.tick_lots,
    )
    outcome.touched.append(book.add(command.side, order, command.price_ticks))
    return order


def _close(command: NewOrder, status: OrderStatus, fills: _Fills, outcome: Outcome, code: Reject = _NONE) -> None:
    """End an incoming order that neither filled nor rests."""
    outcome.updates.append(_taker_update(command, status, fills, code=code))
    outcome.closes.append(Closed(command.order_id, command.user_id, status, _remaining(command, fills), code))


def _close_maker(maker: Order, status: OrderStatus, outcome: Outcome) -> None:
    """End a resting order that was taken out of the book."""
    outcome.updates.append(_maker_update(maker, status))
    outcome.closes.append(Closed(maker.order_id, maker.user_id, status, maker.remaining_lots))


def _remaining(command: NewOrder, fills: _Fills) -> int:
    """What of an incoming order's quantity has not traded; 0 when it has none."""
    return command.quantity_lots - fills.lots if command.quantity_lots else 0


def _taker_update(
    command: NewOrder,
    status: OrderStatus,
    fills: _Fills,
    price: int = 0,
    lots: int = 0,
    trade_id: int = 0,
    code: Reject = _NONE,
) -> OrderUpdate:
    return OrderUpdate(
        command.order_id,
        command.user_id,
        command.cid,
        command.time_ms,
        command.side,
        command.order_type,
        command.time_in_force,
        status,
        command.price_ticks,
        command.quantity_lots,
        fills.lots,
        fills.tick_lots,
        price,
        lots,
        trade_id,
        False,
        code,
    )


def _maker_update(maker: Order, status: OrderStatus, lots: int = 0, trade_id: int = 0) -> OrderUpdate:
    level = maker.level
    terms = maker.terms
    return OrderUpdate(
        maker.order_id,
        maker.user_id,
        maker.cid,
        maker.created_ms,
        level.book_side.side,
        terms.order_type,
        terms.time_in_force,
        status,
        level.price_ticks,
        maker.quantity_lots,
        maker.quantity_lots - maker.remaining_lots,
        maker.filled_tick_lots,
        level.price_ticks if lots else 0,
        lots,
        trade_id,
        lots > 0,
    )


_NO_FILLS: Final = _Fills()
"""Of an order that has not traded; never changed."""
