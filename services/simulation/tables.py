"""The rows of the simulated store, which outlive every process: written in whole batches, or one by one."""

from collections.abc import Sequence
from typing import Any

from services.adapters.cql.writes import Write, history_phases, settlement_phases
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.rows import (
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    ProgressRow,
    SettledTradeRow,
    StatisticsRow,
)
from services.simulation.audit.accounts import Contradiction
from services.simulation.cells import Cells, RowTable


class Tables:
    """The rows, by key. late: writes of a store without transactions that will land some time."""

    settlement_phases = staticmethod(settlement_phases)
    history_phases = staticmethod(history_phases)

    def __init__(self) -> None:
        self.trades: dict[tuple[str, int], SettledTradeRow] = {}
        self.balances: dict[tuple[int, str], BalanceRow] = {}
        self.ledger: dict[tuple[int, str, int], LedgerRow] = {}
        self.active: dict[tuple[int, int], OrderRow] = {}
        self.history: dict[tuple[int, int, int], OrderRow] = {}
        self.updates: dict[tuple[str, int, int], OrderUpdateRow] = {}
        self.statistics: dict[tuple[int, int], StatisticsRow] = {}
        self.progress: dict[tuple[str, str, int], ProgressRow] = {}
        self.late: list[Write] = []
        self._cells = Cells(
            {
                "settled_trades": RowTable(self.trades, SettledTradeRow, ("symbol", "trade_id")),
                "user_balances": RowTable(self.balances, BalanceRow, ("user_id", "asset_id")),
                "balance_ledger": RowTable(self.ledger, LedgerRow, ("user_id", "asset_id", "seq")),
                "active_orders": RowTable(self.active, OrderRow, ("user_id", "order_id")),
                "order_history": RowTable(self.history, OrderRow, ("user_id", "created_ms", "order_id")),
                "order_updates_stream": RowTable(self.updates, OrderUpdateRow, ("source", "sequence", "part")),
                "order_statistics": RowTable(self.statistics, StatisticsRow, ("user_id", "shard")),
                "settlement_progress": RowTable(self.progress, ProgressRow, ("reader", "topic", "partition")),
            }
        )

    def land(self, write: Write) -> None:
        """Take one write of a store without transactions."""
        self._cells.land(write)

    def land_late(self, write: Write) -> None:
        """Take one of the `late` ones."""
        if write in self.late:
            self.late.remove(write)
            self.land(write)

    def apply_settlement(self, batch: SettlementBatch) -> None:
        """Write a batch in one transaction; nothing when it was written before, and more."""
        if self._is_late(batch.progress):
            return
        for trade in batch.trades:
            self.trades.setdefault((trade.symbol, trade.trade_id), trade)
        for balance in batch.balances:
            key = (balance.user_id, balance.asset_id)
            if key not in self.balances or self.balances[key].version < balance.version:
                self.balances[key] = balance
        for entry in batch.ledger:
            self.ledger.setdefault((entry.user_id, entry.asset_id, entry.seq), entry)
        self._stand(batch.progress)

    def apply_history(self, batch: HistoryBatch) -> None:
        """As `apply_settlement`."""
        if self._is_late(batch.progress):
            return
        self.active.update(((row.user_id, row.order_id), row) for row in batch.active)
        for key in batch.closed:
            self.active.pop(key, None)
        self.history.update(((row.user_id, row.created_ms, row.order_id), row) for row in batch.history)
        self.updates.update(((row.source, row.sequence, row.part), row) for row in batch.updates)
        self.statistics.update(((row.user_id, row.shard), row) for row in batch.statistics)
        self._stand(batch.progress)

    def _is_late(self, row: ProgressRow) -> bool:
        stored = self.progress.get((row.reader, row.topic, row.partition))
        return stored is not None and stored.next_offset > row.next_offset

    def _stand(self, row: ProgressRow) -> None:
        self.progress[row.reader, row.topic, row.partition] = row

    def _check_copies(self, contents: list[list[Any]]) -> None:
        """Every table must hold what all rows leave there that are written in one batch, which nothing disturbs."""
        if self._cells.tie is not None:
            one, other = self._cells.tie
            raise Contradiction(f"table {one.table} has two rows of one age: {one} and {other}")
        nowhere = ProgressRow("", "", 0, 0, {})
        trades, balances, ledger, active, history, updates, statistics = contents
        whole = Cells({})
        for phases in (
            settlement_phases(SettlementBatch(trades, balances, ledger, nowhere)),
            history_phases(HistoryBatch(active, [], history, updates, statistics, nowhere)),
        ):
            for write in (write for phase in phases for write in phase):
                whole.land(write)
        stored, right = self._cells.contents(), whole.contents()
        for name in sorted((stored.keys() | right.keys()) - {"settlement_progress"}):
            if stored.get(name) != right.get(name):
                raise Contradiction(f"table {name} does not hold what the tables that it follows hold")

    def latest_ledger(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], LedgerRow]:
        """The newest ledger row of each balance that has one."""
        found: dict[tuple[int, str], LedgerRow] = {}
        for (user_id, asset, _), row in sorted(self.ledger.items()):
            if (user_id, asset) in keys:
                found[user_id, asset] = row
        return found

    def contents(self) -> list[tuple[str, list[Any]]]:
        """Every table but progress, by name, in the order of its keys, after all that is late has come.

        Raises Contradiction when tables that copy or index others do not hold the same.
        """
        while self.late:
            self.land_late(self.late[0])
        contents = self._contents()
        if not self._cells.is_empty:
            self._check_copies([rows for _, rows in contents])
        return contents

    def _contents(self) -> list[tuple[str, list[Any]]]:
        tables: list[tuple[str, dict[Any, Any]]] = [
            ("settled_trades", self.trades),
            ("user_balances", self.balances),
            ("balance_ledger", self.ledger),
            ("active_orders", self.active),
            ("order_history", self.history),
            ("order_updates_stream", self.updates),
            ("order_statistics", self.statistics),
        ]
        return [(name, [rows[key] for key in sorted(rows)]) for name, rows in tables]
