"""The tables of the store as a backup sees them: in which order they are read, and how their rows are put back.

A store that is written meanwhile is read in the order opposite to that of writing. The position comes first: what is
on the log behind it is folded again after a restore, so rows may be newer than it, but none may be missing before it.
Then the balances, then the ledger: settlement leaves out the ledger of versions that a balance has reached, so what
led to a balance must be in the backup when the balance is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from services.adapters.ports import BackupStore, HistoryBatch, SettlementBatch
from services.domain.errors import StoreUnavailable
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

_ATTEMPTS: Final = 12
_FIRST_BACKOFF_S: Final = 0.1
_LAST_BACKOFF_S: Final = 10.0


class Table(NamedTuple):
    """A table. column: which rows of a batch it is; empty for API keys, which no projection writes."""

    name: str
    row_type: type[Any]
    read: Callable[[BackupStore], AsyncIterator[Any]]
    batch: type[SettlementBatch] | type[HistoryBatch] | None
    column: str


TABLES: Final = (
    Table("user_balances", BalanceRow, lambda store: store.all_balances(), SettlementBatch, "balances"),
    Table("balance_ledger", LedgerRow, lambda store: store.all_ledger(), SettlementBatch, "ledger"),
    Table("settled_trades", SettledTradeRow, lambda store: store.all_trades(), SettlementBatch, "trades"),
    Table("active_orders", OrderRow, lambda store: store.all_active_orders(), HistoryBatch, "active"),
    Table("order_history", OrderRow, lambda store: store.all_orders(), HistoryBatch, "history"),
    Table("order_updates_stream", OrderUpdateRow, lambda store: store.all_order_updates(), HistoryBatch, "updates"),
    Table("order_statistics", StatisticsRow, lambda store: store.all_statistics(), HistoryBatch, "statistics"),
    Table("api_keys", ApiKeyRow, lambda store: store.all_keys(), None, ""),
)
"""In the order in which they are read."""

BY_NAME: Final = {table.name: table for table in TABLES}


async def write_rows(store: BackupStore, table: Table, rows: Sequence[Any], progress: ProgressRow) -> None:
    """Put rows back, as a batch of their own that ends with `progress`; writing them twice does no harm.

    Orders come without their updates, and so are older than whatever is folded from the log afterwards: the log has
    the last word. Raises StoreUnavailable when the store does not take them for a long time.
    """
    if table.batch is None:
        for row in rows:
            await _insist(lambda row=row: store.put_key(row))  # type: ignore[misc]
    elif table.batch is SettlementBatch:
        await _insist(lambda: store.write_settlement(_settlement(progress, **{table.column: rows})))
    else:
        await _insist(lambda: store.write_history(_history(progress, **{table.column: rows})))


async def write_progress(store: BackupStore, progress: ProgressRow) -> None:
    """A position without rows."""
    await _insist(lambda: store.write_settlement(_settlement(progress)))


async def _insist(write: Callable[[], Awaitable[None]]) -> None:
    """A restore writes faster than anybody else: a store that has too much of it is asked again."""
    for attempt in range(_ATTEMPTS):
        try:
            await write()
        except StoreUnavailable:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(min(_LAST_BACKOFF_S, _FIRST_BACKOFF_S * 2**attempt))
        else:
            return


def _settlement(progress: ProgressRow, **rows: Sequence[Any]) -> SettlementBatch:
    empty: dict[str, Any] = {"trades": (), "balances": (), "ledger": ()}
    return SettlementBatch(**(empty | rows), progress=progress)


def _history(progress: ProgressRow, **rows: Sequence[Any]) -> HistoryBatch:
    empty: dict[str, Any] = {"active": (), "closed": (), "history": (), "updates": (), "statistics": ()}
    return HistoryBatch(**(empty | rows), progress=progress)
