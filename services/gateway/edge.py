"""The outermost layer: counts, times and traces every answer."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.adapters.tracing.port import CURRENT_REQUEST, RequestSpan, Tracing
from services.gateway.metrics import GatewayMetrics

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Edge:
    """ASGI middleware; plain functions, because starlette's own kind costs a task a request."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, tracing: Tracing | None = None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        span = None if self._tracing is None else _begin(self._tracing, scope)
        status = 0

        async def remember_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, remember_status)
        finally:
            # Made-up methods and paths must not become labels without end.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unknown")
            self._metrics.answered(method, route, status, time.perf_counter() - started)
            if span is not None:
                CURRENT_REQUEST.set(None)
                span.end(method, "" if route == "unknown" else route, status)


def _begin(tracing: Tracing, scope: Scope) -> RequestSpan | None:
    """Let everything that this task does from now on know for which request it is."""
    incoming = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
    span = tracing.request(scope["path"], incoming.decode("latin-1"))
    CURRENT_REQUEST.set(span)
    return span
