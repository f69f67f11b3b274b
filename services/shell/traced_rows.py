"""The spans of one batch of a projection's shell: frames that were read, and the write of what they became."""

from collections.abc import Awaitable, Callable
from typing import Any

from services.adapters.ports import HistoryBatch, SettlementBatch, StoredFrame
from services.adapters.tracing.headers import decode_traces
from services.adapters.tracing.port import Span, Tracing
from services.domain.errors import StoreUnavailable
from services.domain.messages import Frame, MatchResult, OrderAccepted, OrderClosed, TradeSettled, TransferCompleted
from services.domain.rows import LedgerRow, OrderUpdateRow
from services.domain.topics import TopicPartition

RowName = str | tuple[str, int]
"""A ledger row's event id, or an order update's source and sequence."""


class TracedRows:
    """Of what belongs to sampled traces: from `take` to `written`, through as many tries to write as it needs."""

    def __init__(self, tracing: Tracing, partition: TopicPartition) -> None:
        self._tracing = tracing
        self._partition = partition
        self._spans: dict[str, Span] = {}
        self._causes: dict[RowName, str] = {}

    def take(self, stored: StoredFrame, frame: Frame[Any]) -> None:
        """A frame that was never seen before is being folded."""
        traces = decode_traces(stored.headers)
        if traces is None:
            return
        for index, context in traces.records.items():
            if 0 <= index < len(frame.records):
                self._causes.update(dict.fromkeys(_names(frame, index), context))
        contexts = list(traces.records.values())
        for context in dict.fromkeys(contexts):
            count = contexts.count(context)
            self._spans[context] = self._tracing.process(context, self._partition, stored.offset, count)

    async def write(self, batch: SettlementBatch | HistoryBatch, write: Callable[[], Awaitable[None]]) -> None:
        """One try. That it failed is told also when nothing in the batch is traced."""
        contexts = [span.traceparent for span in self._spans.values()]
        spans = [self._tracing.write(context, batch, contexts) for context in contexts]
        try:
            await write()
        except StoreUnavailable as error:
            for span in spans or [self._tracing.write("", batch, ())]:
                span.end(f"{type(error).__name__}: {error}")
            raise
        for span in spans:
            span.end()

    def cause_of(self, row: LedgerRow | OrderUpdateRow) -> str:
        """The context of what caused a row; empty when that is not traced."""
        name = row.event_id if isinstance(row, LedgerRow) else (row.source, row.sequence)
        return self._causes.get(name, "")

    def written(self) -> None:
        """The batch is in the store."""
        for span in self._spans.values():
            span.end()


def _names(frame: Frame[Any], index: int) -> list[RowName]:
    """Of the rows that a record becomes. What the projection does not need may be closed, and becomes none."""
    record = frame.records[index]
    if isinstance(record, TradeSettled):
        return [change.event_id for change in record.changes]
    if isinstance(record, OrderAccepted | OrderClosed | TransferCompleted):
        return [] if record.change is None else [record.change.event_id]
    sequence = record.sequence if isinstance(record, MatchResult) else frame.first_sequence + index
    return [(frame.source, sequence)]
