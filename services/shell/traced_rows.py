"""The spans of one batch of a projection's shell: frames that were read, and the write of what they became."""

from collections.abc import Awaitable, Callable

from services.adapters.frame_traces import decode_traces
from services.adapters.ports import HistoryBatch, SettlementBatch, StoredFrame
from services.adapters.tracing_port import Span, Tracing
from services.domain.errors import StoreUnavailable
from services.domain.topics import TopicPartition


class TracedRows:
    """Of what belongs to sampled traces: from `take` to `written`, through as many tries to write as it needs."""

    def __init__(self, tracing: Tracing, partition: TopicPartition) -> None:
        self._tracing = tracing
        self._partition = partition
        self._spans: dict[str, Span] = {}

    def take(self, stored: StoredFrame) -> None:
        """A frame that was never seen before is being folded."""
        traces = decode_traces(stored.headers)
        contexts = [] if traces is None else list(traces.records.values())
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

    def written(self) -> None:
        """The batch is in the store."""
        for span in self._spans.values():
            span.end()
