"""What a process answers to others inside the exchange, over HTTP: is it well, its numbers, and reads of its core."""

import hmac
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from services.adapters.internal import wire
from services.adapters.ports import BalanceReads, BookReads, CoreSnapshot, CoreState
from services.domain.errors import CoreUnavailable, LogError

MAX_IN_FLIGHT: Final = 2_000
"""Reads that are being answered at one time; more get 503."""
_CLOSE_SECONDS: Final = 2.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Health:
    """Whether the process does its work, and the state of each of its parts, in words."""

    ready: bool
    components: Mapping[str, str]


@dataclass(frozen=True)
class CoreReads:
    """What a core answers to those who have the token.

    fence: awaited before reads that must see everything that was answered before; raises CoreUnavailable. balances
    of an ubscore, books of a matcher. source: the core's name.
    """

    token: str
    fence: Callable[[], Awaitable[None]]
    state: Callable[[], Awaitable[CoreState]]
    snapshot: Callable[[], Awaitable[CoreSnapshot]]
    balances: BalanceReads | None = None
    books: BookReads | None = None
    source: str = ""


class InternalServer:
    """The server of one process. `start` it once; health is answered from then on.

    core: gives the core's reads; raises CoreUnavailable while there are none.
    """

    def __init__(
        self, health: Callable[[], Awaitable[Health]], registry: CollectorRegistry, core: CoreReads | None = None
    ) -> None:
        self._health = health
        self._registry = registry
        self._in_flight = 0
        self._app = web.Application(middlewares=[self._guard])
        self._app.router.add_get("/health/live", self._live)
        self._app.router.add_get("/health/ready", self._ready)
        self._app.router.add_get("/metrics", self._metrics)
        self._token = b""
        if core is not None:
            self._token = f"Bearer {core.token}".encode()
            for path, handler in _routes(core).items():
                self._app.router.add_get(path, handler)
        self._runner = web.AppRunner(
            self._app, handle_signals=False, access_log=None, shutdown_timeout=_CLOSE_SECONDS, keepalive_timeout=75
        )

    async def start(self, listener: socket.socket) -> None:
        """Listen on a bound socket."""
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def close(self) -> None:
        """Let those finish who are being answered, for a moment."""
        await self._runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return _json(200, "live", {})

    async def _ready(self, _request: web.Request) -> web.Response:
        health = await self._health()
        return _json(200 if health.ready else 503, "ready" if health.ready else "not ready", health.components)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may come, not too many at once, and say why when there is no answer."""
        if request.path == "/metrics" or request.path.startswith("/health/"):
            return await handler(request)
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not self._token or not hmac.compare_digest(given, self._token):
            return web.Response(status=401, text="the token is not ours: do all processes have the same secret key?")
        if self._in_flight >= MAX_IN_FLIGHT:
            return web.Response(status=503, text="too many reads at once")
        self._in_flight += 1
        try:
            return await handler(request)
        except (CoreUnavailable, LogError) as error:
            return web.Response(status=503, text=str(error))
        except (KeyError, ValueError) as error:
            return web.Response(status=400, text=repr(error))
        finally:
            self._in_flight -= 1


def _routes(core: CoreReads) -> dict[str, Handler]:
    routes: dict[str, Handler] = {
        wire.STATE: _answering(core, lambda query: core.state()),
        wire.SNAPSHOT: _answering(core, lambda query: core.snapshot()),
    }
    if core.books is not None:
        books = core.books
        routes[wire.DEPTH] = _answering(core, lambda query: books.depth(query["symbol"], int(query["limit"])))
    if core.balances is not None:
        for path, read in _balance_reads(core.balances).items():
            routes[path] = _answering(core, read, core.fence)
    return routes


def _balance_reads(reads: BalanceReads) -> dict[str, Callable[[Mapping[str, str]], Awaitable[Any]]]:
    async def instruments(_query: Mapping[str, str]) -> wire.WiredInstruments:
        return wire.to_wire(await reads.instruments())

    return {
        wire.NEXT_OFFSET: lambda query: reads.next_offset(),
        wire.POLICY: lambda query: reads.policy(),
        wire.INSTRUMENTS: instruments,
        wire.USER_STATUS: lambda query: reads.user_status(int(query["user_id"])),
        wire.BALANCES: lambda query: reads.balances(int(query["user_id"])),
        wire.OPEN_ORDERS: lambda query: reads.open_orders(int(query["user_id"]), query.get("symbol")),
        wire.OPEN_ORDER: lambda query: reads.open_order(
            int(query["user_id"]), int(query["order_id"]), query.get("cid", "")
        ),
    }


def _answering(
    core: CoreReads,
    read: Callable[[Mapping[str, str]], Awaitable[Any]],
    fence: Callable[[], Awaitable[None]] | None = None,
) -> Handler:
    headers = {wire.SOURCE_HEADER: core.source} if core.source else None

    async def handle(request: web.Request) -> web.Response:
        if fence is not None:
            await fence()
        body = _encode(await read(request.query))
        return web.Response(body=body, content_type=wire.MEDIA_TYPE, headers=headers)

    return handle


def _json(status: int, word: str, components: Mapping[str, str]) -> web.Response:
    body = msgspec.json.encode({"status": word, "components": dict(components)})
    return web.Response(status=status, body=body, content_type="application/json")
