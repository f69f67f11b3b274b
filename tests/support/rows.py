"""Rows with every field set, of which a test states those that matter to it."""

from typing import Any

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
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
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS


def trade_row(symbol: str = "BTC_USDT", trade_id: int = 1, **fields: Any) -> SettledTradeRow:
    values: dict[str, Any] = {
        "price_ticks": 5_000_000,
        "quantity_lots": 10,
        "base_amount": 1_000,
        "quote_amount": 50_000,
        "buyer_user_id": 1001,
        "seller_user_id": 1002,
        "buyer_order_id": 1,
        "seller_order_id": 2,
        "buyer_fee": 1,
        "seller_fee": 50,
        "buyer_is_maker": True,
        "matcher_shard": 0,
        "engine_sequence": 7,
        "time_ms": 1_000,
    }
    return SettledTradeRow(symbol, trade_id, **(values | fields))


def balance_row(user_id: int = 1001, asset_id: str = "BTC", version: int = 1, **fields: Any) -> BalanceRow:
    values: dict[str, Any] = {"available": 100 * version, "reserved": version, "time_ms": 1_000}
    return BalanceRow(user_id, asset_id, version=version, **(values | fields))


def ledger_row(user_id: int = 1001, asset_id: str = "BTC", seq: int = 1, **fields: Any) -> LedgerRow:
    values: dict[str, Any] = {
        "kind": "Deposit",
        "available_delta": 100,
        "reserved_delta": 0,
        "available": 100 * seq,
        "reserved": 0,
        "reference": f"t-{seq}",
        "event_id": f"deposit_{user_id}_{asset_id}_{seq}",
        "time_ms": 1_000,
    }
    return LedgerRow(user_id, asset_id, seq, **(values | fields))


def order_row(user_id: int = 1001, order_id: int = 1, **fields: Any) -> OrderRow:
    values: dict[str, Any] = {
        "cid": f"cid-{order_id}",
        "symbol": "BTC_USDT",
        "side": Side.Sell,
        "order_type": OrderType.Limit,
        "time_in_force": TimeInForce.GTC,
        "status": OrderStatus.New,
        "price_ticks": 5_000_000,
        "quantity_lots": 10,
        "filled_lots": 0,
        "filled_tick_lots": 0,
        "code": Reject.NONE,
        "created_ms": 1_000 + order_id,
        "updated_ms": 1_000 + order_id,
    }
    return OrderRow(user_id, order_id, **(values | fields))


def update_row(sequence: int = 1, part: int = 0, **fields: Any) -> OrderUpdateRow:
    values: dict[str, Any] = {
        "source": "matcher-0",
        "user_id": 1001,
        "order_id": 1,
        "symbol": "BTC_USDT",
        "status": OrderStatus.PartiallyFilled,
        "filled_lots": 3,
        "last_price_ticks": 5_000_000,
        "last_quantity_lots": 3,
        "trade_id": 9,
        "is_maker": True,
        "code": Reject.NONE,
        "time_ms": 1_000,
    }
    return OrderUpdateRow(sequence=sequence, part=part, **(values | fields))


def statistics_row(user_id: int = 1001, shard: int = 0, **fields: Any) -> StatisticsRow:
    values: dict[str, Any] = {"new": 5, "filled": 1, "cancelled": 2, "rejected": 3, "expired": 4, "updated_ms": 1_000}
    values["sequence"] = 10
    return StatisticsRow(user_id, shard, **(values | fields))


def key_row(api_key: str = "key-1", user_id: int = 1001, **fields: Any) -> ApiKeyRow:
    values: dict[str, Any] = {
        "secret_encrypted": b"\x00\xff\x80 secret",
        "scopes": ["read", "trade"],
        "created_ms": 1_000,
    }
    return ApiKeyRow(api_key, user_id, **(values | fields))


def settlement_batch(next_offset: int = 1, **rows: Any) -> SettlementBatch:
    progress = ProgressRow("settlement", BALANCE_EVENTS, 0, next_offset, {"ubscore-0": next_offset * 10})
    empty: dict[str, Any] = {"trades": [], "balances": [], "ledger": [], "progress": progress}
    return SettlementBatch(**(empty | rows))


def history_batch(next_offset: int = 1, **rows: Any) -> HistoryBatch:
    """An order of which no update is given gets those that it must have had, the newest of all before `next_offset`."""
    progress = ProgressRow("order_history", ENGINE_OUTPUTS, 0, next_offset, {"matcher-0": next_offset * 10})
    empty: dict[str, Any] = {
        "active": [],
        "closed": [],
        "history": [],
        "updates": [],
        "statistics": [],
        "progress": progress,
    }
    batch = HistoryBatch(**(empty | rows))
    states = dict.fromkeys(batch.closed, OrderStatus.Cancelled)
    states |= {(row.user_id, row.order_id): row.status for row in (*batch.active, *batch.history)}
    for row in batch.updates:
        states.pop((row.user_id, row.order_id), None)
    more = [(*key, status) for key, newest in states.items() for status in _statuses(newest)]
    updates = [
        update_row(next_offset * 10, part, user_id=user_id, order_id=order_id, status=status)
        for part, (user_id, order_id, status) in enumerate(more, 100)
    ]
    return batch._replace(updates=[*batch.updates, *updates])


def _statuses(newest: OrderStatus) -> list[OrderStatus]:
    """What an order goes through until this one."""
    return [newest] if newest in (OrderStatus.New, OrderStatus.Rejected) else [OrderStatus.New, newest]
