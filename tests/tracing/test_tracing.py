import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.adapters.tracing.otlp import MAX_LINKS, Medium, ServiceTracing, Tracer, TracingSettings
from services.adapters.tracing.port import Tracing
from services.domain.rows import ProgressRow
from services.domain.topics import TopicPartition
from tests.support.exchange_process import free_port
from tests.support.otlp import Receiver, tree

ORDERS = TopicPartition("orders", 3)
MEDIUM = Medium("kafka", "cassandra", "trading")
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = f"{CALLER[:-2]}00"
PROGRESS = ProgressRow("settlement", "balance.events", 0, 7, {})


@pytest.fixture
def grpc_receiver() -> Iterator[Receiver]:
    with Receiver("grpc") as receiver:
        yield receiver


def open_tracer(
    url: str, protocol: Literal["grpc", "http"] = "grpc", ratio: float = 1.0, slow_s: float = 60.0
) -> tuple[Tracer, list[str]]:
    troubles: list[str] = []
    return Tracer(TracingSettings(url, protocol, ratio, slow_s), "1.2.3", troubles.append), troubles


def begin(tracing: ServiceTracing, incoming: str = "", path: str = "/api/orders") -> Any:
    request = tracing.request(path, incoming)
    assert request is not None
    return request


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tracer_spans_arrive_as_one_tree(protocol: Literal["grpc", "http"]) -> None:
    with Receiver(protocol) as receiver:
        tracer, troubles = open_tracer(receiver.url, protocol)
        gateway, matcher = tracer.service("gateway", 0, MEDIUM), tracer.service("matcher", 2, MEDIUM)
        span = begin(gateway, CALLER)
        publish = gateway.publish(span.traceparent, ORDERS, 1)
        send = gateway.send(ORDERS, 5, [publish.traceparent])
        process = matcher.process(publish.traceparent, ORDERS, 17, 1)
        process.end()
        publish.end(offset=17)
        send.end(offset=17)
        span.end("POST", "/api/orders", 200)
        tracer.close()
        trace_id, parent_id = CALLER[3:35], CALLER[36:52]
        assert tree(receiver.trace(trace_id), parent_id) == {
            "gateway: POST /api/orders": {"gateway: publish orders": {"matcher: process orders": {}}}
        }
        assert (tracer.exported_spans, tracer.lost_spans, troubles) == (4, 0, [])
        by_name = {one.name: one for one in receiver.spans}
        server = by_name["POST /api/orders"]
        assert (server.kind, server.instance) == ("SERVER", "gateway-0")
        assert server.attributes == {
            "http.request.method": "POST",
            "http.route": "/api/orders",
            "http.response.status_code": 200,
            "url.path": "/api/orders",
            "url.scheme": "http",
        }
        consumed = by_name["process orders"]
        assert (consumed.kind, consumed.instance) == ("CONSUMER", "matcher-2")
        assert consumed.attributes == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "orders",
            "messaging.destination.partition.id": "3",
            "messaging.batch.message_count": 1,
            "messaging.kafka.offset": 17,
        }
        assert by_name["publish orders"].attributes["messaging.kafka.offset"] == 17
        sent = by_name["send orders"]
        assert (sent.kind, sent.parent_id, sent.links) == ("CLIENT", "", [by_name["publish orders"].span_id])
        assert sent.trace_id != trace_id


def test_write_batch_is_named_by_tables_and_linked_to_the_others(grpc_receiver: Receiver) -> None:
    tracer, _ = open_tracer(grpc_receiver.url)
    settlement: Tracing = tracer.service("settlement", 0, MEDIUM)
    others = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 200)]
    row: Any = object()
    batch = SettlementBatch([row], [row, row], [], PROGRESS)
    settlement.write(CALLER, batch, [CALLER, *others]).end()
    settlement.write("", HistoryBatch([], [(1, 2)], [row], [row], [], PROGRESS), [CALLER]).end("StoreUnavailable: away")
    tracer.close()
    written, failed = grpc_receiver.spans
    assert (written.name, written.parent_id) == (
        "INSERT settled_trades user_balances settlement_progress",
        CALLER[36:52],
    )
    assert written.links == [other[36:52] for other in others[:MAX_LINKS]]
    assert written.attributes == {
        "db.system.name": "cassandra",
        "db.namespace": "trading",
        "db.operation.name": "INSERT",
        "db.operation.batch.size": 4,
        "db.query.summary": written.name,
    }
    assert failed.name == "INSERT order_history active_orders order_updates_stream settlement_progress"
    assert (failed.failed, failed.parent_id) == (True, "")
    assert failed.attributes["error.type"] == "StoreUnavailable"


