"""Every way in which a write of order history can end in the middle, and the same events folded again after it."""

import pytest

from services.adapters.cql.writes import Write
from services.domain.orders import OrderStatus
from services.domain.rows import ProgressRow
from services.domain.topics import ENGINE_OUTPUTS
from services.order_history.projection import OrderHistory
from services.simulation.tables import Tables
from tests.support.streams import match_result, update
from tests.support.torn import Fold, check_late_writer, check_torn_batch

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


class HistoryFold(Fold):
    """One run of order history, from the first result on."""

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        self._history = OrderHistory(0)
        self._next = 0

    def phases_until(self, end: int) -> list[list[Write]]:
        self._history.add("matcher-0", self._next + 1, RESULTS[self._next : end])
        self._next = end
        stored = {key: row for key in self._history.unknown() if (row := self.tables.statistics.get(key)) is not None}
        progress = ProgressRow("order_history", ENGINE_OUTPUTS, 0, end, {"matcher-0": end})
        return self.tables.history_phases(self._history.finish(stored, progress))


@pytest.mark.parametrize("torn_end", range(1, END + 1))
def test_batch_torn_anywhere_and_folded_again_in_other_batches_gives_the_same_rows(torn_end: int) -> None:
    check_torn_batch(HistoryFold, torn_end, END)


@pytest.mark.parametrize("late_end", range(1, END + 1))
def test_writer_that_was_taken_for_dead_and_goes_on_changes_nothing(late_end: int) -> None:
    check_late_writer(HistoryFold, late_end, END)
