"""Traces, over OTLP. The only module that knows OpenTelemetry; it is imported only when traces are wanted.

Whether a trace is sampled is decided once, at the gateway: as the caller decided it, as long as callers do not want too
many, else by a ratio of trace ids. What follows records only what belongs to a sampled trace. Spans are sent by a
thread of the SDK, in batches; when nobody takes them they are dropped, and nothing waits.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.adapters.tracing.headers import is_sampled, is_traceparent
from services.adapters.tracing.tables import BatchTables, store_read, tables_of
from services.domain.topics import TopicPartition

Protocol = Literal["grpc", "http"]
Attributes = Mapping[str, str | int | bool]

EXPORT_TIMEOUT_SECONDS: Final = 3.0
EXPORT_EVERY_MS: Final = 1_000
MAX_QUEUED_SPANS: Final = 8_192
MAX_LINKS: Final = 64
"""Of one span: what one batch has in common with others is seen from a few of them."""
MAX_CALLS: Final = 64
"""Of one request that are told of: it may read page after page."""
_HTTP_PATH: Final = "/v1/traces"
_UNSEEN: Final = ("/health", "/metrics")
"""Asked every few seconds, and of no interest."""
_NO_PARENT: Final = Context()


class TracingSettings(NamedTuple):
    """endpoint: URL of whatever takes OTLP, without a path. sample_ratio: of new traces, from 0 to 1.

    slow_s: a request that took at least that long is exported, also when its trace is not sampled.
    forced_per_second: how many requests are sampled because their senders say so.
    """

    endpoint: str
    protocol: Protocol = "grpc"
    sample_ratio: float = 0.01
    slow_s: float = 0.25
    forced_per_second: int = 10


class Medium(NamedTuple):
    """What the spans say of log and database. log: messaging.system. database: db.system.name. namespace: its name."""

    log: str
    database: str
    namespace: str


class Tracer:
    """The spans of one process, on their way out.

    on_trouble: told in a sentence when nobody takes the spans, and when somebody does again; from a thread.
    """

    def __init__(self, settings: TracingSettings, version: str, on_trouble: Callable[[str], None]) -> None:
        self._settings = settings
        self._version = version
        # It complains about every try; we say once what is the matter.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._exporter = _WatchedExporter(_make_exporter(settings), settings.endpoint, on_trouble)
        self._processor = _WatchedProcessor(self._exporter)
        self._forced = _Forced(settings.forced_per_second)

    @property
    def exported_spans(self) -> int:
        """Spans that somebody took."""
        return self._exporter.exported

    @property
    def lost_spans(self) -> int:
        """Spans that nobody took."""
        return self._exporter.lost

    @property
    def crowded_out_spans(self) -> int:
        """Spans that were never sent, because too many waited."""
        return self._processor.crowded_out

    @property
    def over_limit_requests(self) -> int:
        """Requests whose senders wanted a trace, and that were left to the ratio."""
        return self._forced.refused

    def service(self, name: str, member: int, medium: Medium) -> "ServiceTracing":
        """The spans of one service; several may be in one process. member: its shard, or number among its kind."""
        resource = Resource.create(
            {
                "service.name": name,
                "service.namespace": "exchange",
                "service.instance.id": f"{name}-{member}",
                "service.version": self._version,
            }
        )
        ids = _Ids()
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=ids)
        provider.add_span_processor(self._processor)
        tracer = provider.get_tracer("exchange", self._version)
        return ServiceTracing(tracer, ids, medium, self._settings, self._forced)

    def flush(self) -> None:
        """Send what has ended. Blocking; not for the event loop."""
        self._processor.force_flush()

    def close(self) -> None:
        """Send what has ended, if somebody takes it. Blocking, for some seconds at most; not for the event loop."""
        self._exporter.closing = True
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK forgot it


class _Ids(RandomIdGenerator):
    """Ids for new traces, which are known before their first span is made."""

    def __init__(self) -> None:
        self.next_trace_id = 0

    def generate_trace_id(self) -> int:
        given, self.next_trace_id = self.next_trace_id, 0
        return given or super().generate_trace_id()


class _WatchedExporter(SpanExporter):
    """Counts, says when spans are lost, and gives up soon when the process ends."""

    def __init__(self, exporter: SpanExporter, endpoint: str, on_trouble: Callable[[str], None]) -> None:
        self.begun = 0
        """Spans that were given to it."""
        self.exported = 0
        self.lost = 0
        self.closing = False
        self._exporter = exporter
        self._endpoint = endpoint
        self._on_trouble = on_trouble
        self._in_trouble = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.begun += len(spans)
        if self.closing and self._in_trouble:
            self.lost += len(spans)
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        taken = result is SpanExportResult.SUCCESS
        if taken:
            self.exported += len(spans)
        else:
            self.lost += len(spans)
        if taken == self._in_trouble:
            self._in_trouble = not taken
            self._on_trouble(
                f"{self._endpoint} takes spans again; {self.lost} were lost"
                if taken
                else f"{self._endpoint} takes no spans: they are lost until it does"
            )
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _WatchedProcessor(BatchSpanProcessor):
    """Counts the spans that its queue has no room for. Each new one drives out the oldest.

    Spans end on the event loop, and the exporter is called on one thread: so each number has one writer.
    """

    def __init__(self, exporter: _WatchedExporter) -> None:
        super().__init__(exporter, max_queue_size=MAX_QUEUED_SPANS, schedule_delay_millis=EXPORT_EVERY_MS)
        self.crowded_out = 0
        self._watched = exporter
        self._ended = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self._ended - self.crowded_out - self._watched.begun >= MAX_QUEUED_SPANS:
            self.crowded_out += 1
        self._ended += 1
        super().on_end(span)


class _Forced:
    """How many requests may be sampled because their senders say so: a second's number at once, and then that rate."""

    def __init__(self, per_second: int) -> None:
        self.refused = 0
        self._per_second = per_second
        self._left = float(per_second)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more may be."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True


