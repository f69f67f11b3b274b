"""A receiver of OTLP, over gRPC or HTTP, that keeps the spans which come in as real bytes; and trees made of them."""

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Span(NamedTuple):
    """A span as it came in. parent_id, trace_id, span_id: hex; parent_id is empty for a root."""

    service: str
    instance: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[str]
    """Span ids."""
    start_ns: int
    end_ns: int
    failed: bool

    @property
    def what(self) -> str:
        """Who did what."""
        return f"{self.service}: {self.name}"


class Receiver:
    """Listens on loopback until it is left."""

    def __init__(self, protocol: Literal["grpc", "http"], port: int = 0) -> None:
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self._gate = threading.Lock()
        self._end: Callable[[], object]
        self.requests = 0
        if protocol == "grpc":
            server = grpc.server(ThreadPoolExecutor(2))
            handler = grpc.unary_unary_rpc_method_handler(lambda data, _: self._take(data))
            service, name = METHOD.strip("/").split("/")
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: handler})])
            self.port = server.add_insecure_port(f"127.0.0.1:{port}")
            assert self.port
            server.start()
            self._end = lambda: server.stop(0).wait()
        else:
            http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self._take))
            self.port = http.server_port
            threading.Thread(target=http.serve_forever, daemon=True).start()

            def end() -> None:
                http.shutdown()
                http.server_close()

            self._end = end
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def spans(self) -> list[Span]:
        """All that came in until now."""
        with self._lock:
            return list(self._spans)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile nobody gets an answer."""
        with self._gate:
            yield

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace, oldest first."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start_ns)

    def wait_for(self, condition: Callable[[list[Span]], bool], within_s: float = 20.0) -> list[Span]:
        """All spans, once the condition holds for them."""
        deadline = time.monotonic() + within_s
        while not condition(self.spans):
            assert time.monotonic() < deadline, sorted(span.what for span in self.spans)
            time.sleep(0.02)
        return self.spans

    def _take(self, data: bytes) -> bytes:
        with self._gate:
            request = ExportTraceServiceRequest.FromString(data)
        with self._lock:
            self.requests += 1
            for resource_spans in request.resource_spans:
                resource = _plain(resource_spans.resource.attributes)
                for scope_spans in resource_spans.scope_spans:
                    self._spans += [_span(resource, span) for span in scope_spans.spans]
        answer: bytes = ExportTraceServiceResponse().SerializeToString()
        return answer


def tree(spans: Iterable[Span], parent_id: str = "") -> dict[str, Any]:
    """Who did what because of what; of equal siblings one is shown. The parent of the first may be elsewhere."""
    spans = list(spans)
    children: dict[str, Any] = {}
    for span in spans:
        if span.parent_id == parent_id:
            below = children.setdefault(span.what, {})
            for name, more in tree(spans, span.span_id).items():
                below.setdefault(name, {}).update(more)
    return children


def _handler(take: Callable[[bytes], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            right = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            answer = take(body) if right else b""
            self.send_response(200 if right else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _span(resource: dict[str, Any], span: WireSpan) -> Span:
    return Span(
        resource["service.name"],
        resource["service.instance.id"],
        span.name,
        WireSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _plain(span.attributes),
        [link.span_id.hex() for link in span.links],
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
