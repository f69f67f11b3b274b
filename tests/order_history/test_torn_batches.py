"""Every way in which a write of order history can end in the middle, and the same events folded again after it."""

import pytest

from services.adapters.ports import HistoryBatch
from services.domain.orders import OrderStatus
from services.domain.rows import ProgressRow
from services.domain.topics import ENGINE_OUTPUTS
from services.order_history.projection import OrderHistory
from services.simulation.tables import Tables
from tests.support.streams import match_result, update

New, PartiallyFilled, Filled = OrderStatus.New, OrderStatus.PartiallyFilled, OrderStatus.Filled

RESULTS = [
    match_result(1, [update(New, 1, 1001)]),
    match_result(2, [update(New, 2, 1002), update(PartiallyFilled, 1, 1001), update(Filled, 2, 1002)]),
    match_result(3, [update(OrderStatus.Rejected, 3, 1001)]),
    match_result(4, [update(New, 4, 1001)]),
    match_result(5, [update(OrderStatus.Cancelled, 1, 1001)]),
    match_result(6, [update(New, 5, 1002)]),
]
END = len(RESULTS)


class Fold:
    """One run of order history, from the first result on."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._history = OrderHistory(0)
        self._next = 0

    def batch_until(self, end: int) -> HistoryBatch:
        self._history.add("matcher-0", self._next + 1, RESULTS[self._next : end])
        self._next = end
        stored = {key: row for key in self._history.unknown() if (row := self._tables.statistics.get(key)) is not None}
        progress = ProgressRow("order_history", ENGINE_OUTPUTS, 0, end, {"matcher-0": end})
        return self._history.finish(stored, progress)

    def write_until(self, end: int, most: int | None = None) -> int:
        """Write the next batch, or its first `most` writes; returns how many writes it has."""
        writes = [write for phase in self._tables.history_phases(self.batch_until(end)) for write in phase]
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
        for phase in tables.history_phases(batch):
            for write in phase:
                tables.land(write)
        living.write_until(END)
        dead.write_until(END)
        assert tables.contents() == wanted.contents(), (late_end, limit)
        assert tables.progress == wanted.progress
