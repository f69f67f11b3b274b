"""A store in memory that a test can break before or after a write. Its content lives as long as the object."""

from bisect import insort
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Literal, TypeVar

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.errors import StoreUnavailable
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
from services.domain.topics import TopicPartition

Fault = Literal["", "before", "after"]
"""Where a call fails: not at all, with nothing done, or with all done and the answer lost."""

R = TypeVar("R")
Key = tuple[Any, ...]


class MemoryStore:
    """Every store port on dictionaries. faults: what the next calls of ProjectionStore meet, one each."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self._progress: dict[Key, ProgressRow] = {}
        self._trades: dict[Key, SettledTradeRow] = {}
        self._balances: dict[Key, BalanceRow] = {}
        self._ledger: dict[Key, LedgerRow] = {}
        self._active: dict[Key, OrderRow] = {}
        self._orders: dict[Key, OrderRow] = {}
        self._updates: dict[Key, OrderUpdateRow] = {}
        self._statistics: dict[Key, StatisticsRow] = {}
        self._keys: dict[str, ApiKeyRow] = {}

    def _fail(self, moment: Fault, fault: Fault) -> None:
        if moment == fault:
            raise StoreUnavailable(f"fault {moment} the call")

    def _next_fault(self) -> Fault:
        fault: Fault = self.faults.popleft() if self.faults else ""
        self._fail("before", fault)
        return fault

    # ProjectionStore

    async def progress(self, reader: str, partition: TopicPartition) -> ProgressRow | None:
        self._fail("after", self._next_fault())
        return self._progress.get((reader, *partition))

    async def balances(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], BalanceRow]:
        self._fail("after", self._next_fault())
        return {key: self._balances[key] for key in keys if key in self._balances}

    async def latest_ledger(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], LedgerRow]:
        self._fail("after", self._next_fault())
        return {
            (row.user_id, row.asset_id): row for row in _sorted(self._ledger) if (row.user_id, row.asset_id) in keys
        }

    async def statistics(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StatisticsRow]:
        self._fail("after", self._next_fault())
        return {key: self._statistics[key] for key in keys if key in self._statistics}

    async def write_settlement(self, batch: SettlementBatch) -> None:
        fault = self._next_fault()
        if not self._is_late(batch.progress):
            self._apply_settlement(batch)
        self._fail("after", fault)

    def _apply_settlement(self, batch: SettlementBatch) -> None:
        self._trades.update({(row.symbol, row.trade_id): row for row in batch.trades})
        for row in batch.balances:
            held = self._balances.get((row.user_id, row.asset_id))
            if held is None or row.version > held.version:
                self._balances[row.user_id, row.asset_id] = row
        self._ledger.update({(row.user_id, row.asset_id, row.seq): row for row in batch.ledger})
        self._move(batch.progress)

    async def write_history(self, batch: HistoryBatch) -> None:
        fault = self._next_fault()
        if not self._is_late(batch.progress):
            self._apply_history(batch)
        self._fail("after", fault)

    def _apply_history(self, batch: HistoryBatch) -> None:
        self._active.update({(row.user_id, row.order_id): row for row in batch.active})
        for key in batch.closed:
            self._active.pop(key, None)
        self._orders.update({(row.user_id, row.created_ms, row.order_id): row for row in batch.history})
        self._updates.update({(row.source, row.sequence, row.part): row for row in batch.updates})
        self._statistics.update({(row.user_id, row.shard): row for row in batch.statistics})
        self._move(batch.progress)

    def _is_late(self, progress: ProgressRow) -> bool:
        """Whether all of a batch is here already, and more."""
        stored = self._progress.get((progress.reader, progress.topic, progress.partition))
        return stored is not None and stored.next_offset > progress.next_offset

    def _move(self, progress: ProgressRow) -> None:
        self._progress[progress.reader, progress.topic, progress.partition] = progress

    # QueryStore

    async def ledger(
        self, user_id: int, asset: str | None, limit: int, before: tuple[str, int] | None
    ) -> list[LedgerRow]:
        rows = [row for row in self._ledger.values() if row.user_id == user_id and asset in (None, row.asset_id)]
        return _page({(row.asset_id, row.seq): row for row in rows}, limit, before)

    async def order(self, user_id: int, order_id: int) -> OrderRow | None:
        rows = [row for row in self._orders.values() if (row.user_id, row.order_id) == (user_id, order_id)]
        return rows[0] if rows else None

    async def active_orders(self, user_id: int, symbol: str | None) -> list[OrderRow]:
        rows = _sorted(self._active)
        return [row for row in rows if row.user_id == user_id and symbol in (None, row.symbol)]

    async def order_history(
        self,
        user_id: int,
        symbol: str | None,
        from_ms: int,
        to_ms: int,
        limit: int,
        before: tuple[int, int] | None,
    ) -> list[OrderRow]:
        rows = [
            row
            for row in self._orders.values()
            if row.user_id == user_id and symbol in (None, row.symbol) and from_ms <= row.created_ms <= to_ms
        ]
        return _page({(row.created_ms, row.order_id): row for row in rows}, limit, before)

    async def order_by_cid(self, user_id: int, cid: str) -> OrderRow | None:
        rows = [
            row
            for row in _sorted(self._orders)
            if (row.user_id, row.cid) == (user_id, cid) and row.code != Reject.DUPLICATE_CLIENT_ORDER_ID
        ]
        return rows[-1] if rows else None

    async def order_statistics(self, user_id: int) -> StatisticsRow:
        rows = [row for row in self._statistics.values() if row.user_id == user_id]
        sums = [
            sum(getattr(row, name) for row in rows) for name in ("new", "filled", "cancelled", "rejected", "expired")
        ]
        return StatisticsRow(user_id, 0, *sums, max((row.updated_ms for row in rows), default=0), 0)

    async def trades_by_user(
        self, user_id: int, symbol: str | None, limit: int, before: tuple[int, str, int] | None
    ) -> list[SettledTradeRow]:
        rows = [
            row
            for row in self._trades.values()
            if user_id in (row.buyer_user_id, row.seller_user_id) and symbol in (None, row.symbol)
        ]
        return _page({(row.time_ms, row.symbol, row.trade_id): row for row in rows}, limit, before)

    async def trades_by_symbol(self, symbol: str, limit: int, before: int | None) -> list[SettledTradeRow]:
        rows = {(row.trade_id,): row for row in self._trades.values() if row.symbol == symbol}
        return _page(rows, limit, None if before is None else (before,))

    # AuditStore

    def all_balances(self) -> AsyncIterator[BalanceRow]:
        return _each(_sorted(self._balances))

    def all_ledger(self) -> AsyncIterator[LedgerRow]:
        return _each(_sorted(self._ledger))

    def all_trades(self) -> AsyncIterator[SettledTradeRow]:
        return _each(_sorted(self._trades))

    def all_active_orders(self) -> AsyncIterator[OrderRow]:
        return _each(_sorted(self._active))

    def all_orders(self) -> AsyncIterator[OrderRow]:
        return _each(_sorted(self._orders))

    def all_order_updates(self) -> AsyncIterator[OrderUpdateRow]:
        return _each(_sorted(self._updates))

    def all_statistics(self) -> AsyncIterator[StatisticsRow]:
        return _each(_sorted(self._statistics))

    # KeyStore

    async def put_key(self, row: ApiKeyRow) -> None:
        self._keys[row.api_key] = row

    async def get_key(self, api_key: str) -> ApiKeyRow | None:
        return self._keys.get(api_key)

    async def keys_of(self, user_id: int) -> list[ApiKeyRow]:
        rows: list[ApiKeyRow] = []
        for row in self._keys.values():
            if row.user_id == user_id:
                insort(rows, row, key=lambda row: (row.created_ms, row.api_key))
        return rows

    def all_keys(self) -> AsyncIterator[ApiKeyRow]:
        return _each(_sorted({(key,): row for key, row in self._keys.items()}))


def _sorted(table: dict[Key, R]) -> list[R]:
    return [table[key] for key in sorted(table)]


def _page(rows: dict[Key, R], limit: int, before: Key | None) -> list[R]:
    keys = sorted((key for key in rows if before is None or key < before), reverse=True)
    return [rows[key] for key in keys[:limit]]


async def _each(rows: Iterable[R]) -> AsyncIterator[R]:
    for row in rows:
        yield row
