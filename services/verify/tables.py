"""The store's tables as the log's events make them.

On purpose this shares no code with the projections: it is the second opinion. What it keeps is a tuple a row.
"""

from collections.abc import Iterable
from typing import Any, Final

from services.domain.messages import (
    BalanceChange,
    MatchBody,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
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
"""What order_statistics counts, in the order of its columns."""


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
        return {key: row for key, row in self.orders.items() if OrderStatus(row[0]).is_open}

    def add_event(self, event: Any, shard: int) -> None:
        """Count one record of balance.events for settlement's tables."""
        if isinstance(event, TradeSettled):
            self._add_trade(event, shard)
        for change in changes_of(event):
            key = (change.user_id, change.asset)
            self.first_entries.setdefault(key, change.version)
            self.balances[key] = (change.available, change.reserved, change.version)
            self.ledger[*key, change.version] = (
                change.kind.name,
                change.available_delta,
                change.reserved_delta,
                change.available,
                change.reserved,
                change.event_id,
            )

    def _add_trade(self, event: TradeSettled, shard: int) -> None:
        trade = event.trade
        taker_buys = trade.taker_side == Side.Buy
        taker, maker = trade.taker_user_id, trade.maker_user_id
        buyer, seller = (taker, maker) if taker_buys else (maker, taker)
        self.first_trades.setdefault((shard, event.matcher_shard), event.engine_sequence)
        self.trades[event.symbol, trade.trade_id] = (
            trade.price_ticks,
            trade.quantity_lots,
            event.base_amount,
            event.quote_amount,
            buyer,
            seller,
            event.buyer_fee,
            event.seller_fee,
            event.engine_sequence,
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
            self.orders[event.user_id, event.order_id] = (OrderStatus.Rejected, 0, 0)
            self.updates[source, sequence, 0] = (event.user_id, event.order_id, OrderStatus.Rejected, 0, 0)
            self._count(event.user_id, -1 - shard, OrderStatus.Rejected, sequence)

    def add_result(self, body: MatchBody, shard: int, sequence: int) -> None:
        """Count one result of a matcher for order_history's tables."""
        source = matcher_source(shard)
        self.first_updates.setdefault(source, sequence)
        for part, update in enumerate(body.updates):
            state = (update.status, update.filled_lots, update.filled_tick_lots)
            self.orders[update.user_id, update.order_id] = state
            seen = (update.user_id, update.order_id, update.status, update.filled_lots, update.trade_id)
            self.updates[source, sequence, part] = seen
            self._count(update.user_id, shard, update.status, sequence)

    def _count(self, user_id: int, shard: int, status: OrderStatus, sequence: int) -> None:
        if status != OrderStatus.PartiallyFilled:
            counts = self.statistics.setdefault((user_id, shard), [0] * (len(COUNTED) + 1))
            counts[COUNTED.index(status)] += 1
            counts[-1] = sequence


def changes_of(event: Any) -> Iterable[BalanceChange]:
    """What a record of balance.events changed."""
    if isinstance(event, OrderAccepted | TransferCompleted):
        return (event.change,)
    if isinstance(event, TradeSettled):
        return event.changes
    if isinstance(event, OrderClosed) and event.change is not None:
        return (event.change,)
    return ()
