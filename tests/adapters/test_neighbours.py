"""The other processes, asked how they are: those that answer, that are away, and that are stuck."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge

from services.adapters.internal.neighbours import Neighbour, Neighbours, Told
from services.adapters.internal.server import Health, InternalServer
from services.config import load_settings
from services.domain.errors import ConfigError
from services.runtime.distributed.gateway import neighbours_of
from tests.support.aio import run_async


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port on which somebody listens, and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def serving(health: Health) -> AsyncIterator[str]:
    registry = CollectorRegistry()
    Gauge("exchange_lag_frames", "Behind.", registry=registry).set(3)

    async def now() -> Health:
        return health

    listener = socket.create_server(("127.0.0.1", 0))
    server = InternalServer(now, registry)
    await server.start(listener)
    try:
        yield url(listener)
    finally:
        await server.close()


async def asked(*neighbours: Neighbour, timeout_s: float = 5) -> list[Told]:
    found = Neighbours(neighbours, timeout_s)
    try:
        return await found.ask()
    finally:
        await found.close()


@run_async
async def test_process_says_how_it_is_and_its_numbers() -> None:
    async with serving(Health(True, {"a": "running"})) as good, serving(Health(False, {"b": "waiting"})) as bad:
        one, other = await asked(Neighbour("one", good), Neighbour("other", bad))
    assert (one.name, one.url, one.silent, one.ready, one.components) == ("one", good, "", True, {"a": "running"})
    assert "exchange_lag_frames 3.0" in one.metrics
    assert (other.silent, other.ready, other.components) == ("", False, {"b": "waiting"})


@run_async
async def test_process_that_is_away_stuck_or_nowhere_is_silent_and_holds_up_nobody(listener: socket.socket) -> None:
    started = time.monotonic()
    async with serving(Health(True, {})) as good:
        told = await asked(
            Neighbour("stuck", url(listener)),
            Neighbour("away", "http://127.0.0.1:9"),
            Neighbour("nowhere", "", missing="nobody said where"),
            Neighbour("good", good),
            timeout_s=0.5,
        )
    assert [one.name for one in told] == ["stuck", "away", "nowhere", "good"]
    assert told[0].silent == "no answer within 0.5 s"
    assert "127.0.0.1:9" in told[1].silent
    assert told[2].silent == "nobody said where"
    assert (told[3].silent, told[3].ready) == ("", True)
    assert time.monotonic() - started < 5


def test_neighbours_are_all_that_have_an_address_and_those_that_should() -> None:
    environment = {
        "EXCHANGE_UBSCORE__ADDRESSES": '[["http://u:1", "http://v:1"]]',
        "EXCHANGE_MATCHER__ADDRESSES": '[["http://m:1"]]',
        "EXCHANGE_SETTLEMENT__ADDRESSES": '["http://s:1", "http://t:1"]',
    }
    found = neighbours_of(load_settings(environment=environment))
    assert [(one.name, one.url) for one in found] == [
        ("ubscore-0", "http://u:1"),
        ("ubscore-0-standby", "http://v:1"),
        ("matcher-0", "http://m:1"),
        ("settlement-0", "http://s:1"),
        ("settlement-1", "http://t:1"),
        ("order-history", ""),
    ]
    assert "`orderHistory.addresses`" in found[-1].missing


def test_address_that_is_no_url_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"key `orderHistory\.addresses\[0\]`: wants a URL"):
        load_settings(environment={"EXCHANGE_ORDER_HISTORY__ADDRESSES": "[order-history-0]"})
