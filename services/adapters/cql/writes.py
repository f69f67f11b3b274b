"""A projection's batch as single writes, in phases: pure, so that the simulation can die between any two of them.

A CQL database has no transaction over many partitions, so exactly-once does not rest on one. A phase starts when the
one before is acknowledged, and the last is the position. Whatever prefix of the writes took effect, the next start
folds the same events again, perhaps in other batches, and writes the same rows again: every write is absolute, and
carries a timestamp from its event, so that of two writes of a row the one of the later event wins, whenever it arrives.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from services.adapters.cql.tables import (
    DAY_MS,
    LEDGER_BUCKET_SHIFT,
    ORDER_BUCKET_SHIFT,
    TRADE_BUCKET_SHIFT,
    UPDATE_BUCKET_SHIFT,
    month_of,
)
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.orders import OrderStatus
from services.domain.rejects import Reject
from services.domain.rows import (
    ApiKeyRow,
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    ProgressRow,
    SettledTradeRow,
    StatisticsRow,
)

MICROSECONDS: Final = 1_000
"""In a millisecond: timestamps of the database are microseconds."""

_OPENING: Final = frozenset({OrderStatus.New, OrderStatus.Rejected})
"""What an order's first update says."""


class Write(NamedTuple):
    """A row put or deleted. Of two writes to one row the higher timestamp wins; of equal ones the deletion."""

    table: str
    key: tuple[Any, ...]
    """The columns of the primary key, those of the partition first (see tables.py)."""
    values: tuple[Any, ...] | None
    """The other columns; None deletes the row."""
    timestamp: int


def settlement_phases(batch: SettlementBatch) -> list[list[Write]]:
    """Ledger and trades, then balances, then the position.

    Settlement drops what is at or below a stored balance's version, so an entry of the ledger must be there before the
    balance that it led to. Writes of one event stand together.
    """
    balances = [_balance(row) for row in batch.balances]
    return [phase for phase in (_entries(batch), balances, [_progress(batch.progress)]) if phase]


def history_phases(batch: HistoryBatch) -> list[list[Write]]:
    """Orders, updates and totals, then the position.

    An order is as old as its last update in the batch; one without any (a backup's) is older than all.
    """
    rows = [*_orders(batch), *map(_update, batch.updates), *map(_statistics, batch.statistics)]
    return [phase for phase in (rows, [_progress(batch.progress)]) if phase]


def key_writes(row: ApiKeyRow) -> list[Write]:
    """An API key. Once it is revoked nothing makes it valid again, whatever gateway's clock says what."""
    timestamp = row.created_ms * MICROSECONDS + row.revoked
    values = (row.user_id, row.secret_encrypted, row.scopes, row.created_ms, row.revoked)
    return [
        Write("api_keys_by_user", (row.user_id, row.created_ms, row.api_key), (), timestamp),
        Write("api_keys", (row.api_key,), values, timestamp),
    ]


def _entries(batch: SettlementBatch) -> list[Write]:
    """The effects of each event together: a trade, and the entries that refer to it."""
    events: dict[str, list[Write]] = {}
    for trade in batch.trades:
        events.setdefault(f"trade:{trade.symbol}:{trade.trade_id}", []).extend(_trade(trade))
    for entry in batch.ledger:
        events.setdefault(entry.reference, []).append(_ledger(entry))
    return [*_trade_indexes(batch.trades), *_ledger_indexes(batch.ledger), *_flat(events.values())]


def _flat(groups: Iterable[Sequence[Write]]) -> list[Write]:
    return [write for group in groups for write in group]


def _trade(row: SettledTradeRow) -> list[Write]:
    values = (
        row.price_ticks,
        row.quantity_lots,
        row.base_amount,
        row.quote_amount,
        row.buyer_user_id,
        row.seller_user_id,
        row.buyer_order_id,
        row.seller_order_id,
        row.buyer_fee,
        row.seller_fee,
        row.buyer_is_maker,
        row.matcher_shard,
        row.engine_sequence,
    )
    symbol, trade_id, time_ms = row.symbol, row.trade_id, row.time_ms
    month, timestamp = month_of(time_ms), time_ms * MICROSECONDS
    place = (symbol, trade_id >> TRADE_BUCKET_SHIFT, trade_id)
    writes = [Write("settled_trades", place, (*values, time_ms), timestamp)]
    for user_id in {row.buyer_user_id: None, row.seller_user_id: None}:
        writes.append(Write("settled_trades_by_user", (user_id, month, time_ms, symbol, trade_id), values, timestamp))
    return writes


