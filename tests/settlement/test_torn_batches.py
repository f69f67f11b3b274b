"""Every way in which a write of settlement can end in the middle, and the same events folded again after it."""

import pytest

from services.adapters.cql.writes import Write
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS
from services.settlement.postings import Postings
from services.simulation.tables import Tables
from tests.support.streams import Balances
from tests.support.torn import Fold, check_late_writer, check_torn_batch

_BALANCES = Balances()
EVENTS = [
    _BALANCES.deposit(1001, "USDT"),
    _BALANCES.deposit(1002, "BTC"),
    _BALANCES.accept(1001, "USDT"),
    _BALANCES.trade(buyer=1001, seller=1002),
    _BALANCES.close(1001, "USDT"),
]
END = len(EVENTS)


class SettlementFold(Fold):
    """One run of settlement, from the first event on."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._postings = Postings()
        self._next = 0

    def phases_until(self, end: int) -> list[list[Write]]:
        self._postings.add("ubscore-0", self._next + 1, EVENTS[self._next : end])
        self._next = end
        rows = self.tables.balances
        stored = {key: rows[key].version for key in self._postings.unknown() if key in rows}
        progress = ProgressRow("settlement", BALANCE_EVENTS, 0, end, {"ubscore-0": end})
        return self.tables.settlement_phases(self._postings.finish(stored, progress))


@pytest.mark.parametrize("torn_end", range(1, END + 1))
def test_batch_torn_anywhere_and_folded_again_in_other_batches_gives_the_same_rows(torn_end: int) -> None:
    check_torn_batch(SettlementFold, torn_end, END)


@pytest.mark.parametrize("late_end", range(1, END + 1))
def test_writer_that_was_taken_for_dead_and_goes_on_changes_nothing(late_end: int) -> None:
    check_late_writer(SettlementFold, late_end, END)
