"""What settlement wrote is read back: a row that is not the event's stops it, and nothing else does."""

import asyncio
from typing import Any

import msgspec
import pytest

from services.adapters.ports import SettlementBatch
from services.domain.errors import InvariantError
from services.domain.rows import BalanceRow, LedgerRow, ProgressRow
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.settlement.postings import Postings
from services.settlement.reconciliation import (
    LOOK_SECONDS,
    LOOKS,
    PAUSE_SECONDS,
    SAMPLE,
    Reconciliation,
    Sample,
    Verdict,
    judge,
    samples_of,
)
from services.settlement.service import settlement_shell
from tests.support.aio import run_async
from tests.support.clock import ManualClock, settle
from tests.support.memory_log import MemoryLog
from tests.support.memory_store import MemoryStore
from tests.support.streams import Balances

P = TopicPartition(BALANCE_EVENTS, 0)
KEY = (1_001, "BTC")
BALANCE = BalanceRow(*KEY, 70, 30, 4, 1_000)
LEDGER = LedgerRow(*KEY, 4, "Reserve", -30, 30, 70, 30, "order:9", "reserve_1001_BTC_4", 1_000)


def changed(row: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(row, **fields)


def batch_of(events: list[Any], number: int = 1) -> SettlementBatch:
    postings = Postings()
    postings.add("ubscore-0", 1, events)
    return postings.finish({}, ProgressRow("settlement", *P, number, {}))


@pytest.mark.parametrize(
    ("balance", "ledger", "expected"),
    [
        (BALANCE, LEDGER, Verdict.EQUAL),
        (changed(BALANCE, version=5, available=1), changed(LEDGER, seq=5, available=1), Verdict.NEWER),
        (changed(BALANCE, version=5), LEDGER, Verdict.NEWER),
        (BALANCE, changed(LEDGER, seq=5), Verdict.NEWER),
        (None, LEDGER, Verdict.OLDER),
        (BALANCE, None, Verdict.OLDER),
        (changed(BALANCE, version=3), LEDGER, Verdict.OLDER),
        (BALANCE, changed(LEDGER, seq=3), Verdict.OLDER),
        (changed(BALANCE, available=71), LEDGER, Verdict.DIFFERENT),
        (changed(BALANCE, time_ms=1_001), LEDGER, Verdict.DIFFERENT),
        (BALANCE, changed(LEDGER, reserved=31), Verdict.DIFFERENT),
        (BALANCE, changed(LEDGER, reference="order:8"), Verdict.DIFFERENT),
        (changed(BALANCE, version=5), changed(LEDGER, reserved=31), Verdict.DIFFERENT),
    ],
)
def test_judge_rows_beside_an_events_says_what_they_are(
    balance: BalanceRow | None, ledger: LedgerRow | None, expected: Verdict
):
    assert judge(Sample(BALANCE, LEDGER), balance, ledger) is expected


def test_samples_large_batch_are_few_and_others_at_each_turn():
    balances = Balances()
    batch = batch_of([balances.deposit(user_id) for user_id in range(1, 201) for _ in range(2)])
    seen: set[Any] = set()
    for turn in range(20):
        samples = samples_of(batch, turn)
        assert len(samples) <= SAMPLE
        for key, (balance, ledger) in samples.items():
            assert key == (balance.user_id, balance.asset_id) == (ledger.user_id, ledger.asset_id)
            assert balance.version == ledger.seq == 2
        seen |= set(samples)
    assert len(seen) == 200


class _Miscounting(MemoryStore):
    """Has one more available of everything than was written."""

    async def balances(self, keys: Any) -> Any:
        rows = await super().balances(keys)
        return {key: changed(row, available=row.available + 1) for key, row in rows.items()}


class _Settled:
    """Settlement of one account in a store that a test may spoil, by a clock that it moves."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.log, self.store, self.clock, self.balances = MemoryLog(), store or MemoryStore(), ManualClock(), Balances()
        self.reconciliation = Reconciliation(self.store, self.clock)
        shell = settlement_shell(0, self.log, self.store, self.clock, reconciliation=self.reconciliation)
        self.shell, self.task = shell, asyncio.create_task(shell.run())
        self._said = 0

    async def deposit(self) -> None:
        self._said += 1
        await self.log.say(P, "ubscore-0", self._said, [self.balances.deposit()])
        await settle()

    async def stop(self) -> None:
        self.shell.stop()
        await self.task


@run_async
async def test_rows_as_written_are_checked_a_few_times_a_second():
    settled = _Settled()
    for number in range(1, 6):
        await settled.deposit()
        assert settled.reconciliation.checked == number
        await settled.clock.advance(PAUSE_SECONDS)
    assert settled.reconciliation.last_checked_ms == settled.clock.time_ms() - round(PAUSE_SECONDS * 1000)
    await settled.deposit()
    await settled.clock.advance(0.05)
    await settled.deposit()
    assert settled.reconciliation.checked == 6, "the next comparison comes after the pause"
    await settled.stop()


@run_async
async def test_balance_that_differs_stops_settlement_with_both_values():
    settled = _Settled(_Miscounting())
    await settled.deposit()
    with pytest.raises(
        InvariantError,
        match=r"user 1001, asset BTC: the event said version 1 \(available 1000, reserved 0\), "
        r"the store has version 1 \(available 1001, reserved 0\), and the ledger entry version 1 \(available 1000",
    ):
        await asyncio.wait_for(settled.task, 5)
    assert settled.shell.state.startswith("stopped: user 1001")


@run_async
async def test_rows_that_appear_late_are_waited_for():
    """As a view that follows its table."""
    clock, store, batch = ManualClock(), MemoryStore(), batch_of([Balances().deposit()])
    reconciliation = Reconciliation(store, clock)
    running = asyncio.create_task(reconciliation.run())
    reconciliation.written(batch)
    await clock.advance((LOOKS - 2) * LOOK_SECONDS)
    assert not running.done()
    await store.write_settlement(batch)
    await clock.advance(LOOK_SECONDS)
    assert (reconciliation.checked, running.done()) == (1, False)
    running.cancel()


@run_async
async def test_rows_that_stay_away_are_a_mismatch():
    clock = ManualClock()
    reconciliation = Reconciliation(MemoryStore(), clock)
    running = asyncio.create_task(reconciliation.run())
    reconciliation.written(batch_of([Balances().deposit()]))
    await clock.advance(LOOKS * LOOK_SECONDS)
    with pytest.raises(InvariantError, match="the store has no balance, and no ledger entry"):
        await asyncio.wait_for(running, 5)


@run_async
async def test_store_that_does_not_answer_is_no_mismatch():
    clock, store, batch = ManualClock(), MemoryStore(), batch_of([Balances().deposit()])
    await store.write_settlement(batch)
    reconciliation = Reconciliation(store, clock)
    running = asyncio.create_task(reconciliation.run())
    store.faults.extend(["before"] * 3 * LOOKS)
    reconciliation.written(batch)
    await clock.advance(2 * LOOKS * LOOK_SECONDS)
    assert (reconciliation.checked, reconciliation.last_checked_ms, running.done()) == (0, 0, False)
    store.faults.clear()
    await clock.advance(LOOK_SECONDS)
    assert (reconciliation.checked, running.done()) == (1, False)
    running.cancel()


@run_async
async def test_own_later_write_before_the_look_is_no_mismatch():
    clock, store, balances = ManualClock(), MemoryStore(), Balances()
    first = balances.deposit()
    batch, later = batch_of([first]), batch_of([first, balances.deposit()], 2)
    await store.write_settlement(later)
    reconciliation = Reconciliation(store, clock)
    running = asyncio.create_task(reconciliation.run())
    reconciliation.written(batch)
    await clock.advance(PAUSE_SECONDS)
    assert (reconciliation.checked, reconciliation.overtaken, running.done()) == (0, 1, False)
    running.cancel()
