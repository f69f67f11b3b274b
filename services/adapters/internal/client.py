"""Reads of cores in other processes. They give what the local ones give, or raise CoreUnavailable."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from services.adapters.internal import wire
from services.adapters.ports import (
    BalanceView,
    CoreSnapshot,
    CoreState,
    DepthView,
    Instruments,
    OpenOrderView,
    PolicyView,
)
from services.adapters.store_calls import CallWatch
from services.domain.errors import CoreUnavailable

TIMEOUT_SECONDS: Final = 2.0
"""For one instance to answer a read; then the next one is asked."""
STATE_TIMEOUT_SECONDS: Final = 60.0
"""Digesting a large state takes a while."""
SNAPSHOT_TIMEOUT_SECONDS: Final = 600.0
_CONNECTIONS: Final = 64
"""To one instance. Who finds all in use waits for one, and its time runs."""
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)

T = TypeVar("T")


class RemoteCore:
    """One core, wherever it runs: one or more instances that all know the same, each with the URL where it answers.

    name: its source; who answers and is another core is passed over. Whoever answered last is asked first. Raises
    CoreUnavailable, naming each instance and its reason, when none answers in time. Made on any thread, it belongs to
    the event loop that first asks. on_read: told of each read by its path.
    """

    def __init__(self, name: str, urls: Sequence[str], token: str, timeout_s: float = TIMEOUT_SECONDS) -> None:
        assert urls, f"{name} has no address"
        self.on_read: CallWatch | None = None
        self.name = name
        self._urls = tuple(urls)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s
        self._first = 0
        self._session: aiohttp.ClientSession | None = None

    async def state(self) -> CoreState:
        """Where it stands, with its digest."""
        return await self.get(wire.STATE, _STATE, timeout_s=STATE_TIMEOUT_SECONDS)

    async def snapshot(self) -> CoreSnapshot:
        """Its whole state."""
        return await self.get(wire.SNAPSHOT, _SNAPSHOT, timeout_s=SNAPSHOT_TIMEOUT_SECONDS)

    async def get(
        self, path: str, decoder: "msgspec.msgpack.Decoder[T]", timeout_s: float | None = None, **query: str | int
    ) -> T:
        """The decoded answer of the first instance that has one."""
        on_read, name, started = self.on_read, path.removeprefix("/"), time.perf_counter()
        try:
            answer = await self._get(path, decoder, timeout_s or self._timeout_s, query)
        except CoreUnavailable as error:
            if on_read is not None:
                on_read(name, time.perf_counter() - started, type(error).__name__)
            raise
        if on_read is not None:
            on_read(name, time.perf_counter() - started)
        return answer

    async def _get(
        self, path: str, decoder: "msgspec.msgpack.Decoder[T]", timeout_s: float, query: dict[str, str | int]
    ) -> T:
        reasons = []
        first = self._first
        for step in range(len(self._urls)):
            at = (first + step) % len(self._urls)
            try:
                body = await self._ask(self._urls[at] + path, query, timeout_s)
                answer = decoder.decode(body)
            except (CoreUnavailable, aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
                reasons.append(f"{self._urls[at]}: {_reason(error)}")
            else:
                self._first = at
                return answer
        raise CoreUnavailable(f"{self.name} does not answer: {'; '.join(reasons)}")

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, url: str, query: dict[str, str | int], timeout_s: float) -> bytes:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=_CONNECTIONS)
            self._session = aiohttp.ClientSession(headers=self._headers, connector=connector, timeout=_NO_TIMEOUT)
        # One timer for everything: aiohttp's own would not count the wait for a connection.
        async with asyncio.timeout(timeout_s), self._session.get(url, params=query) as response:
            body = await response.read()
        if response.status != 200:
            raise CoreUnavailable(body[:500].decode(errors="replace") or f"status {response.status}")
        if (answers := response.headers.get(wire.SOURCE_HEADER, self.name)) != self.name:
            raise CoreUnavailable(f"this is the address of {answers}")
        return body


class RemoteBalanceReads:
    """`ports.BalanceReads` of an account shard in another process."""

    def __init__(self, core: RemoteCore) -> None:
        self._core = core

    async def next_offset(self) -> int:
        return await self._core.get(wire.NEXT_OFFSET, _OFFSET)

    async def policy(self) -> PolicyView:
        return await self._core.get(wire.POLICY, _POLICY)

    async def instruments(self) -> Instruments:
        return wire.from_wire(await self._core.get(wire.INSTRUMENTS, _INSTRUMENTS))

    async def user_status(self, user_id: int) -> bool | None:
        return await self._core.get(wire.USER_STATUS, _STATUS, user_id=user_id)

    async def balances(self, user_id: int) -> list[BalanceView]:
        return await self._core.get(wire.BALANCES, _BALANCES, user_id=user_id)

    async def open_orders(self, user_id: int, symbol: str | None = None) -> list[OpenOrderView]:
        query: dict[str, Any] = {"user_id": user_id} | ({} if symbol is None else {"symbol": symbol})
        return await self._core.get(wire.OPEN_ORDERS, _ORDERS, **query)

    async def open_order(self, user_id: int, order_id: int, cid: str = "") -> OpenOrderView | None:
        return await self._core.get(wire.OPEN_ORDER, _ORDER, user_id=user_id, order_id=order_id, cid=cid)


class RemoteBookReads:
    """`ports.BookReads` of a matcher shard in another process."""

    def __init__(self, core: RemoteCore) -> None:
        self._core = core

    async def depth(self, symbol: str, limit: int) -> DepthView:
        return await self._core.get(wire.DEPTH, _DEPTH, symbol=symbol, limit=limit)


_OFFSET = msgspec.msgpack.Decoder(int)
_POLICY = msgspec.msgpack.Decoder(PolicyView)
_INSTRUMENTS = msgspec.msgpack.Decoder(wire.WiredInstruments)
_STATUS: "msgspec.msgpack.Decoder[bool | None]" = msgspec.msgpack.Decoder(bool | None)
_BALANCES = msgspec.msgpack.Decoder(list[BalanceView])
_ORDERS = msgspec.msgpack.Decoder(list[OpenOrderView])
_ORDER: "msgspec.msgpack.Decoder[OpenOrderView | None]" = msgspec.msgpack.Decoder(OpenOrderView | None)
_DEPTH = msgspec.msgpack.Decoder(DepthView)
_STATE = msgspec.msgpack.Decoder(CoreState)
_SNAPSHOT = msgspec.msgpack.Decoder(CoreSnapshot)


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
