"""The spans of one frame that is being written: who caused its records travels in its headers."""

from collections.abc import Mapping

from services.adapters.tracing.headers import FrameTraces, encode_traces
from services.adapters.tracing.port import Tracing
from services.domain.topics import TopicPartition


class TracedFrame:
    """A frame of `records` records. parents: by index, the context of what caused a record; not empty.

    Records with one cause share a span. since_ns: by cause, when its records wanted to be written.
    """

    def __init__(
        self,
        tracing: Tracing,
        partition: TopicPartition,
        records: int,
        parents: Mapping[int, str],
        since_ns: Mapping[str, int] | None = None,
    ) -> None:
        indices: dict[str, list[int]] = {}
        for index, parent in parents.items():
            indices.setdefault(parent, []).append(index)
        since = since_ns or {}
        self._spans = {
            parent: tracing.publish(parent, partition, len(at), since.get(parent, 0)) for parent, at in indices.items()
        }
        self._frame = tracing.send(partition, records, [span.traceparent for span in self._spans.values()])
        contexts = {index: self._spans[parent].traceparent for index, parent in parents.items()}
        self.headers = encode_traces(FrameTraces(self._frame.traceparent, contexts))

    def end(self, failure: str = "", offset: int = -1) -> None:
        """It is durable at `offset`, or that failed."""
        for span in (*self._spans.values(), self._frame):
            span.end(failure, offset)
