"""How many traces senders can have made, and what becomes of spans that nobody takes: numbers that are shown."""

import time
from collections.abc import Callable

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services import __version__
from services.adapters.metrics.prometheus import Metrics
from services.adapters.tracing.otlp import MAX_QUEUED_SPANS, Medium, Tracer, TracingSettings
from services.config import Settings, TelemetrySettings
from services.domain.topics import TopicPartition
from services.runtime.traces import Traces
from tests.support.exchange_process import free_port
from tests.support.otlp import Receiver

MEDIUM = Medium("kafka", "cassandra", "trading")
PARTITION = TopicPartition("orders", 0)


def sampled_context(number: int) -> str:
    return f"00-{number:032x}-00f067aa0ba902b7-01"


def requests(tracer: Tracer, count: int) -> list[bool]:
    """So many requests whose senders want a trace; whether each is sampled."""
    gateway = tracer.service("gateway", 0, MEDIUM)
    begun = [gateway.request("/api/orders", sampled_context(number + 1)) for number in range(count)]
    for one in begun:
        assert one is not None
        one.end("POST", "/api/orders", 200)
    return [one is not None and one.is_sampled for one in begun]


def shown(metrics: Metrics) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("exchange_trace")]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_senders_have_as_many_requests_traced_as_the_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("services.adapters.tracing.otlp.time.monotonic", lambda: now)
    with Receiver("http") as receiver:
        tracer = Tracer(TracingSettings(receiver.url, "http", 0.0, 60.0, forced_per_second=5), "1", lambda _: None)
        assert requests(tracer, 50) == [True] * 5 + [False] * 45
        now += 0.4
        assert sum(requests(tracer, 50)) == 2
        now += 3600
        assert sum(requests(tracer, 50)) == 5
        assert tracer.over_limit_requests == 150 - 12
        tracer.close()
        assert len(receiver.spans) == 12


def test_senders_beyond_the_limit_are_left_to_the_ratio() -> None:
    with Receiver("http") as receiver:
        every = Tracer(TracingSettings(receiver.url, "http", 1.0, 60.0, forced_per_second=0), "1", lambda _: None)
        none = Tracer(TracingSettings(receiver.url, "http", 0.0, 60.0, forced_per_second=0), "1", lambda _: None)
        assert all(requests(every, 20))
        assert not any(requests(none, 20))
        # Whoever reads the context later is told that nobody samples it.
        request = none.service("gateway", 0, MEDIUM).request("/api/orders", sampled_context(7))
        assert request is not None
        assert request.traceparent == sampled_context(7)[:-2] + "00"
        every.close()
        none.close()


def test_numbers_of_spans_are_those_that_went_out_and_those_that_are_lost() -> None:
    port = free_port()
    telemetry = TelemetrySettings(f"http://127.0.0.1:{port}", "http", 0, 60_000, forced_per_second=2)
    traces, metrics = Traces(Settings(telemetry=telemetry), None, local=True), Metrics(__version__)
    traces.watch(metrics)
    traces.watch_requests(metrics)
    gateway = traces.service("gateway")
    assert gateway is not None

    def ask() -> None:
        request = gateway.request("/api/orders", sampled_context(1))
        assert request is not None
        request.end("POST", "/api/orders", 200)

    ask()
    until(lambda: shown(metrics)["exchange_trace_spans_dropped_total", "not_taken"] == 1)
    with Receiver("http", port):
        for _ in range(3):
            ask()
        until(lambda: shown(metrics)["exchange_trace_spans_exported_total",] >= 1)
    now = shown(metrics)
    assert now["exchange_trace_spans_exported_total",] + now["exchange_trace_requests_over_limit_total",] == 3
    assert now["exchange_trace_spans_dropped_total", "queue_full"] == 0


def test_numbers_of_spans_without_traces_are_zero() -> None:
    traces, metrics = Traces(Settings(), None, local=True), Metrics(__version__)
    traces.watch(metrics)
    traces.watch_requests(metrics)
    assert shown(metrics) == {
        ("exchange_trace_spans_exported_total",): 0,
        ("exchange_trace_spans_dropped_total", "not_taken"): 0,
        ("exchange_trace_spans_dropped_total", "queue_full"): 0,
        ("exchange_trace_requests_over_limit_total",): 0,
    }


def test_spans_that_the_queue_has_no_room_for_are_counted() -> None:
    ended = MAX_QUEUED_SPANS + 5_000
    with Receiver("http") as receiver:
        tracer = Tracer(TracingSettings(receiver.url, "http", 0.0, 60.0), "1", lambda _: None)
        gateway = tracer.service("gateway", 0, MEDIUM)
        with receiver.held():
            # The first batches are on their way for seconds, and everything else waits.
            for _ in range(ended):
                gateway.publish(sampled_context(1), PARTITION, 1).end()
        tracer.close()
        assert tracer.crowded_out_spans > 0
        # What was not driven out was given to the exporter, to the last one.
        assert tracer.exported_spans + tracer.lost_spans + tracer.crowded_out_spans == ended
