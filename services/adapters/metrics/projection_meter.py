"""What is counted of every batch that a projection has written."""

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter, index
from typing import Any, Final

from services.adapters.metrics import catalogue
from services.adapters.metrics.core_meter import observe_ages
from services.adapters.metrics.prometheus import Labels, Metrics, Samples
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.orders import OrderStatus
from services.domain.rows import ProgressRow

_STATUS: Final = attrgetter("status")


class ProjectionMeter:
    """The numbers of all projections of a process; its methods are for ProjectionShell.on_written."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._newest_ms: dict[Labels, int] = {}
        self._freshness = metrics.distributions(catalogue.FRESHNESS)
        self._rows = metrics.distributions(catalogue.PROJECTION_BATCH_ROWS)
        metrics.watch_all(catalogue.NEWEST_STORED, self._newest)

    def settlement_written(self, batch: SettlementBatch) -> None:
        """A batch is in the store."""
        rows = len(batch.trades) + len(batch.balances) + len(batch.ledger)
        self._written(batch.progress, rows, batch.ledger)

    def history_written(self, batch: HistoryBatch) -> None:
        """A batch is in the store."""
        events = self._metrics.tally(catalogue.ORDER_EVENTS)
        # Of numbers, since hashing an enum is slow.
        for status, number in Counter(map(index, map(_STATUS, batch.updates))).items():
            events.add((OrderStatus(status).name,), number)
        rows = sum(len(rows) for rows in batch[:-1])
        self._written(batch.progress, rows, batch.updates)

    def _written(self, progress: ProgressRow, rows: int, stamped: Sequence[Any]) -> None:
        self._rows.of(progress.reader).observe(rows)
        newest_ms = observe_ages(self._freshness.of(progress.reader, progress.topic), stamped)
        if newest_ms:
            place = (progress.reader, progress.topic, str(progress.partition))
            self._newest_ms[place] = max(newest_ms, self._newest_ms.get(place, 0))

    def _newest(self) -> Samples:
        return [(place, time_ms / 1000) for place, time_ms in self._newest_ms.items()]