def _trade_indexes(trades: Sequence[SettledTradeRow]) -> list[Write]:
    """Which buckets, days and months there are, each once a batch."""
    found: dict[tuple[str, tuple[Any, ...]], int] = {}
    for row in trades:
        day, month = row.time_ms // DAY_MS, month_of(row.time_ms)
        timestamp = day * DAY_MS * MICROSECONDS
        found["settled_trades_by_day", (row.symbol, day, row.trade_id >> TRADE_BUCKET_SHIFT)] = timestamp
        found["trade_days", (row.symbol, day)] = timestamp
        found["trade_months", (row.buyer_user_id, month)] = timestamp
        found["trade_months", (row.seller_user_id, month)] = timestamp
    return [Write(table, key, (), timestamp) for (table, key), timestamp in found.items()]


def _ledger(row: LedgerRow) -> Write:
    return Write(
        "balance_ledger",
        (row.user_id, row.asset_id, row.seq >> LEDGER_BUCKET_SHIFT, row.seq),
        (
            row.kind,
            row.available_delta,
            row.reserved_delta,
            row.available,
            row.reserved,
            row.reference,
            row.event_id,
            row.time_ms,
        ),
        row.time_ms * MICROSECONDS,
    )


def _ledger_indexes(ledger: Sequence[LedgerRow]) -> list[Write]:
    """Which partitions of balance_ledger there are."""
    found = {(row.user_id, row.asset_id, row.seq >> LEDGER_BUCKET_SHIFT): None for row in ledger}
    return [Write("ledger_buckets", key, (), 0) for key in found]


def _balance(row: BalanceRow) -> Write:
    values = (row.available, row.reserved, row.version, row.time_ms)
    return Write("user_balances", (row.user_id, row.asset_id), values, row.version)


def _progress(row: ProgressRow) -> Write:
    values = (row.next_offset, row.sequences)
    return Write("settlement_progress", (row.reader, row.topic, row.partition), values, row.next_offset)


def _orders(batch: HistoryBatch) -> list[Write]:
    """All that is said of orders, with the pointers to those that came in."""
    last = {update.order_id: update.sequence for update in batch.updates}
    opened = {update.order_id for update in batch.updates if update.status in _OPENING}
    writes = [_active(row, last.get(row.order_id, 0)) for row in batch.active]
    months: dict[tuple[int, int], None] = {}
    for row in batch.history:
        order_id, sequence = row.order_id, last.get(row.order_id, 0)
        month = month_of(row.created_ms)
        writes.append(_history(row, month, sequence))
        if order_id in opened or order_id not in last:
            months[row.user_id, month] = None
            writes += _pointers(row, month)
    writes += [Write("order_months", key, (), 0) for key in months]
    writes += [Write("active_orders", key, None, last.get(key[1], 0)) for key in batch.closed]
    return writes


def _active(row: OrderRow, sequence: int) -> Write:
    values = (*_order_values(row), row.created_ms, row.updated_ms)
    return Write("active_orders", (row.user_id, row.order_id), values, sequence)


def _history(row: OrderRow, month: int, sequence: int) -> Write:
    values = (*_order_values(row), row.updated_ms)
    return Write("order_history", (row.user_id, month, row.created_ms, row.order_id), values, sequence)


def _order_values(row: OrderRow) -> tuple[Any, ...]:
    """What both tables of orders hold, but for the times: that of creation is in the key of one."""
    return (
        row.cid,
        row.symbol,
        row.side,
        row.order_type,
        row.time_in_force,
        row.status,
        row.price_ticks,
        row.quantity_lots,
        row.filled_lots,
        row.filled_tick_lots,
        row.code,
    )


def _pointers(row: OrderRow, month: int) -> list[Write]:
    """Where an order is found by its id and by its client order id; a refused repeat does not own the latter."""
    user_id, order_id, created_ms = row.user_id, row.order_id, row.created_ms
    timestamp = created_ms * MICROSECONDS
    by_id = Write("orders_by_id", (order_id >> ORDER_BUCKET_SHIFT, order_id), (user_id, created_ms), timestamp)
    if row.code is Reject.DUPLICATE_CLIENT_ORDER_ID:
        return [by_id]
    return [by_id, Write("orders_by_cid", (user_id, month, row.cid, created_ms, order_id), (), timestamp)]


def _update(row: OrderUpdateRow) -> Write:
    time_ms, sequence = row.time_ms, row.sequence
    return Write(
        "order_updates_stream",
        (row.source, time_ms // DAY_MS, sequence >> UPDATE_BUCKET_SHIFT, sequence, row.part),
        (
            row.user_id,
            row.order_id,
            row.symbol,
            row.status,
            row.filled_lots,
            row.last_price_ticks,
            row.last_quantity_lots,
            row.trade_id,
            row.is_maker,
            row.code,
            time_ms,
        ),
        time_ms * MICROSECONDS,
    )


def _statistics(row: StatisticsRow) -> Write:
    values = (row.new, row.filled, row.cancelled, row.rejected, row.expired, row.updated_ms, row.sequence)
    return Write("order_statistics", (row.user_id, row.shard), values, row.sequence)
