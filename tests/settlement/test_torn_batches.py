"""Every way in which a write of settlement can end in the middle, and the same events folded again after it."""

import pytest

from services.adapters.ports import SettlementBatch
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS
from services.settlement.postings import Postings
from services.simulation.tables import Tables
from tests.support.streams import Balances

_BALANCES = Balances()
EVENTS = [
    _BALANCES.deposit(1001, "USDT"),
    _BALANCES.deposit(1002, "BTC"),
    _BALANCES.accept(1001, "USDT"),
    _BALANCES.trade(buyer=1001, seller=1002),
    _BALANCES.close(1001, "USDT"),
]
END = len(EVENTS)


class Fold:
    """One run of settlement, from the first event on."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._postings = Postings()
        self._next = 0

    def batch_until(self, end: int) -> SettlementBatch:
        self._postings.add("ubscore-0", self._next + 1, EVENTS[self._next : end])
        self._next = end
        rows = self._tables.balances
        stored = {key: rows[key].version for key in self._postings.unknown() if key in rows}
        progress = ProgressRow("settlement", BALANCE_EVENTS, 0, end, {"ubscore-0": end})
        return self._postings.finish(stored, progress)

    def write_until(self, end: int, most: int | None = None) -> int:
        """Write the next batch, or its first `most` writes; returns how many writes it has."""
        writes = [write for phase in self._tables.settlement_phases(self.batch_until(end)) for write in phase]
        for write in writes[:most]:
            self._tables.land(write)
        return len(writes)


def undisturbed() -> Tables:
    tables = Tables()
    Fold(tables).write_until(END)
    return tables


@pytest.mark.parametrize("torn_end", range(1, END + 1))
def test_batch_torn_anywhere_and_folded_again_in_other_batches_gives_the_same_rows(torn_end: int) -> None:
    wanted = undisturbed()
    for most in range(Fold(Tables()).write_until(torn_end) + 1):
        for limit in range(END + 1):
            tables = Tables()
            Fold(tables).write_until(torn_end, most)
            again = Fold(tables)
            if limit:
                again.write_until(limit)
            again.write_until(END)
            assert tables.contents() == wanted.contents(), (torn_end, most, limit)
            assert tables.progress == wanted.progress


@pytest.mark.parametrize("late_end", range(1, END + 1))
def test_writer_that_was_taken_for_dead_and_goes_on_changes_nothing(late_end: int) -> None:
    wanted = undisturbed()
    for limit in range(END):
        tables = Tables()
        dead = Fold(tables)
        batch = dead.batch_until(late_end)
        living = Fold(tables)
        if limit:
            living.write_until(limit)
        for phase in tables.settlement_phases(batch):
            for write in phase:
                tables.land(write)
        living.write_until(END)
        dead.write_until(END)
        assert tables.contents() == wanted.contents(), (late_end, limit)
        assert tables.progress == wanted.progress