def test_request_ratio_is_kept_and_the_callers_decision_honoured(grpc_receiver: Receiver) -> None:
    tracer, _ = open_tracer(grpc_receiver.url, ratio=0.25)
    gateway = tracer.service("gateway", 0, MEDIUM)
    requests = [begin(gateway) for _ in range(2_000)]
    sampled = [one for one in requests if one.is_sampled]
    assert 400 < len(sampled) < 600
    assert all(one.traceparent.endswith("-01") == one.is_sampled for one in requests)
    assert begin(gateway, CALLER).is_sampled
    assert not begin(gateway, UNSAMPLED).is_sampled
    assert begin(gateway, "no traceparent").traceparent[3:35] != "traceparent"
    for one in requests:
        one.end("POST", "/api/orders", 200)
    tracer.close()
    spans = grpc_receiver.spans
    assert {span.trace_id for span in spans} == {one.traceparent[3:35] for one in sampled}


@pytest.mark.parametrize(
    ("status", "kept"), [(200, False), (400, False), (429, False), (500, True), (504, True), (0, True)]
)
def test_request_unsampled_is_exported_when_it_failed(grpc_receiver: Receiver, status: int, kept: bool) -> None:
    tracer, _ = open_tracer(grpc_receiver.url, ratio=0.0)
    gateway = tracer.service("gateway", 0, MEDIUM)
    fresh, told = begin(gateway), begin(gateway, UNSAMPLED)
    for one in (fresh, told):
        one.reached("durable")
        one.end("POST", "/api/orders", status)
    tracer.close()
    spans = [span for span in grpc_receiver.spans if span.kind == "SERVER"]
    assert len(spans) == (2 if kept else 0)
    if kept:
        assert [span.trace_id for span in spans] == [fresh.traceparent[3:35], UNSAMPLED[3:35]]
        assert [span.parent_id for span in spans] == ["", UNSAMPLED[36:52]]
        assert all(span.failed and span.attributes["exchange.kept_for"] == "error" for span in spans)


def test_request_unsampled_slow_is_exported_with_its_stages(grpc_receiver: Receiver) -> None:
    tracer, _ = open_tracer(grpc_receiver.url, ratio=0.0, slow_s=0.05)
    gateway = tracer.service("gateway", 0, MEDIUM)
    slow, fast = begin(gateway), begin(gateway)
    slow.reached("durable")
    time.sleep(0.06)
    slow.reached("settled")
    slow.end("POST", "/api/orders", 200)
    fast._since_ns = time.time_ns()
    fast.end("POST", "/api/orders", 200)
    tracer.close()
    assert tree(grpc_receiver.spans) == {
        "gateway: POST /api/orders": {"gateway: until durable": {}, "gateway: until settled": {}}
    }
    server = next(span for span in grpc_receiver.spans if span.kind == "SERVER")
    assert server.attributes["exchange.kept_for"] == "slow"
    assert not server.failed
    stages = {span.name: (span.end_ns - span.start_ns) / 1e9 for span in grpc_receiver.spans}
    assert stages["until settled"] >= 0.05


def test_request_health_and_metrics_are_not_traced(grpc_receiver: Receiver) -> None:
    tracer, _ = open_tracer(grpc_receiver.url)
    gateway = tracer.service("gateway", 0, MEDIUM)
    assert gateway.request("/health/ready", CALLER) is None
    assert gateway.request("/metrics", CALLER) is None
    tracer.close()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tracer_nobody_takes_spans_says_so_once_and_ends_soon(protocol: Literal["grpc", "http"]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    tracer, troubles = open_tracer(url, protocol)
    gateway = tracer.service("gateway", 0, MEDIUM)
    for _ in range(2):
        begin(gateway).end("GET", "/api/orders", 200)
        tracer.flush()
    assert troubles == [f"{url} takes no spans: they are lost until it does"]
    assert (tracer.exported_spans, tracer.lost_spans) == (0, 2)
    with Receiver(protocol, port) as receiver:
        begin(gateway).end("GET", "/api/orders", 200)
        tracer.flush()
        assert len(receiver.spans) == 1
    assert troubles[1:] == [f"{url} takes spans again; 2 were lost"]
    for _ in range(3_000):
        begin(gateway).end("GET", "/api/orders", 200)
    before = time.monotonic()
    tracer.close()
    assert time.monotonic() - before < 10
    assert tracer.lost_spans == 3_002
