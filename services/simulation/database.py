"""A simulated store: whole batches or nothing, and often no answer, before or after the batch took effect."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.errors import StoreUnavailable
from services.domain.rows import (
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    ProgressRow,
    SettledTradeRow,
    StatisticsRow,
)
from services.domain.topics import TopicPartition
from services.simulation.faults import MILLISECOND, Faults
from services.simulation.process import Process

_WORK_MS: Final = (0.2, 3.0)
_OUTAGE_MS: Final = (50.0, 3_000.0)

Step = Callable[[Process], None]


class Tables:
    """The rows, by key. They outlive every process."""

    def __init__(self) -> None:
        self.trades: dict[tuple[str, int], SettledTradeRow] = {}
        self.balances: dict[tuple[int, str], BalanceRow] = {}
        self.ledger: dict[tuple[int, str, int], LedgerRow] = {}
        self.active: dict[tuple[int, int], OrderRow] = {}
        self.history: dict[tuple[int, int, int], OrderRow] = {}
        self.updates: dict[tuple[str, int, int], OrderUpdateRow] = {}
        self.statistics: dict[tuple[int, int], StatisticsRow] = {}
        self.progress: dict[tuple[str, str, int], ProgressRow] = {}

    def apply_settlement(self, batch: SettlementBatch) -> None:
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
        self.active.update(((row.user_id, row.order_id), row) for row in batch.active)
        for key in batch.closed:
            self.active.pop(key, None)
        self.history.update(((row.user_id, row.created_ms, row.order_id), row) for row in batch.history)
        self.updates.update(((row.source, row.sequence, row.part), row) for row in batch.updates)
        self.statistics.update(((row.user_id, row.shard), row) for row in batch.statistics)
        self._stand(batch.progress)

    def _stand(self, row: ProgressRow) -> None:
        self.progress[row.reader, row.topic, row.partition] = row

    def latest_ledger(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], LedgerRow]:
        """The newest ledger row of each balance that has one."""
        found: dict[tuple[int, str], LedgerRow] = {}
        for (user_id, asset, _), row in sorted(self.ledger.items()):
            if (user_id, asset) in keys:
                found[user_id, asset] = row
        return found

    def contents(self) -> list[tuple[str, list[Any]]]:
        """Every table but progress, by name, in the order of its keys."""
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


class Database:
    """The store's server. down_until: the loop time at which its outage ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults, tables: Tables) -> None:
        self.tables = tables
        self.down_until = 0.0
        self._loop = loop
        self._faults = faults

    def refuse_at_times(self) -> None:
        """Raises StoreUnavailable when there is an outage, begins one, or fails this once."""
        faults = self._faults
        if faults.strikes(faults.rates.store_outage):
            self.down_until = self._loop.time() + faults.dice.uniform(*_OUTAGE_MS) * MILLISECOND
        if faults.on and self._loop.time() < self.down_until:
            self._fail()
        self.fail_at_times()

    def fail_at_times(self) -> None:
        if self._faults.strikes(self._faults.rates.store_error):
            self._fail()

    def _fail(self) -> None:
        self._faults.counts.store_faults += 1
        raise StoreUnavailable("simulated: the store does not answer")


class SimulatedStore:
    """`ports.ProjectionStore` as one process sees the database."""

    def __init__(self, database: Database, process: Process, faults: Faults, step: Step) -> None:
        self._database = database
        self._process = process
        self._faults = faults
        self._step = step

    async def progress(self, reader: str, partition: TopicPartition) -> ProgressRow | None:
        await self._reach()
        return self._database.tables.progress.get((reader, *partition))

    async def balances(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], BalanceRow]:
        await self._reach()
        rows = self._database.tables.balances
        return {key: rows[key] for key in keys if key in rows}

    async def latest_ledger(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], LedgerRow]:
        await self._reach()
        return self._database.tables.latest_ledger(keys)

    async def statistics(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StatisticsRow]:
        await self._reach()
        rows = self._database.tables.statistics
        return {key: rows[key] for key in keys if key in rows}

    async def write_settlement(self, batch: SettlementBatch) -> None:
        await self._reach()
        self._database.tables.apply_settlement(batch)
        await self._answer()

    async def write_history(self, batch: HistoryBatch) -> None:
        await self._reach()
        self._database.tables.apply_history(batch)
        await self._answer()

    async def _reach(self) -> None:
        await self._work()
        self._database.refuse_at_times()

    async def _answer(self) -> None:
        """The effect is there; whether the caller learns it is another matter."""
        await self._work()
        self._database.fail_at_times()

    async def _work(self) -> None:
        self._process.require_alive()
        self._step(self._process)
        await asyncio.sleep(self._faults.delay_s(*_WORK_MS))
        self._process.require_alive()
