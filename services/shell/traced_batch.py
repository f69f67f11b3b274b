"""The spans of one batch of a core's shell: what was read is processed, and causes what is published."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.adapters.ports import Append, StoredFrame
from services.adapters.tracing.frame import TracedFrame
from services.adapters.tracing.headers import FrameTraces, decode_traces
from services.adapters.tracing.port import Span, Tracing
from services.domain.messages import decode_header
from services.domain.topics import TopicPartition
from services.shell.causes import Cause, cause_in, cause_out


class TracedBatch:
    """Made when frames were read. Then call `take` for each, `applied`, `appends`, and `published`, in this order."""

    def __init__(self, tracing: Tracing, partition: TopicPartition, traces: dict[int, FrameTraces]) -> None:
        """traces: of each frame that has any, by its offset."""
        self._tracing = tracing
        self._traces = traces
        self._spans: dict[str, Span] = {}
        self._causes: dict[Cause, str] = {}
        self._published: list[TracedFrame | None] = []
        for offset, frame in traces.items():
            contexts = list(frame.records.values())
            for context in dict.fromkeys(contexts):
                if context not in self._spans:
                    self._spans[context] = tracing.process(context, partition, offset, contexts.count(context))

    def take(self, offset: int, records: Sequence[Any]) -> None:
        """The records of a frame, which are about to be applied."""
        frame = self._traces.get(offset)
        if frame is not None:
            for index, context in frame.records.items():
                if 0 <= index < len(records):
                    self._causes[cause_in(records[index])] = self._spans[context].traceparent

    def cause_of(self, record: Any) -> str:
        """The context of what caused an output record; empty when that is not traced."""
        return self._causes.get(cause_out(record), "")

    def applied(self) -> None:
        """All frames were applied."""
        for span in self._spans.values():
            span.end()

    def appends(self, partition: TopicPartition, records: Sequence[Any], frames: Iterable[bytes]) -> list[Append]:
        """The frames that say `records`, with what caused them. Call `published` when they are written."""
        appends, at = [], 0
        for data in frames:
            said = records[at : at + len(decode_header(data).records)]
            at += len(said)
            parents = {index: self.cause_of(record) for index, record in enumerate(said)}
            parents = {index: parent for index, parent in parents.items() if parent}
            traced = TracedFrame(self._tracing, partition, len(said), parents) if parents else None
            self._published.append(traced)
            appends.append(Append(partition, data, () if traced is None else traced.headers))
        return appends

    def published(self, offsets: Sequence[int]) -> None:
        """All that `appends` gave is durable. offsets: in the same order."""
        for traced, offset in zip(self._published, offsets, strict=True):
            if traced is not None:
                traced.end(offset=offset)


def traced_batch(tracing: Tracing, partition: TopicPartition, frames: Sequence[StoredFrame]) -> TracedBatch | None:
    """None when nothing of these frames belongs to a sampled trace."""
    traces = {stored.offset: found for stored in frames if stored.headers and (found := decode_traces(stored.headers))}
    return TracedBatch(tracing, partition, traces) if traces else None
