"""How the write of a projection's batch is named in a trace: by the tables that it changes, not by its values."""

from typing import NamedTuple

from services.adapters.ports import HistoryBatch, SettlementBatch


class BatchTables(NamedTuple):
    """operation: what most of it does. rows: how many it writes. summary: the operation and the tables, in order."""

    operation: str
    rows: int
    summary: str


def tables_of(batch: SettlementBatch | HistoryBatch) -> BatchTables:
    """What a batch does to which tables; those without rows are left out."""
    if isinstance(batch, SettlementBatch):
        rows = {
            "settled_trades": len(batch.trades),
            "balance_ledger": len(batch.ledger),
            "user_balances": len(batch.balances),
        }
    else:
        rows = {
            "order_history": len(batch.history),
            "active_orders": len(batch.active) + len(batch.closed),
            "order_updates_stream": len(batch.updates),
            "order_statistics": len(batch.statistics),
        }
    names = [table for table, count in rows.items() if count]
    return BatchTables("INSERT", sum(rows.values()) + 1, " ".join(["INSERT", *names, "settlement_progress"]))
