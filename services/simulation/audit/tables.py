"""What the store must hold, row by row, computed from the records that the log holds."""

from typing import Any

from services.domain.messages import (
    BalanceChange,
    MatchResult,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderUpdate,
    TradeSettled,
    TransferCompleted,
)
from services.domain.orders import OrderStatus, Side
from services.domain.rows import BalanceRow, LedgerRow, OrderRow, OrderUpdateRow, SettledTradeRow, StatisticsRow
from services.simulation.audit.streams import Said

_COUNTED = {
    OrderStatus.New: "new",
    OrderStatus.Filled: "filled",
    OrderStatus.Cancelled: "cancelled",
    OrderStatus.Rejected: "rejected",
    OrderStatus.Expired: "expired",
}


class NaiveTables:
    """Every table as dictionaries by key; one record after the other, absolute values last."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[Any, Any]] = {
            "settled_trades": {},
            "user_balances": {},
            "balance_ledger": {},
            "active_orders": {},
            "order_history": {},
            "order_updates_stream": {},
            "order_statistics": {},
        }

    def contents(self) -> list[tuple[str, list[Any]]]:
        """Every table by name, in the order of its keys."""
        return [(name, [rows[key] for key in sorted(rows)]) for name, rows in self._tables.items()]

    def event(self, shard: int, said: Said) -> None:
        event = said.record
        match event:
            case TransferCompleted():
                self._post(event.change, event.transfer_id, event.time_ms)
            case OrderAccepted():
                self._post(event.change, f"order:{event.order_id}", event.time_ms)
            case OrderClosed() if event.change is not None:
                self._post(event.change, f"order:{event.order_id}", event.time_ms)
            case TradeSettled():
                self._trade(event)
            case OrderRejected():
                self._rejected(shard, said, event)

    def result(self, shard: int, said: Said) -> None:
        result: MatchResult = said.record
        body = result.decode_body()
        for part, update in enumerate(body.updates):
            self._tables["order_updates_stream"][said.source, result.sequence, part] = OrderUpdateRow(
                said.source, result.sequence, part, update.user_id, update.order_id, body.symbol, update.status,
                update.filled_lots, update.last_price_ticks, update.last_quantity_lots, update.trade_id,
                update.is_maker, update.code, body.time_ms,
            )  # fmt: skip
            self._order(update, body.symbol, body.time_ms)
            self._count(update.user_id, shard, update.status, result.sequence, body.time_ms)

    def _post(self, change: BalanceChange, reference: str, time_ms: int) -> None:
        key = (change.user_id, change.asset)
        self._tables["user_balances"][key] = BalanceRow(
            *key, change.available, change.reserved, change.version, time_ms
        )
        event_id = f"{change.kind.name.lower()}_{change.user_id}_{change.asset}_{change.version}"
        self._tables["balance_ledger"][*key, change.version] = LedgerRow(
            *key, change.version, change.kind.name, change.available_delta, change.reserved_delta, change.available,
            change.reserved, reference, event_id, time_ms,
        )  # fmt: skip

    def _trade(self, event: TradeSettled) -> None:
        trade = event.trade
        sides = [(trade.maker_user_id, trade.maker_order_id), (trade.taker_user_id, trade.taker_order_id)]
        buyer, seller = sides if trade.taker_side == Side.Sell else reversed(sides)
        self._tables["settled_trades"][event.symbol, trade.trade_id] = SettledTradeRow(
            event.symbol, trade.trade_id, trade.price_ticks, trade.quantity_lots, event.base_amount, event.quote_amount,
            buyer[0], seller[0], buyer[1], seller[1], event.buyer_fee, event.seller_fee, trade.taker_side == Side.Sell,
            event.matcher_shard, event.engine_sequence, event.time_ms,
        )  # fmt: skip
        for change in event.changes:
            self._post(change, f"trade:{event.symbol}:{trade.trade_id}", event.time_ms)

    def _order(self, update: OrderUpdate, symbol: str, time_ms: int) -> None:
        row = OrderRow(
            update.user_id, update.order_id, update.cid, symbol, update.side, update.order_type, update.time_in_force,
            update.status, update.price_ticks, update.quantity_lots, update.filled_lots, update.filled_tick_lots,
            update.code, update.created_ms, time_ms,
        )  # fmt: skip
        self._tables["order_history"][row.user_id, row.created_ms, row.order_id] = row
        if update.status in (OrderStatus.New, OrderStatus.PartiallyFilled):
            self._tables["active_orders"][row.user_id, row.order_id] = row
        else:
            self._tables["active_orders"].pop((row.user_id, row.order_id), None)

    def _rejected(self, shard: int, said: Said, event: OrderRejected) -> None:
        self._tables["order_updates_stream"][said.source, said.sequence, 0] = OrderUpdateRow(
            said.source, said.sequence, 0, event.user_id, event.order_id, event.symbol, OrderStatus.Rejected,
            0, 0, 0, 0, False, event.code, event.time_ms,
        )  # fmt: skip
        self._tables["order_history"][event.user_id, event.time_ms, event.order_id] = OrderRow(
            event.user_id, event.order_id, event.cid, event.symbol, event.side, event.order_type, event.time_in_force,
            OrderStatus.Rejected, event.price_ticks, event.quantity_lots, 0, 0, event.code, event.time_ms,
            event.time_ms,
        )  # fmt: skip
        self._count(event.user_id, -1 - shard, OrderStatus.Rejected, said.sequence, event.time_ms)

    def _count(self, user_id: int, shard: int, status: OrderStatus, sequence: int, time_ms: int) -> None:
        column = _COUNTED.get(status)
        if column is None:
            return
        rows = self._tables["order_statistics"]
        row = rows.setdefault((user_id, shard), StatisticsRow(user_id, shard, 0, 0, 0, 0, 0, 0, 0))
        setattr(row, column, getattr(row, column) + 1)
        row.updated_ms = time_ms
        row.sequence = sequence
