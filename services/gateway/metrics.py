"""The gateway's numbers."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class GatewayMetrics:
    """Requests by route and status, their time, and commands in flight."""

    def __init__(self, registry: CollectorRegistry, in_flight: Callable[[], int]) -> None:
        self._requests = Counter(
            "exchange_gateway_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "exchange_gateway_request_seconds",
            "Time from a request to its answer.",
            ["method", "route"],
            registry=registry,
            buckets=_BUCKETS,
        )
        gauge = Gauge("exchange_gateway_commands_in_flight", "Commands that wait for an answer.", registry=registry)
        gauge.set_function(in_flight)
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[tuple[str, str], Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. route: the path's template, so that ids do not become labels."""
        counter = self._counters.get((method, route, status))
        if counter is None:
            counter = self._counters[(method, route, status)] = self._requests.labels(method, route, status)
            self._timers[(method, route)] = self._seconds.labels(method, route)
        counter.inc()
        self._timers[(method, route)].observe(seconds)
