"""Whether and where this process sends traces. OpenTelemetry is loaded only when it does."""

import asyncio
from typing import TYPE_CHECKING, Final

from services import __version__
from services.adapters.logs.logs import Logs
from services.adapters.metrics import catalogue
from services.adapters.metrics.prometheus import Metrics
from services.adapters.tracing.port import Tracing
from services.config import Settings
from services.domain.money import MICROS
from services.runtime.layout import STORE_FILE

if TYPE_CHECKING:
    from services.adapters.tracing.otlp import Tracer

_REASONS: Final = ("not_taken", "queue_full")


class Traces:
    """The traces of one process; `service` gives None when the settings name no endpoint."""

    def __init__(self, settings: Settings, logs: Logs | None, *, local: bool) -> None:
        """local: whether log and store are files of this process."""
        self._settings = settings
        self._local = local
        self._tracer = _open(settings, logs) if settings.telemetry.otlp_endpoint else None

    def service(self, name: str, member: int = 0) -> Tracing | None:
        """What a service of this process is given. member: its shard, or its number among its kind."""
        if self._tracer is None:
            return None
        from services.adapters.tracing.otlp import Medium

        on_files = Medium("sqlite", "sqlite", STORE_FILE)
        medium = on_files if self._local else Medium("kafka", "cassandra", self._settings.database.keyspace)
        return self._tracer.service(name, member, medium)

    def watch(self, metrics: Metrics) -> None:
        """Show how many spans went out, and how many never will."""
        tracer = self._tracer
        if tracer is None:
            metrics.watch(catalogue.TRACE_SPANS_EXPORTED, lambda: 0)
            metrics.watch_all(catalogue.TRACE_SPANS_DROPPED, lambda: [((reason,), 0) for reason in _REASONS])
            return
        dropped = (lambda: tracer.lost_spans, lambda: tracer.crowded_out_spans)
        metrics.watch(catalogue.TRACE_SPANS_EXPORTED, lambda: tracer.exported_spans)
        for reason, count in zip(_REASONS, dropped, strict=True):
            metrics.watch(catalogue.TRACE_SPANS_DROPPED, count, reason=reason)

    def watch_requests(self, metrics: Metrics) -> None:
        """Of a gateway: show how many traces were wanted and are not made."""
        tracer = self._tracer
        metrics.watch(catalogue.TRACE_OVER_LIMIT, lambda: 0 if tracer is None else tracer.over_limit_requests)

    async def close(self) -> None:
        """Send what has ended; for some seconds at most."""
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)


def _open(settings: Settings, logs: Logs | None) -> "Tracer":
    from services.adapters.tracing.otlp import Tracer, TracingSettings

    telemetry = settings.telemetry
    lines = None if logs is None else logs.service("traces")

    def on_trouble(reason: str) -> None:
        if lines is not None:
            lines.warning("traces", reason=reason)

    return Tracer(
        TracingSettings(
            telemetry.otlp_endpoint,
            telemetry.otlp_protocol,
            telemetry.trace_sample_micros / MICROS,
            telemetry.slow_order_ms / 1000,
            telemetry.forced_per_second,
        ),
        __version__,
        on_trouble,
    )