def _make_exporter(settings: TracingSettings) -> SpanExporter:
    # Each brings a library of its own, of which one process needs one.
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(settings.endpoint, timeout=EXPORT_TIMEOUT_SECONDS)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(settings.endpoint.rstrip("/") + _HTTP_PATH, timeout=EXPORT_TIMEOUT_SECONDS)


class _Call(NamedTuple):
    """A read. core: which one was asked; empty: the store. error: the name of what it raised."""

    name: str
    core: str
    since_ns: int
    until_ns: int
    error: str


class ServiceTracing:
    """`port.Tracing` of one service."""

    def __init__(self, tracer: Any, ids: _Ids, medium: Medium, settings: TracingSettings, forced: _Forced) -> None:
        self._tracer = tracer
        self._forced = forced
        self._ids = ids
        self._medium = medium
        self._bound = TraceIdRatioBased(settings.sample_ratio).bound
        self._slow_ns = round(settings.slow_s * 1e9)

    def request(self, path: str, incoming: str) -> "_Request | None":
        if path.startswith(_UNSEEN):
            return None
        if is_traceparent(incoming):
            trace_id = int(incoming[3:35], 16)
            sampled = is_sampled(incoming) and (self._forced.take() or self._is_in_ratio(trace_id))
            return _Request(self, path, incoming, trace_id, sampled)
        trace_id = random.getrandbits(128) or 1
        return _Request(self, path, "", trace_id, self._is_in_ratio(trace_id))

    def _is_in_ratio(self, trace_id: int) -> bool:
        """All gateways answer the same of one trace."""
        return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound

    def publish(self, parent: str, partition: TopicPartition, records: int, since_ns: int = 0) -> "_Span":
        attributes = self._message("publish", "create", partition, records)
        return self._start(f"publish {partition.topic}", SpanKind.PRODUCER, parent, attributes, since_ns=since_ns)

    def send(self, partition: TopicPartition, records: int, contexts: Sequence[str]) -> "_Span":
        attributes = self._message("send", "send", partition, records)
        return self._start(f"send {partition.topic}", SpanKind.CLIENT, "", attributes, contexts)

    def process(self, parent: str, partition: TopicPartition, offset: int, records: int) -> "_Span":
        attributes = self._message("process", "process", partition, records) | {"messaging.kafka.offset": offset}
        return self._start(f"process {partition.topic}", SpanKind.CONSUMER, parent, attributes)

    def write(self, parent: str, batch: SettlementBatch | HistoryBatch, contexts: Sequence[str]) -> "_Span":
        tables = tables_of(batch)
        others = [context for context in contexts if context != parent]
        return self._start(tables.summary, SpanKind.CLIENT, parent, self._database(tables), others)

    def _message(self, name: str, kind: str, partition: TopicPartition, records: int) -> dict[str, str | int | bool]:
        return {
            "messaging.system": self._medium.log,
            "messaging.operation.name": name,
            "messaging.operation.type": kind,
            "messaging.destination.name": partition.topic,
            "messaging.destination.partition.id": str(partition.partition),
            "messaging.batch.message_count": records,
        }

    def _database(self, tables: BatchTables) -> Attributes:
        return {
            "db.system.name": self._medium.database,
            "db.namespace": self._medium.namespace,
            "db.operation.name": tables.operation,
            "db.operation.batch.size": tables.rows,
            "db.query.summary": tables.summary,
        }

    def _start(
        self,
        name: str,
        kind: SpanKind,
        parent: str,
        attributes: Attributes,
        contexts: Sequence[str] = (),
        since_ns: int = 0,
    ) -> "_Span":
        links = [Link(_context_of(context)) for context in contexts[:MAX_LINKS]]
        return _Span(
            self._tracer.start_span(name, _within(parent), kind, attributes, links, since_ns or time.time_ns())
        )

    def first(self, trace_id: int, parent: str, name: str, since_ns: int, attributes: Attributes) -> SdkSpan:
        """The first span of this process in a trace."""
        if not parent:
            self._ids.next_trace_id = trace_id
        started: SdkSpan = self._tracer.start_span(
            name, _within(parent), SpanKind.SERVER, attributes, start_time=since_ns
        )
        return started

    def stage(self, name: str, parent: SdkSpan, since_ns: int, until_ns: int) -> None:
        """Something that took time within a request, and is over."""
        within = set_span_in_context(parent, _NO_PARENT)
        self._tracer.start_span(name, within, SpanKind.INTERNAL, start_time=since_ns).end(until_ns)

    def call(self, parent: SdkSpan, call: _Call) -> None:
        """A read that was made for a request, and is over."""
        name, attributes = self._read_of_core(call) if call.core else self._read_of_store(call.name)
        within = set_span_in_context(parent, _NO_PARENT)
        span = self._tracer.start_span(name, within, SpanKind.CLIENT, attributes, start_time=call.since_ns)
        if call.error:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", call.error)
        span.end(call.until_ns)

    def _read_of_store(self, name: str) -> tuple[str, Attributes]:
        read = store_read(name)
        said = {
            "db.system.name": self._medium.database,
            "db.namespace": self._medium.namespace,
            "db.operation.name": read.operation,
            "db.collection.name": read.table,
            "db.query.summary": read.summary,
        }
        return read.summary, said

    @staticmethod
    def _read_of_core(call: _Call) -> tuple[str, Attributes]:
        said = {"http.request.method": "GET", "url.path": f"/{call.name}", "service.peer.name": call.core}
        return f"GET /{call.name}", said

    @property
    def slow_ns(self) -> int:
        """From then on a request is slow."""
        return self._slow_ns


