"""A simulated store, in some worlds with transactions and in some without, and often without an answer.

With transactions a batch is there whole or not at all, and its writer may not know. Without them it is the single
writes of `adapters.cql.writes`: those of a phase land one by one in any order, and between any two of them the process,
the store or the way to it may die. What was on its way then is lost, or lands late; so does what a process that was
taken for dead goes on to write; and any write may land once more at any time.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.cql.writes import Write
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.errors import StoreUnavailable
from services.domain.rows import BalanceRow, LedgerRow, ProgressRow, StatisticsRow
from services.domain.topics import TopicPartition
from services.simulation.faults import MILLISECOND, Faults
from services.simulation.process import Process, outside
from services.simulation.tables import Tables as Tables

_WORK_MS: Final = (0.2, 3.0)
_OUTAGE_MS: Final = (50.0, 3_000.0)
_LATE_MS: Final = (1.0, 400.0)
_TRANSACTIONAL: Final = 0.3
"""Of worlds."""
_PARTS: Final = 4
"""A phase lands in at most this many moments."""

Step = Callable[[Process], None]


class _Sending:
    """The writes of a phase on their way. left_until_cut: how many more land before something dies."""

    def __init__(self, process: Process, writes: list[Write], cut: int, done: "asyncio.Future[None]") -> None:
        self.process = process
        self.left = writes
        self.left_until_cut = cut
        self.done = done


class Database:
    """The store's server. down_until: the loop time at which its outage ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults, tables: Tables) -> None:
        self.tables = tables
        self.transactional = faults.dice.random() < _TRANSACTIONAL
        self.down_until = 0.0
        self._loop = loop
        self._faults = faults

    def send(self, process: Process, phase: Sequence[Write]) -> "asyncio.Future[None]":
        """Start the writes of a phase; its future ends when all have landed, or with StoreUnavailable."""
        faults, dice = self._faults, self._faults.dice
        writes = dice.sample(phase, len(phase))
        cut = dice.randint(0, len(writes)) if faults.strikes(faults.rates.torn_batch) else len(writes) + 1
        sending = _Sending(process, writes, cut, self._loop.create_future())
        ends = sorted({dice.randint(0, len(writes)) for _ in range(_PARTS - 1)} | {len(writes)})
        delay_s = 0.0
        for first, end in zip([0, *ends], ends, strict=False):
            delay_s += faults.delay_s(*_WORK_MS) / _PARTS
            self._later(delay_s, self._arrive, sending, end - first)
        return sending.done

    def _arrive(self, sending: _Sending, count: int) -> None:
        """The next `count` writes land, if nothing has died by now."""
        for _ in range(count):
            if not sending.process.alive or sending.left_until_cut == 0 or self.is_down:
                self._cut(sending)
                return
            sending.left_until_cut -= 1
            write = sending.left.pop()
            self.tables.land(write)
            self._delay_at_times(write, self._faults.rates.duplicate)
        if not sending.left and not sending.done.done():
            sending.done.set_result(None)

    def _cut(self, sending: _Sending) -> None:
        """Of what is left, each write is lost or lands some time; its sender is told that it cannot know."""
        faults = self._faults
        if sending.left:
            faults.counts.torn_batches += 1
            for write in sending.left:
                self._delay_at_times(write, faults.rates.late_write)
            sending.left.clear()
            if faults.strikes(faults.rates.store_outage_after_cut):
                self._break_down()
        if not sending.done.done():
            faults.counts.store_faults += 1
            sending.done.set_exception(StoreUnavailable("simulated: the store died in the middle of a batch"))

    def haunt(self, phases: Sequence[Sequence[Write]]) -> None:
        """At times, have a process that was killed before these phases write them nevertheless, and later."""
        faults = self._faults
        if faults.strikes(faults.rates.late_write):
            delay_s = 0.0
            for phase in phases:
                delay_s += faults.dice.uniform(*_LATE_MS) * MILLISECOND
                for write in phase:
                    self._delay(write, delay_s)

    def _delay_at_times(self, write: Write, rate: float) -> None:
        if self._faults.strikes(rate):
            self._delay(write, self._faults.dice.uniform(*_LATE_MS) * MILLISECOND)

    def _delay(self, write: Write, delay_s: float) -> None:
        self._faults.counts.late_writes += 1
        self.tables.late.append(write)
        self._later(delay_s, self.tables.land_late, write)

    def _later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        self._loop.call_later(delay_s, callback, *args, context=outside())

    @property
    def is_down(self) -> bool:
        return self._faults.on and self._loop.time() < self.down_until

    def _break_down(self) -> None:
        self.down_until = self._loop.time() + self._faults.dice.uniform(*_OUTAGE_MS) * MILLISECOND

    def refuse_at_times(self) -> None:
        """Raises StoreUnavailable when there is an outage, begins one, or fails this once."""
        faults = self._faults
        if faults.strikes(faults.rates.store_outage):
            self._break_down()
        if self.is_down:
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
        tables = self._database.tables
        if self._database.transactional:
            await self._reach()
            tables.apply_settlement(batch)
        else:
            await self._send(tables.settlement_phases(batch))
        await self._answer()

    async def write_history(self, batch: HistoryBatch) -> None:
        tables = self._database.tables
        if self._database.transactional:
            await self._reach()
            tables.apply_history(batch)
        else:
            await self._send(tables.history_phases(batch))
        await self._answer()

    async def _send(self, phases: Sequence[Sequence[Write]]) -> None:
        """Every phase after the one before was acknowledged."""
        acknowledged = 0
        try:
            for phase in phases:
                await self._reach()
                await self._database.send(self._process, phase)
                acknowledged += 1
        except asyncio.CancelledError:
            self._database.haunt(phases[acknowledged:])
            raise

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
