"""Batches for order history as a matcher's outputs make them: orders that come, and after a while go."""

from collections import deque
from typing import Final

from services.adapters.ports import HistoryBatch
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.rows import OrderRow, OrderUpdateRow, ProgressRow, StatisticsRow
from services.domain.topics import ENGINE_OUTPUTS

USERS: Final = 1_000
RESTING: Final = 5_000
"""Orders that are open at one time."""
SOURCE: Final = "matcher-0"


class OrderRows:
    """Every second event is a new order, every other fills or cancels the oldest."""

    def __init__(self, first_user: int, start_ms: int) -> None:
        """first_user: of USERS; their orders before have nothing to do with these."""
        self._first_user = first_user
        self._start_ms = start_ms
        self._open: deque[OrderRow] = deque()
        self._totals: dict[int, StatisticsRow] = {}
        self._events = 0
        self._orders = first_user << 20

    def batch(self, events: int) -> HistoryBatch:
        """The rows of so many events: `updates` has one for each."""
        newest: dict[int, OrderRow] = {}
        updates: list[OrderUpdateRow] = []
        users: dict[int, StatisticsRow] = {}
        for _ in range(events):
            self._events += 1
            row = self._next()
            newest[row.order_id] = row
            updates.append(self._update(row))
            users[row.user_id] = self._count(row)
        rows = list(newest.values())
        active = [row for row in rows if row.status.is_open]
        closed = [(row.user_id, row.order_id) for row in rows if not row.status.is_open]
        progress = ProgressRow("order_history", ENGINE_OUTPUTS, 0, self._events, {SOURCE: self._events})
        return HistoryBatch(active, closed, rows, updates, list(users.values()), progress)

    def _next(self) -> OrderRow:
        now_ms = self._start_ms + self._events // 10
        if len(self._open) >= RESTING and self._events % 2:
            return self._close(self._open.popleft(), now_ms)
        self._orders += 1
        row = OrderRow(
            self._first_user + self._orders % USERS,
            self._orders,
            f"cid-{self._orders}",
            "BTC_USDT",
            Side.Buy if self._orders % 2 else Side.Sell,
            OrderType.Limit,
            TimeInForce.GTC,
            OrderStatus.New,
            5_000_000 + self._orders % 1_000,
            1_000,
            0,
            0,
            Reject.NONE,
            now_ms,
            now_ms,
        )
        self._open.append(row)
        return row

    def _close(self, row: OrderRow, now_ms: int) -> OrderRow:
        filled = self._events % 3 != 0
        return OrderRow(
            row.user_id,
            row.order_id,
            row.cid,
            row.symbol,
            row.side,
            row.order_type,
            row.time_in_force,
            OrderStatus.Filled if filled else OrderStatus.Cancelled,
            row.price_ticks,
            row.quantity_lots,
            row.quantity_lots if filled else 0,
            row.quantity_lots * row.price_ticks if filled else 0,
            Reject.NONE,
            row.created_ms,
            now_ms,
        )

    def _update(self, row: OrderRow) -> OrderUpdateRow:
        price, lots = (row.price_ticks, row.quantity_lots) if row.filled_lots else (0, 0)
        return OrderUpdateRow(
            SOURCE,
            self._events,
            0,
            row.user_id,
            row.order_id,
            row.symbol,
            row.status,
            row.filled_lots,
            price,
            lots,
            self._events if lots else 0,
            bool(lots),
            row.code,
            row.updated_ms,
        )

    def _count(self, row: OrderRow) -> StatisticsRow:
        old = self._totals.get(row.user_id)
        new, filled, cancelled = (old.new, old.filled, old.cancelled) if old is not None else (0, 0, 0)
        status = row.status
        total = self._totals[row.user_id] = StatisticsRow(
            row.user_id,
            0,
            new + (status is OrderStatus.New),
            filled + (status is OrderStatus.Filled),
            cancelled + (status is OrderStatus.Cancelled),
            0,
            0,
            row.updated_ms,
            self._events,
        )
        return total
