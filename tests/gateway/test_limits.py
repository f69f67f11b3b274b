"""What a gateway refuses at the door, and what it says when no outcome comes: a gateway alone, without its cores."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.adapters.ports import Instruments
from services.adapters.sqlite.store import SqliteStore
from services.domain.errors import LogError
from services.domain.instruments import Asset
from services.domain.messages import CreateUser, decode_frame
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from services.gateway.app import GatewayConfig, GatewayDeps, RateLimit, create_app
from services.gateway.errors import REJECT_ANSWERS, ApiError, Overloaded
from services.gateway.keys import make_key
from services.gateway.limits import RateLimiter
from services.ubscore.core import UbsCore
from services.ubscore.service import LocalBalanceReads
from tests.support.clock import ManualClock, settle
from tests.support.memory_log import MemoryLog

CONFIG = GatewayConfig(jwt_secret=b"j" * 32, encryption_key=b"e" * 32, answer_timeout_s=1.0)
OPERATIONS = TopicPartition(BALANCE_OPERATIONS, 0)
TRANSFER = {"transfer_id": "t-1", "user_id": 1001, "asset": "BTC", "amount": "1"}


class Reads(LocalBalanceReads):
    """ubscore's reads of an empty shard that knows BTC."""

    async def instruments(self) -> Instruments:
        return Instruments({"BTC": Asset("BTC", 8)}, {})


class Bench:
    """A gateway on a log in memory that nobody answers on."""

    def __init__(self, config: GatewayConfig, store: SqliteStore) -> None:
        self.log, self.clock, self.store = MemoryLog(), ManualClock(), store
        self.core = core = UbsCore(0, 1)
        self.states = {"ubscore": "running"}
        deps = GatewayDeps(
            log=self.log,
            clock=self.clock,
            queries=store,
            keys=store,
            balances=[Reads(lambda: core.state)],
            books=[],
            config=config,
            request_prefix=1,
            health=lambda: self.states,
        )
        self.app = create_app(deps)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")

    async def log_in(self) -> None:
        row, secret = make_key(1, ["treasury", "read"], CONFIG.encryption_key, 0)
        await self.store.put_key(row)
        answer = await self.http.post("/api/auth/token", json={"api_key": row.api_key, "secret_key": secret})
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def transfer(self) -> "asyncio.Task[httpx.Response]":
        return asyncio.ensure_future(self.http.post("/transfer_in", json=TRANSFER))


def run(tmp_path: Path, story: Callable[[Bench], Awaitable[None]], started: bool = True, **config: Any) -> None:
    async def main() -> None:
        store = SqliteStore(tmp_path / "store.sqlite3")
        bench = Bench(replace(CONFIG, **config), store)
        work = asyncio.ensure_future(bench.app.state.gateway.run() if started else asyncio.sleep(3600))
        await settle()
        try:
            await bench.log_in()
            await story(bench)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await store.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so; the store answers from a thread."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")


