"""The HTTP server in front of the application: uvicorn, with bounds on what one client may hold.

Every connection is an open file, and the log, the journals and the store need files too: without a bound, whoever
opens connections enough ends the exchange. What a client has begun to send must come to an end, and so must what it
has been asked to read.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from services.gateway.errors import ApiError, Code, Overloaded, bad_input

RESERVED_FILES: Final = 128
"""Of the files that the process may open, so many are for everything but connections; idle, it has about forty."""
GRACE_SECONDS: Final = 10
"""How long requests that are being answered may still take when the server stops."""
_SWEEP_TICKS: Final = 10
"""uvicorn ticks ten times a second."""


class Bounds(NamedTuple):
    """What a client may hold."""

    connections: int = 4_096
    """Of all clients together."""
    head_bytes: int = 64 * 1024
    """A request's first line and headers."""
    message_bytes: int = 4 * 1024
    """Of one WebSocket message. Whoever does not answer a ping within 20 s is closed: uvicorn sees to that."""
    request_s: float = 30
    """From the first byte of a connection, or of a request, to the request's last."""
    answer_s: float = 120
    """From there to the last byte of the answer, which is up to the client to read."""


class Server(uvicorn.Server):
    """Serves `app` until `should_exit`, without signal handlers: signals are for the whole process."""

    def __init__(self, app: ASGIApp, bounds: Bounds | None = None) -> None:
        bounds = bounds or Bounds()
        bounds = bounds._replace(connections=_affordable(bounds.connections))
        options: dict[str, Any] = {
            "http": partial(_Connection, bounds=bounds),
            "ws": "websockets-sansio",
            "ws_max_size": bounds.message_bytes,
            "ws_per_message_deflate": False,
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "lifespan": "off",
            "timeout_graceful_shutdown": GRACE_SECONDS,
        }
        super().__init__(uvicorn.Config(app, **options))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % _SWEEP_TICKS == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, _Connection):
                    connection.end_when_late()
        return await super().on_tick(counter)


def _affordable(connections: int) -> int:
    """So many connections, or fewer when the system does not give as many files, which it is asked for here."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED_FILES
    if files == resource.RLIM_INFINITY or files >= wanted:
        return connections
    files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(1, files - RESERVED_FILES)


class _Connection(HttpToolsProtocol):
    """A connection that is refused when there are too many, and closed when its client takes too long."""

    def __init__(self, *args: Any, bounds: Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._since = self.loop.time()
        """When the connection, the newest request or the newest answer began to go out."""
        self._in_head = False
        self._head_bytes = 0
        self._receiving = False
        self._refusal = bad_input("The request is not valid HTTP.", Code.UNREADABLE_BODY)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            self._refuse(Overloaded("There are too many connections; try again."))

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._bounds.head_bytes:
                self._refuse(self._head_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._since = self.loop.time()
        self._in_head = self._receiving = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        if len(self.url) + sum([len(name) + len(value) for name, value in self.headers]) > self._bounds.head_bytes:
            self._refusal = self._head_too_large()
            raise ValueError
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        self._receiving = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._since = self.loop.time()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def shutdown(self) -> None:
        """Finish what was asked; what was not asked to its end is not done."""
        if self._receiving:
            self._refuse(Overloaded("The gateway is stopping; nothing was done."))
        else:
            super().shutdown()

    def end_when_late(self) -> None:
        """Close the connection when its client has had time enough."""
        seconds = 0.0 if self._is_between_requests() else self.loop.time() - self._since
        if seconds > self._bounds.answer_s:
            self.transport.abort()
        elif seconds > self._bounds.request_s and (self._receiving or self.cycle is None):
            self._refuse(ApiError(408, Code.UNREADABLE_BODY, "The request did not come to its end in time."))

    def _is_between_requests(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is not None and cycle.response_complete
        return answered and not self._receiving and self.transport.get_write_buffer_size() == 0

    def _refuse(self, error: ApiError) -> None:
        """Say why, and close; but a request that came whole is answered first, and its answer is the last."""
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        in_body = self._receiving and not self._in_head
        if cycle is None or cycle.response_complete:
            answered = in_body
        elif in_body and not self.pipeline:
            answered = cycle.response_started
        else:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if not answered:
            self.transport.write(_response(error))
        self.transport.close()

    def _head_too_large(self) -> ApiError:
        return bad_input(f"URL and headers must have at most {self._bounds.head_bytes} bytes.", status=431)


def _response(error: ApiError) -> bytes:
    body = msgspec.json.encode(error.body)
    headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (headers | (error.headers or {})).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
