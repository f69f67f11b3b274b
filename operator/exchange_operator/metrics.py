"""The operator's numbers for Prometheus, and where they and its health are asked. Any thread may count."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_PREFIX: Final = "exchange_operator"
_BUCKETS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_CLOSE_SECONDS: Final = 1.0

Place = tuple[str, str]
"""Namespace and name of an exchange."""


class Metrics:
    """Of one operator. clock: seconds, of any begin."""

    def __init__(self, version: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._lock = threading.Lock()
        self._conditions_of: dict[Place, set[str]] = {}
        self._behind_since: dict[Place, float] = {}
        build = Gauge(f"{_PREFIX}_build_info", "Which program this is.", ["version"], registry=self.registry)
        build.labels(version).set(1)
        self._passes = Counter(
            f"{_PREFIX}_reconcile", "Passes over an exchange, by result.", ["result"], registry=self.registry
        )
        self._errors = Counter(
            f"{_PREFIX}_reconcile_errors", "Passes that failed; they are repeated.", registry=self.registry
        )
        self._duration = Histogram(
            f"{_PREFIX}_reconcile_duration_seconds", "Time of a pass.", buckets=_BUCKETS, registry=self.registry
        )
        self._last_success = Gauge(
            f"{_PREFIX}_last_success_timestamp_seconds",
            "When a pass last succeeded; 0 before the first.",
            registry=self.registry,
        )
        self._drift = Counter(
            f"{_PREFIX}_drift_corrections",
            "Objects that somebody else changed or deleted and that were set right, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self._conditions = Gauge(
            f"{_PREFIX}_exchange_condition",
            "Whether a condition of an exchange is True.",
            ["namespace", "name", "type"],
            registry=self.registry,
        )
        behind = Gauge(
            f"{_PREFIX}_watch_lag_seconds",
            "For how long a change of an exchange has been read that no watch has told of; 0 when there is none.",
            registry=self.registry,
        )
        behind.set_function(self._lag)

    @contextmanager
    def timed(self) -> Iterator[Callable[[str], None]]:
        """Count and time a pass. It calls what this gives with its result; one that does not has failed."""
        results: list[str] = []
        begin = self._clock()
        try:
            yield results.append
        finally:
            self._duration.observe(self._clock() - begin)
            self._passes.labels(results[0] if results else "failed").inc()
            if results:
                self._last_success.set_to_current_time()
            else:
                self._errors.inc()

    def drift_corrected(self, kind: str) -> None:
        """An object of that kind was set right."""
        self._drift.labels(kind).inc()

    def conditions(self, namespace: str, name: str, conditions: Mapping[str, bool]) -> None:
        """What an exchange is now, by type of condition."""
        with self._lock:
            gone = self._conditions_of.get((namespace, name), set()) - conditions.keys()
            self._conditions_of[namespace, name] = set(conditions)
            for kind in gone:
                self._conditions.remove(namespace, name, kind)
            for kind, so in conditions.items():
                self._conditions.labels(namespace, name, kind).set(int(so))

    def watch(self, namespace: str, name: str, is_fresh: bool) -> None:
        """Whether the watch has told of all that was read."""
        with self._lock:
            if is_fresh:
                self._behind_since.pop((namespace, name), None)
            else:
                self._behind_since.setdefault((namespace, name), self._clock())

    def forget(self, namespace: str, name: str) -> None:
        """Nobody looks after the exchange here any more."""
        self.conditions(namespace, name, {})
        self.watch(namespace, name, is_fresh=True)
        with self._lock:
            self._conditions_of.pop((namespace, name), None)

    def _lag(self) -> float:
        with self._lock:
            return max((self._clock() - since for since in self._behind_since.values()), default=0.0)


class MetricsServer:
    """Answers /metrics and /healthz on an event loop. That it answers says that the loop turns."""

    def __init__(self, metrics: Metrics) -> None:
        self._registry = metrics.registry
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=_CLOSE_SECONDS)

    async def start(self, listener: socket.socket) -> None:
        """Listen on a bound socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        """Let those finish who are being answered, for a moment."""
        await self._runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
