"""The store's tables as the log's events make them.

On purpose this shares no code with the projections: it is the second opinion. What it keeps is a tuple a row: all of
its columns behind the key, in the order of services.domain.rows.
"""

from collections.abc import Iterable
from typing import Any, Final

from services.domain.messages import (
    BalanceChange,
    MatchBody,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderUpdate,
    TradeSettled,
    TransferCompleted,
)
from services.domain.orders import OrderStatus, Side
from services.domain.topics import account_shard, matcher_source, ubscore_source

Row = tuple[Any, ...]

COUNTED: Final = (
    OrderStatus.New,
    OrderStatus.Filled,
    OrderStatus.Cancelled,
    OrderStatus.Rejected,
    OrderStatus.Expired,
)
"""What order_statistics counts, in the order of its columns. Behind them are updated_ms and sequence."""
NOTHING_COUNTED: Final = (0,) * (len(COUNTED) + 2)

_STATUS: Final = 5
"""Where the status is in an order's row."""


class Tables:
    """What the store must hold, by table and key, as far as each reader says it has got."""

    def __init__(self, account_shards: int) -> None:
        self._account_shards = account_shards
        self.balances: dict[Row, Row] = {}
        self.ledger: dict[Row, Row] = {}
        self.trades: dict[Row, Row] = {}
        self.orders: dict[Row, Row] = {}
        self.updates: dict[Row, Row] = {}
        self.statistics: dict[Row, list[int]] = {}
        self.first_entries: dict[Row, int] = {}
        """(user, asset) -> the seq of the first entry."""
        self.first_trades: dict[Row, int] = {}
        """(account shard, matcher shard) -> the engine sequence of the first trade that settled there."""
        self.first_updates: dict[str, int] = {}
        """source -> the sequence of its first output."""
        self.half_trades: dict[Row, dict[int, dict[str, int]]] = {}
        """(symbol, trade id, matcher shard, engine sequence) -> account shard -> asset -> what the trade brought there,
        of trades that one of two shards has not settled."""

    @property
    def active(self) -> dict[Row, Row]:
        """The orders that are open."""
        return {key: row for key, row in self.orders.items() if OrderStatus(row[_STATUS]).is_open}

    def add_event(self, event: Any, shard: int) -> None:
        """Count one record of balance.events for settlement's tables."""
        if isinstance(event, TradeSettled):
            self._add_trade(event, shard)
        reference = _reference(event)
        for change in changes_of(event):
            key = (change.user_id, change.asset)
            self.first_entries.setdefault(key, change.version)
            self.balances[key] = (change.available, change.reserved, change.version, event.time_ms)
            self.ledger[*key, change.version] = (
                change.kind.name,
                change.available_delta,
                change.reserved_delta,
                change.available,
                change.reserved,
                reference,
                change.event_id,
                event.time_ms,
            )

    def _add_trade(self, event: TradeSettled, shard: int) -> None:
        trade = event.trade
        taker_buys = trade.taker_side == Side.Buy
        taker = (trade.taker_user_id, trade.taker_order_id)
        maker = (trade.maker_user_id, trade.maker_order_id)
        (buyer, buyer_order), (seller, seller_order) = (taker, maker) if taker_buys else (maker, taker)
        self.first_trades.setdefault((shard, event.matcher_shard), event.engine_sequence)
        self.trades[event.symbol, trade.trade_id] = (
            trade.price_ticks,
            trade.quantity_lots,
            event.base_amount,
            event.quote_amount,
            buyer,
            seller,
            buyer_order,
            seller_order,
            event.buyer_fee,
            event.seller_fee,
            not taker_buys,
            event.matcher_shard,
            event.engine_sequence,
            event.time_ms,
        )
        if account_shard(buyer, self._account_shards) != account_shard(seller, self._account_shards):
            self._add_half(event, shard)

    def _add_half(self, event: TradeSettled, shard: int) -> None:
        key = (event.symbol, event.trade.trade_id, event.matcher_shard, event.engine_sequence)
        if key in self.half_trades:
            del self.half_trades[key]
            return
        brought: dict[str, int] = {}
        for change in event.changes:
            brought[change.asset] = brought.get(change.asset, 0) + change.available_delta + change.reserved_delta
        self.half_trades[key] = {shard: brought}

    def add_refusal(self, event: Any, shard: int, sequence: int) -> None:
        """Count one record of balance.events for order_history's tables."""
        source = ubscore_source(shard)
        self.first_updates.setdefault(source, sequence)
        if isinstance(event, OrderRejected):
            order, code, time_ms = (event.user_id, event.order_id), event.code, event.time_ms
            self.orders[order] = _order(event, event.symbol, OrderStatus.Rejected, (0, 0), code, (time_ms, time_ms))
            seen = (*order, event.symbol, OrderStatus.Rejected, 0, 0, 0, 0, False, code, time_ms)
            self.updates[source, sequence, 0] = seen
            self._count(event.user_id, -1 - shard, OrderStatus.Rejected, time_ms, sequence)

    def add_result(self, body: MatchBody, shard: int, sequence: int) -> None:
        """Count one result of a matcher for order_history's tables."""
        source = matcher_source(shard)
        self.first_updates.setdefault(source, sequence)
        for part, update in enumerate(body.updates):
            order, status = (update.user_id, update.order_id), update.status
            filled = (update.filled_lots, update.filled_tick_lots)
            times = (update.created_ms, body.time_ms)
            self.orders[order] = _order(update, body.symbol, status, filled, update.code, times)
            self.updates[source, sequence, part] = (
                *order,
                body.symbol,
                status,
                update.filled_lots,
                update.last_price_ticks,
                update.last_quantity_lots,
                update.trade_id,
                update.is_maker,
                update.code,
                body.time_ms,
            )
            self._count(update.user_id, shard, status, body.time_ms, sequence)

    def _count(self, user_id: int, shard: int, status: OrderStatus, time_ms: int, sequence: int) -> None:
        if status != OrderStatus.PartiallyFilled:
            counts = self.statistics.setdefault((user_id, shard), list(NOTHING_COUNTED))
            counts[COUNTED.index(status)] += 1
            counts[-2:] = time_ms, sequence


def _order(
    order: OrderUpdate | OrderRejected,
    symbol: str,
    status: OrderStatus,
    filled: tuple[int, int],
    code: int,
    times: tuple[int, int],
) -> Row:
    kinds = (order.side, order.order_type, order.time_in_force)
    return (order.cid, symbol, *kinds, status, order.price_ticks, order.quantity_lots, *filled, code, *times)


def _reference(event: Any) -> str:
    """What an event's entries of the ledger say that they are for."""
    if isinstance(event, TransferCompleted):
        return event.transfer_id
    if isinstance(event, OrderAccepted | OrderClosed):
        return f"order:{event.order_id}"
    return f"trade:{event.symbol}:{event.trade.trade_id}" if isinstance(event, TradeSettled) else ""


def changes_of(event: Any) -> Iterable[BalanceChange]:
    """What a record of balance.events changed."""
    if isinstance(event, OrderAccepted | TransferCompleted):
        return (event.change,)
    if isinstance(event, TradeSettled):
        return event.changes
    if isinstance(event, OrderClosed) and event.change is not None:
        return (event.change,)
    return ()
