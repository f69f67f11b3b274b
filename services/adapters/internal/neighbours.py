"""The other processes of an exchange, asked how they are: what each says on /health/ready and /metrics."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from services.adapters.internal.client import TIMEOUT_SECONDS

AT_ONCE: Final = 64
"""So many are asked at one time."""
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True)
class Neighbour:
    """A process and its URL. missing: why there is no URL, for one that must be somewhere."""

    name: str
    url: str
    missing: str = ""


@dataclass(frozen=True)
class Told:
    """What a process said of itself. silent: why it said nothing. metrics: in Prometheus' text format."""

    name: str
    url: str
    silent: str = ""
    ready: bool = False
    components: Mapping[str, str] = field(default_factory=dict)
    metrics: str = ""


class _Health(msgspec.Struct):
    components: dict[str, str]


class Neighbours:
    """Asks all of them at once. Made on any thread, it belongs to the event loop that first asks."""

    def __init__(self, neighbours: Sequence[Neighbour], timeout_s: float = TIMEOUT_SECONDS) -> None:
        self._neighbours = tuple(neighbours)
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self) -> list[Told]:
        """What each says, in their order. Never raises: who does not answer in time is silent."""
        return list(await asyncio.gather(*[self._ask(one) for one in self._neighbours]))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, one: Neighbour) -> Told:
        if one.missing:
            return Told(one.name, one.url, one.missing)
        async with self._turns:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._told(one)
            except TimeoutError:
                return Told(one.name, one.url, f"no answer within {self._timeout_s:g} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Told(one.name, one.url, str(error) or type(error).__name__)

    async def _told(self, one: Neighbour) -> Told:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_NO_TIMEOUT)
        async with self._session.get(f"{one.url}/health/ready") as response:
            ready, health = response.status == 200, await response.read()
        async with self._session.get(f"{one.url}/metrics") as response:
            response.raise_for_status()
            metrics = await response.text()
        components = msgspec.json.decode(health, type=_Health).components
        return Told(one.name, one.url, ready=ready, components=components, metrics=metrics)
