"""Whole tables of the CQL store, a page at a time: by the ring of partitions, and in order within each of them."""

from collections.abc import AsyncIterator
from typing import TypeVar

from services.adapters.cql.database import CqlDatabase
from services.adapters.cql.rows import (
    ACTIVE,
    BALANCES,
    LEDGER,
    ORDERS,
    STATISTICS,
    TRADES,
    UPDATES,
    RowType,
)
from services.domain.rows import (
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    SettledTradeRow,
    StatisticsRow,
)

R = TypeVar("R")


class CqlAudit(CqlDatabase):
    """`ports.AuditStore` on CQL."""

    def all_balances(self) -> AsyncIterator[BalanceRow]:
        return self._all(BALANCES)

    def all_ledger(self) -> AsyncIterator[LedgerRow]:
        return self._all(LEDGER)

    def all_trades(self) -> AsyncIterator[SettledTradeRow]:
        return self._all(TRADES)

    def all_active_orders(self) -> AsyncIterator[OrderRow]:
        return self._all(ACTIVE)

    def all_orders(self) -> AsyncIterator[OrderRow]:
        return self._all(ORDERS)

    def all_order_updates(self) -> AsyncIterator[OrderUpdateRow]:
        return self._all(UPDATES)

    def all_statistics(self) -> AsyncIterator[StatisticsRow]:
        return self._all(STATISTICS)

    async def _all(self, table: RowType[R]) -> AsyncIterator[R]:
        session = await self._connected()
        async for page in session.pages(table.select):
            for values in page:
                yield table.make(values)
