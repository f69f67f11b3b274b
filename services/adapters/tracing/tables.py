"""How reads and writes of the store are named in a trace: by the tables that they are about, not by values."""

from typing import Final, NamedTuple

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


class StoreRead(NamedTuple):
    """operation: SELECT or INSERT. table: which it is about."""

    operation: str
    table: str

    @property
    def summary(self) -> str:
        return f"{self.operation} {self.table}"


_READS: Final = {
    "ledger": StoreRead("SELECT", "balance_ledger"),
    "order": StoreRead("SELECT", "order_history"),
    "active_orders": StoreRead("SELECT", "active_orders"),
    "order_history": StoreRead("SELECT", "order_history"),
    "order_by_cid": StoreRead("SELECT", "order_history"),
    "order_statistics": StoreRead("SELECT", "order_statistics"),
    "trades_by_user": StoreRead("SELECT", "settled_trades"),
    "trades_by_symbol": StoreRead("SELECT", "settled_trades"),
    "get_key": StoreRead("SELECT", "api_keys"),
    "keys_of": StoreRead("SELECT", "api_keys"),
    "put_key": StoreRead("INSERT", "api_keys"),
}


def store_read(method: str) -> StoreRead:
    """What a method of the store does that a gateway calls. One that is not known is named as it is."""
    return _READS.get(method) or StoreRead("CALL", method)
