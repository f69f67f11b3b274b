"""What a gateway reads for a request, from the database and from cores, are spans below the request's own."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.adapters.ports import KeyStore, QueryStore
from services.adapters.tracing.calls import traced
from services.adapters.tracing.otlp import MAX_CALLS, Medium, Tracer, TracingSettings
from services.adapters.tracing.port import CURRENT_REQUEST
from services.adapters.tracing.tables import store_read
from services.demo.client import USERS, Api
from services.runtime.layout import STORE_FILE
from tests.support.exchange_process import ExchangeProcess
from tests.support.otlp import Receiver, Span, tree

MEDIUM = Medium("kafka", "cassandra", "trading")
SENDER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = f"{SENDER[:-2]}00"
TRACE_ID, SENDER_SPAN = SENDER[3:35], SENDER[36:52]


class Gateway:
    """Tracing of a gateway, and the watches that its store and a core have."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._tracer = Tracer(TracingSettings(receiver.url, "http", 0.0, 60.0), "1", lambda _: None)
        self._tracing = self._tracer.service("gateway", 0, MEDIUM)
        self.calls: list[tuple[str, str]] = []
        self.store = traced(lambda name, seconds, error="": self.calls.append((name, error)))
        self.core = traced(lambda name, seconds, error="": self.calls.append((name, error)), "ubscore-0")

    def begin(self, sender: str) -> None:
        self.request = self._tracing.request("/api/ledger", sender)
        CURRENT_REQUEST.set(self.request)

    def end(self, status: int = 200) -> list[Span]:
        """The spans of the request, which is answered."""
        assert self.request is not None
        self.request.end("GET", "/api/ledger", status)
        self._tracer.flush()
        return self._receiver.trace(TRACE_ID)

    def close(self) -> None:
        CURRENT_REQUEST.set(None)
        self._tracer.close()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Receiver("http") as receiver:
        gateway = Gateway(receiver)
        yield gateway
        gateway.close()


def test_reads_of_a_request_are_client_spans_below_it(gateway: Gateway) -> None:
    gateway.begin(SENDER)
    gateway.store("get_key", 0.001)
    gateway.core("balances", 0.002)
    gateway.store("ledger", 0.25, "StoreUnavailable")
    spans = gateway.end()
    reads = {"gateway: SELECT api_keys": {}, "gateway: GET /balances": {}, "gateway: SELECT balance_ledger": {}}
    assert tree(spans, SENDER_SPAN) == {"gateway: GET /api/ledger": reads}
    by_name = {span.name: span for span in spans}
    assert all(span.kind == "CLIENT" for name, span in by_name.items() if name != "GET /api/ledger")
    ledger = by_name["SELECT balance_ledger"]
    assert (ledger.failed, ledger.end_ns - ledger.start_ns) == (True, 250_000_000)
    assert ledger.attributes == {
        "db.system.name": "cassandra",
        "db.namespace": "trading",
        "db.operation.name": "SELECT",
        "db.collection.name": "balance_ledger",
        "db.query.summary": "SELECT balance_ledger",
        "error.type": "StoreUnavailable",
    }
    assert by_name["GET /balances"].attributes["service.peer.name"] == "ubscore-0"
    assert gateway.calls == [("get_key", ""), ("balances", ""), ("ledger", "StoreUnavailable")]


def test_reads_of_an_unsampled_request_are_told_when_it_failed(gateway: Gateway) -> None:
    gateway.begin(UNSAMPLED)
    gateway.store("ledger", 0.001, "StoreUnavailable")
    assert {span.name for span in gateway.end(503)} == {"GET /api/ledger", "SELECT balance_ledger"}


def test_reads_of_an_unsampled_request_that_went_well_are_not_told(gateway: Gateway) -> None:
    gateway.begin(UNSAMPLED)
    gateway.store("ledger", 0.001)
    assert gateway.end() == []


def test_reads_for_nobody_and_for_who_was_answered_are_not_told(gateway: Gateway) -> None:
    CURRENT_REQUEST.set(None)
    gateway.store("get_key", 0.001)
    gateway.begin(SENDER)
    assert len(gateway.end()) == 1
    gateway.store("get_key", 0.001)
    assert len(gateway.calls) == 2


def test_reads_without_end_are_told_up_to_a_bound(gateway: Gateway) -> None:
    gateway.begin(SENDER)
    for _ in range(2 * MAX_CALLS):
        gateway.store("trades_by_user", 0.0)
    assert len(gateway.end()) == MAX_CALLS + 1


def test_reads_of_every_method_are_named_by_their_table() -> None:
    methods = {
        name
        for port in (QueryStore, KeyStore)
        for name, method in inspect.getmembers(port, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert len(methods) >= 11
    assert {name for name in methods if store_read(name).operation not in ("SELECT", "INSERT")} == set()


def test_reads_of_a_running_exchange_are_in_the_callers_trace(tmp_path: Path) -> None:
    exchange = ExchangeProcess(tmp_path / "data")
    try:
        with Receiver("grpc") as receiver:
            exchange.start(EXCHANGE_TELEMETRY__OTLP_ENDPOINT=receiver.url, EXCHANGE_TELEMETRY__TRACE_SAMPLE_RATIO="0")
            exchange.wait_ready()
            token = Api(exchange.url, exchange.data_dir).token(USERS[0])
            headers = {"Authorization": f"Bearer {token}", "traceparent": SENDER}
            assert httpx.get(f"{exchange.url}/api/orders/history", headers=headers).status_code == 200
            assert exchange.stop() == 0
            (server,) = [span for span in receiver.trace(TRACE_ID) if span.kind == "SERVER"]
            assert (server.name, server.parent_id) == ("GET /api/orders/history", SENDER_SPAN)
            reads = {span.name: span for span in receiver.trace(TRACE_ID) if span.parent_id == server.span_id}
            assert "SELECT order_history" in reads
            history = reads["SELECT order_history"]
            assert (history.kind, history.attributes["db.system.name"]) == ("CLIENT", "sqlite")
            assert history.attributes["db.namespace"] == STORE_FILE
            assert server.start_ns <= history.start_ns <= history.end_ns <= server.end_ns
    finally:
        exchange.end()
