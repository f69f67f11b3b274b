"""What is counted of every batch that a projection has written."""

from collections import Counter
from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from services.adapters import metrics_catalogue as catalogue
from services.adapters.core_meter import observe_ages
from services.adapters.metrics import Labels, Metrics, Samples
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.rows import ProgressRow

_TIME_MS: Final = attrgetter("time_ms")
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
        self._written(batch.progress, rows, map(_TIME_MS, batch.ledger))

    def history_written(self, batch: HistoryBatch) -> None:
        """A batch is in the store."""
        events = self._metrics.tally(catalogue.ORDER_EVENTS)
        for status, number in Counter(map(_STATUS, batch.updates)).items():
            events.add((status.name,), number)
        rows = sum(len(rows) for rows in batch[:-1])
        self._written(batch.progress, rows, map(_TIME_MS, batch.updates))

    def _written(self, progress: ProgressRow, rows: int, times_ms: Iterable[int]) -> None:
        self._rows.of(progress.reader).observe(rows)
        newest_ms = observe_ages(self._freshness.of(progress.reader, progress.topic), times_ms)
        if newest_ms:
            place = (progress.reader, progress.topic, str(progress.partition))
            self._newest_ms[place] = max(newest_ms, self._newest_ms.get(place, 0))

    def _newest(self) -> Samples:
        return [(place, time_ms / 1000) for place, time_ms in self._newest_ms.items()]
