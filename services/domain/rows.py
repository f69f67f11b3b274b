"""Rows of the store: what settlement and order_history write, and what the gateway's queries read.

Field names are the column names. Amounts are smallest units, prices ticks, quantities lots, times milliseconds.
"""

from collections.abc import Iterable

import msgspec

from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject


class SettledTradeRow(msgspec.Struct, gc=False):
    """Table `settled_trades`, key (symbol, trade_id). Both sides of a trade across shards write equal rows."""

    symbol: str
    trade_id: int
    price_ticks: int
    quantity_lots: int
    base_amount: int
    quote_amount: int
    buyer_user_id: int
    seller_user_id: int
    buyer_order_id: int
    seller_order_id: int
    buyer_fee: int
    """Smallest base units."""
    seller_fee: int
    """Smallest quote units."""
    buyer_is_maker: bool
    matcher_shard: int
    engine_sequence: int
    time_ms: int


class BalanceRow(msgspec.Struct, gc=False):
    """Table `user_balances`, key (user_id, asset_id): the newest state."""

    user_id: int
    asset_id: str
    available: int
    reserved: int
    version: int
    time_ms: int


class LedgerRow(msgspec.Struct, gc=False):
    """Table `balance_ledger`, key (user_id, asset_id, seq); seq is the balance's version."""

    user_id: int
    asset_id: str
    seq: int
    kind: str
    """A ChangeKind's name."""
    available_delta: int
    reserved_delta: int
    available: int
    reserved: int
    reference: str
    """The transfer id; or order:<order id>; or trade:<symbol>:<trade id>."""
    event_id: str
    time_ms: int


class OrderRow(msgspec.Struct, gc=False):
    """Tables `active_orders`, key (user_id, order_id), and `order_history`, key (user_id, created_ms, order_id).

    One row an order, holding its newest state.
    """

    user_id: int
    order_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    status: OrderStatus
    price_ticks: int
    quantity_lots: int
    filled_lots: int
    filled_tick_lots: int
    code: Reject
    created_ms: int
    updated_ms: int


class OrderUpdateRow(msgspec.Struct, gc=False):
    """Table `order_updates_stream`, key (source, sequence, part): every update, in order.

    source: matcher-<n> or ubscore-<n>; sequence: of its output; part: 0, 1, 2 … within one output.
    """

    source: str
    sequence: int
    part: int
    user_id: int
    order_id: int
    symbol: str
    status: OrderStatus
    filled_lots: int
    last_price_ticks: int
    last_quantity_lots: int
    trade_id: int
    is_maker: bool
    code: Reject
    time_ms: int


class StatisticsRow(msgspec.Struct, gc=False):
    """Table `order_statistics`, key (user_id, shard): absolute numbers, so that writing one twice is harmless.

    shard: of the matcher (or -1 - account shard for refusals before a matcher) whose stream it counts.
    """

    user_id: int
    shard: int
    new: int
    filled: int
    cancelled: int
    rejected: int
    expired: int
    updated_ms: int
    sequence: int
    """The last one of that stream that is counted here: whoever folds it again goes on behind it."""


def total_statistics(user_id: int, rows: Iterable[StatisticsRow]) -> StatisticsRow:
    """One user's rows of all shards in one. It is of no shard and at no sequence: both are 0."""
    total = StatisticsRow(user_id, 0, 0, 0, 0, 0, 0, 0, 0)
    for row in rows:
        total.new += row.new
        total.filled += row.filled
        total.cancelled += row.cancelled
        total.rejected += row.rejected
        total.expired += row.expired
        total.updated_ms = max(total.updated_ms, row.updated_ms)
    return total


class ProgressRow(msgspec.Struct, gc=False):
    """Table `settlement_progress`, key (reader, topic, partition): what the store holds the effects of.

    reader: settlement or order_history. next_offset: the first frame without effects in the store.
    sequences: the last sequence of every source on that partition.
    """

    reader: str
    topic: str
    partition: int
    next_offset: int
    sequences: dict[str, int]


class ApiKeyRow(msgspec.Struct):
    """Table `api_keys`, key (api_key). The secret is encrypted; the store never sees it plain."""

    api_key: str
    user_id: int
    secret_encrypted: bytes
    scopes: list[str]
    created_ms: int
    revoked: bool = False
