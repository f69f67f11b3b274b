"""What the gateway and the shells ask of tracing. `adapters.tracing.otlp` answers; where nobody traces there is None.

A context is a W3C traceparent (see `headers.py`). Spans of records whose trace is not sampled are never made, so the
contexts on the log are those of sampled traces.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.topics import TopicPartition


class Span(Protocol):
    """Something that takes time, until it ends."""

    @property
    def traceparent(self) -> str:
        """Its context, for what it causes."""

    def end(self, failure: str = "", offset: int = -1) -> None:
        """It is over. failure: what went wrong. offset: where the frame is on the log, once that is known."""


class RequestSpan(Protocol):
    """A request that is being answered. It is told of its answer whether its trace is sampled or not."""

    @property
    def traceparent(self) -> str: ...

    @property
    def is_sampled(self) -> bool: ...

    @property
    def is_over(self) -> bool:
        """Whether it was answered; who goes on then no longer does it for this request."""

    def reached(self, stage: str) -> None:
        """What it waited for is there."""

    def called(self, name: str, seconds: float, error: str = "", core: str = "") -> None:
        """A read for it is over. name: the store's method, or the core's path. core: empty for the store.

        error: the name of what it raised.
        """

    def end(self, method: str, route: str, status: int) -> None:
        """It was answered. route: as the API's description has it; empty when there is none. status: 0 for no answer.

        What is not sampled is exported all the same when it failed, or took too long.
        """


class Tracing(Protocol):
    """The spans of one service."""

    def request(self, path: str, incoming: str) -> RequestSpan | None:
        """A request begins; None when nobody wants to see such ones. incoming: its traceparent header, or empty."""

    def publish(self, parent: str, partition: TopicPartition, records: int, since_ns: int = 0) -> Span:
        """Records that have one cause are being written. since_ns: when they wanted to be; 0: now."""

    def send(self, partition: TopicPartition, records: int, contexts: Sequence[str]) -> Span:
        """A frame is being written. contexts: of what is published in it."""

    def process(self, parent: str, partition: TopicPartition, offset: int, records: int) -> Span:
        """Records that have one cause are being worked on."""

    def write(self, parent: str, batch: SettlementBatch | HistoryBatch, contexts: Sequence[str]) -> Span:
        """A batch of rows is being written. contexts: of all that is written in it. parent: empty for none of them."""


CURRENT_REQUEST: Final[ContextVar[RequestSpan | None]] = ContextVar("current_request", default=None)
"""The request on whose behalf the code at hand runs."""
CURRENT_CAUSES: Final[ContextVar[Callable[[Any], str] | None]] = ContextVar("current_causes", default=None)
"""While a core's outputs are told to others: the context of what caused a record, empty when it is not traced."""
