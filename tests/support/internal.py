"""Internal servers and silent ones, for those who read from cores of other processes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from services.adapters.internal.server import CoreReads, Health, InternalServer
from services.adapters.ports import BalanceReads, BookReads, CoreSnapshot, CoreState

TOKEN = "a-token-for-tests"
READY = Health(True, {"core": "running"})


def listening() -> socket.socket:
    """A bound socket on a free port."""
    return socket.create_server(("127.0.0.1", 0))


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def at_once() -> None:
    """A fence that is always passed."""


async def _state() -> CoreState:
    return CoreState("ubscore-0", 7, b"d" * 32, "active")


async def _snapshot() -> CoreSnapshot:
    return CoreSnapshot("ubscore-0", 7, b"d" * 32, bytes(3_000_000))


@asynccontextmanager
async def serving(
    balances: BalanceReads | None = None,
    books: BookReads | None = None,
    fence: Callable[[], Awaitable[None]] = at_once,
    health: Callable[[], Health] = lambda: READY,
    source: str = "",
) -> AsyncIterator[str]:
    """A core's internal server; gives its URL."""
    core = CoreReads(TOKEN, fence, _state, _snapshot, balances, books, source)

    async def ask_health() -> Health:
        return health()

    server, listener = InternalServer(ask_health, CollectorRegistry(), core), listening()
    await server.start(listener)
    try:
        yield url_of(listener)
    finally:
        await server.close()


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """Somebody who takes connections and says nothing, as a process does that was stopped."""
    over = asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    listener = listening()
    server = await asyncio.start_server(say_nothing, sock=listener)
    try:
        yield url_of(listener)
    finally:
        over.set()
        server.close()
        await server.wait_closed()