def test_outcome_that_does_not_come_is_504_and_unknown(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        waiting = bench.transfer()
        await until(lambda: bench.app.state.gateway.tracker.waiting == 1)
        await bench.clock.advance(1.5)
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (504, -1007)
        assert "unknown" in answer.json()["msg"]

    run(tmp_path, story)


def test_failed_append_is_504_and_unknown(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.log.failures = [LogError("disk full")]
        answer = await bench.transfer()
        assert (answer.status_code, answer.json()["code"]) == (504, -1007)

    run(tmp_path, story)


def test_order_that_is_durable_but_not_applied_yet_is_unknown_and_not_missing(tmp_path: Path) -> None:
    """Who got ACK, or no answer in time, asks with the cid: "no such order" would be a lie while ubscore is behind."""

    async def story(bench: Bench) -> None:
        await bench.log.say(OPERATIONS, "gateway-0", 0, [CreateUser(1, 1, 1)])
        asking = asyncio.ensure_future(bench.http.get("/api/orders", params={"cid": "mine"}))
        while not asking.done():
            await bench.clock.advance(0.1)
            await asyncio.sleep(0.001)
        assert ((await asking).status_code, (await asking).json()["code"]) == (504, -1007)
        (stored,) = await bench.log.read(OPERATIONS, 0)
        bench.core.apply(decode_frame(OPERATIONS.topic, stored.data), stored.offset)
        missing = await bench.http.get("/api/orders", params={"cid": "mine"})
        assert (missing.status_code, missing.json()["code"]) == (404, -2013)

    run(tmp_path, story)


def test_more_commands_than_fit_are_503_with_retry_after(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        first = bench.transfer()
        await until(lambda: bench.app.state.gateway.tracker.waiting == 1)
        answer = await bench.transfer()
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, -1008, "1")
        await bench.clock.advance(1.5)
        assert (await first).status_code == 504
        assert bench.log.appends == 1

    run(tmp_path, story, max_in_flight=1)


def test_gateway_that_does_not_read_answers_is_not_ready_and_takes_nothing(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        ready = await bench.http.get("/health/ready")
        assert ready.status_code == 503
        assert "not started" in ready.json()["components"]["gateway outcomes"]
        assert (await bench.http.get("/health/live")).status_code == 200
        assert (await bench.transfer()).status_code == 503
        assert bench.log.appends == 0

    run(tmp_path, story, started=False)


def test_gateway_that_has_ended_takes_nothing(tmp_path: Path) -> None:
    """Connections outlive it for a moment: nobody would ever answer what came on them."""

    async def story(bench: Bench) -> None:
        gateway = bench.app.state.gateway
        work = asyncio.ensure_future(gateway.run())
        await settle()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        answer = await asyncio.wait_for(bench.transfer(), 10)
        assert (answer.status_code, answer.json()["code"]) == (503, -1008)
        with pytest.raises(Overloaded):
            await asyncio.wait_for(gateway.bus.submit(CreateUser(1, 1, 1), 0), 10)
        assert (await bench.http.get("/health/ready")).status_code == 503
        assert bench.log.appends == 0

    run(tmp_path, story, started=False)


def test_stopped_component_makes_it_not_ready(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert (await bench.http.get("/health/ready")).status_code == 200
        bench.states["ubscore"] = "stopped: gap at 5"
        ready = await bench.http.get("/health/ready")
        assert (ready.status_code, ready.json()["components"]["ubscore"]) == (503, "stopped: gap at 5")

    run(tmp_path, story)


def test_caller_above_the_rate_is_429_until_time_has_passed(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        statuses = [(await bench.http.get("/api/orders/statistics")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = await bench.http.get("/api/orders/statistics")
        assert (refused.json()["code"], refused.headers["Retry-After"]) == (-1003, "1")
        await bench.clock.advance(1)
        assert (await bench.http.get("/api/orders/statistics")).status_code == 200

    run(tmp_path, story, caller_rate=RateLimit(1, 2))


def test_store_that_is_gone_is_503(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        assert (await bench.http.get("/api/orders/statistics")).status_code == 200
        await bench.store.close()
        answer = await bench.http.get("/api/orders/statistics")
        assert (answer.status_code, answer.json()["code"]) == (503, -1008)

    run(tmp_path, story)


def test_anonymous_callers_are_limited_each_by_address() -> None:
    limiter = RateLimiter(ManualClock(), RateLimit(1, 1), RateLimit(0.1, 2))
    for _ in range(2):
        limiter.take_anonymous("1.2.3.4")
    with pytest.raises(ApiError) as caught:
        limiter.take_anonymous("1.2.3.4")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "10"})
    limiter.take_anonymous("1.2.3.5")


def test_every_reject_has_an_answer_that_is_the_callers_to_mend() -> None:
    assert set(REJECT_ANSWERS) == set(Reject) - {Reject.NONE}
    assert all(400 <= answer.status < 500 and answer.code < 0 for answer in REJECT_ANSWERS.values())