class _Span:
    """`port.Span`."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        self.traceparent = _traceparent(span)

    def end(self, failure: str = "", offset: int = -1) -> None:
        if failure:
            self._span.set_status(Status(StatusCode.ERROR, failure))
            self._span.set_attribute("error.type", failure.partition(":")[0])
        if offset >= 0:
            self._span.set_attribute("messaging.kafka.offset", offset)
        self._span.end()


class _Request:
    """`port.RequestSpan`. Its span is made at once when its trace is sampled, else at the end, or never."""

    __slots__ = (
        "_calls",
        "_incoming",
        "_path",
        "_reached",
        "_service",
        "_since_ns",
        "_span",
        "_trace_id",
        "is_over",
        "is_sampled",
        "traceparent",
    )

    def __init__(self, service: ServiceTracing, path: str, incoming: str, trace_id: int, sampled: bool) -> None:
        self.is_sampled = sampled
        self.is_over = False
        self._service = service
        self._path = path
        self._incoming = incoming
        self._trace_id = trace_id
        self._since_ns = time.time_ns()
        self._reached: list[tuple[str, int]] = []
        self._calls: list[_Call] = []
        self._span: SdkSpan | None = None
        if sampled:
            self._span = self._make()
            self.traceparent = _traceparent(self._span)
        else:
            given = f"{incoming[:-2]}00" if incoming else ""
            self.traceparent = given or f"00-{trace_id:032x}-{random.getrandbits(64) or 1:016x}-00"

    def reached(self, stage: str) -> None:
        self._reached.append((stage, time.time_ns()))

    def called(self, name: str, seconds: float, error: str = "", core: str = "") -> None:
        if len(self._calls) < MAX_CALLS:
            until_ns = time.time_ns()
            self._calls.append(_Call(name, core, until_ns - round(seconds * 1e9), until_ns, error))

    def end(self, method: str, route: str, status: int) -> None:
        self.is_over = True
        until_ns = time.time_ns()
        failed = status == 0 or status >= 500
        slow = until_ns - self._since_ns >= self._service.slow_ns
        span = self._span
        if span is None:
            if not failed and not slow:
                return
            span = self._make()
            span.set_attribute("exchange.kept_for", "error" if failed else "slow")
        span.update_name(f"{method} {route}" if route else method)
        span.set_attributes({"http.request.method": method, "url.path": self._path, "url.scheme": "http"})
        if route:
            span.set_attribute("http.route", route)
        if status:
            span.set_attribute("http.response.status_code", status)
        if failed:
            span.set_attribute("error.type", str(status or "no answer"))
            span.set_status(Status(StatusCode.ERROR))
        since_ns = self._since_ns
        for stage, reached_ns in self._reached:
            self._service.stage(f"until {stage}", span, since_ns, reached_ns)
            since_ns = reached_ns
        for call in self._calls:
            self._service.call(span, call)
        span.end(until_ns)

    def _make(self) -> SdkSpan:
        return self._service.first(self._trace_id, self._incoming, "request", self._since_ns, {})


def _traceparent(span: SdkSpan) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def _context_of(traceparent: str) -> SpanContext:
    return SpanContext(
        int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, TraceFlags(int(traceparent[53:55], 16))
    )


def _within(parent: str) -> Context:
    return set_span_in_context(NonRecordingSpan(_context_of(parent)), _NO_PARENT) if parent else _NO_PARENT
