"""The distributed form as five (or more) real processes on a real broker and database: the story, and the same answers
and digests as the local form gives to the same commands.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias

import httpx
from rich.console import Console

from services.adapters.internal.client import RemoteCore
from services.adapters.kafka.log import KafkaLog
from services.adapters.ports import Append, Log, StoredFrame
from services.config import load_settings
from services.demo.client import USERS, Api
from services.demo.story import tell
from services.domain.messages import decode_header
from services.domain.topics import (
    BALANCE_OPERATIONS,
    ORDER_SHARD_SHIFT,
    ORDERS,
    TOPICS,
    TopicPartition,
    matcher_source,
    ubscore_source,
)
from services.runtime.connections import kafka_settings
from services.runtime.credentials import load_credentials, load_secrets
from tests.contracts.log_contract import read_all
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.live_exchange import LiveExchange
from tests.support.market_day import MarketDay, answers_to, questions
from tests.support.processes import run

Frames: TypeAlias = dict[TopicPartition, list[StoredFrame]]

OPERATIONS = TopicPartition(BALANCE_OPERATIONS, 0)
ACCEPTED = TopicPartition(ORDERS, 0)
PATIENCE_S = 120.0
_NUMBERS = itertools.count(1)

ETH_ON_THE_SECOND_MATCHER = {
    "assets": [{"name": name, "scale": 8} for name in ("BTC", "ETH", "USDT")],
    "symbols": [
        {
            "name": f"{base}_USDT",
            "base": base,
            "quote": "USDT",
            "tickSize": "0.01",
            "lotSize": lot,
            "minNotional": "5",
            "makerFee": "0.001",
            "takerFee": "0.001",
            "band": "0.5",
            "matcherShard": shard,
        }
        for base, lot, shard in (("BTC", "0.00001", 0), ("ETH", "0.0001", 1))
    ],
}


@contextmanager
def stack(folder: Path, broker: Broker, database: Database, **more: Any) -> Iterator[Stack]:
    """A stack on the broker and database that the tests of this process share."""
    prefix = f"story-{next(_NUMBERS)}"
    with Stack(folder, broker=broker, database=database, prefix=prefix, **more) as made:
        try:
            yield made
        except BaseException:
            print(made.output())
            raise


def told(stack: Stack) -> Any:
    with (stack.folder / "story.txt").open("a") as file:
        return tell(stack.url, stack.folder, stack.log_dir, Console(file=file, width=120))


def test_distributed_story_is_told_twice_and_the_processes_stop_in_order(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    with stack(tmp_path, broker, database) as made:
        assert [told(made).trades, told(made).trades] == [148, 148]
        for name, process in made.processes.items():
            assert "exchange_build_info" in httpx.get(f"{process.url}/metrics").text, name
        assert made.stop() == dict.fromkeys(made.processes, 0)


def test_distributed_story_two_shards_each_buyer_and_seller_meet_and_nothing_is_lost(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    settings = ETH_ON_THE_SECOND_MATCHER
    with stack(tmp_path, broker, database, account_shards=2, matcher_shards=2, settings=settings) as made:
        ending = told(made)
        assert ending.trades == 148
        shards_of_orders = {order_id >> ORDER_SHARD_SHIFT for order_id in ending.books.statuses}
        assert shards_of_orders == {0, 1}
        assert any(fill.buyer % 2 != fill.seller % 2 for fill in ending.books.fills)
        assert {fill.symbol for fill in ending.books.fills} == {"BTC_USDT", "ETH_USDT"}
        api = Api(made.url, made.folder)
        states = api.get("/api/admin/state", 0)["cores"]
        assert [core["source"] for core in states] == ["ubscore-0", "ubscore-1", "matcher-0", "matcher-1"]
        assert all(core["next_offset"] > 0 for core in states)
        api.close()
        # Every output, digest and row again from the log; and no unit too much or too little over both shards.
        verified = run("verify", "--config", made.config)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert made.stop() == dict.fromkeys(made.processes, 0)


def test_distributed_every_answer_and_digest_equals_the_local_form_on_the_same_commands(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    with stack(tmp_path / "stack", broker, database) as made, Quiet(made) as quiet:
        api = Api(made.url, made.folder)
        day = MarketDay(api, quiet.wait)
        day.play()
        assert {answer.get("order_status") for answer in day.answers} >= {
            "New",
            "PartiallyFilled",
            "Filled",
            "Cancelled",
            "Expired",
            "Rejected",
        }
        quiet.wait()
        frames = quiet.frames()
        load_credentials(tmp_path / "local", USERS)
        local = LiveExchange(tmp_path / "local", demo=False)
        try:
            local.run(lambda: say_again(local, frames))
            same_api = Api(local.url, tmp_path / "local")
            for path, query in questions(day.order_ids):
                expect_equal_answers(api, same_api, path, query)
            assert api.get("/api/admin/state", 0) == same_api.get("/api/admin/state", 0)
            same_api.close()
        finally:
            local.stop()
        api.close()


def test_distributed_active_cores_gone_standbys_answer_reads_and_then_commands(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    patient = {"gateway": {"answerTimeout": "25s"}}
    with stack(tmp_path, broker, database, standby=True, settings=patient) as made:
        assert told(made).trades == 148
        api = Api(made.url, made.folder)
        before = api.get("/api/balances", 1001)
        made.kill("ubscore-0", "matcher-0")
        assert api.get("/api/balances", 1001) == before
        assert api.get("/api/depth", symbol="BTC_USDT")["sequence"] > 0
        order = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Limit", "price": "50000", "quantity": "0.1"}
        placed = api.post("/api/orders", order, 1001)
        assert placed["order_status"] == "New"
        assert [one["order_id"] for one in api.get("/api/orders/active", 1001)["orders"]] == [placed["order_id"]]
        roles = {
            name: made.processes[name].health()["ready"]["role"] for name in ("ubscore-0-standby", "matcher-0-standby")
        }
        assert set(roles.values()) == {"active"}
        made.restart("ubscore-0", "matcher-0")
        made.wait_ready("ubscore-0", "matcher-0")
        assert told(made).trades == 148
        api.close()


def test_distributed_broker_silent_projections_are_not_ready_and_say_why_until_it_speaks_again(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    with stack(tmp_path, broker, database) as made:
        projections = [made.processes[name] for name in ("settlement-0", "order-history-0")]
        broker.freeze()
        try:
            for process in projections:
                deadline = time.monotonic() + PATIENCE_S
                while not any("waiting for brokers" in states.values() for states in process.health().values()):
                    assert time.monotonic() < deadline, process.health()
                    time.sleep(0.05)
        finally:
            broker.thaw()
        made.wait_ready()


class Quiet:
    """Waits until a stack has nothing to do.

    A core joins what it says about the frames that it finds waiting. So frames, and with them the positions in the
    digests, are the same in two exchanges only if each command finds both at rest.
    """

    def __init__(self, made: Stack) -> None:
        self._made = made
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _open(self) -> None:
        settings = load_settings(self._made.config)
        token = load_secrets(self._made.folder).internal_token
        self._log = KafkaLog(kafka_settings(settings))
        self._cores = {
            OPERATIONS: RemoteCore(ubscore_source(0), settings.ubscore.addresses[0], token),
            ACCEPTED: RemoteCore(matcher_source(0), settings.matcher.addresses[0], token),
        }

    async def _close(self) -> None:
        await self._log.close()
        for core in self._cores.values():
            await core.close()

    def wait(self) -> None:
        self._runner.run(at_rest(self._log, {read: core.snapshot for read, core in self._cores.items()}))

    def frames(self) -> Frames:
        """Everything on the log."""
        return self._runner.run(frames_of(self._log))


async def at_rest(log: Log, snapshots: Mapping[TopicPartition, Callable[[], Awaitable[Any]]]) -> None:
    """Return when each core has applied all its input and said all about it.

    snapshots: by the partition that the core reads; one is taken when all that was applied is said.
    """
    async with asyncio.timeout(PATIENCE_S):
        while True:
            applied = {read: (await take()).next_offset for read, take in snapshots.items()}
            if applied == {read: await log.end(read) for read in applied}:
                return
            await asyncio.sleep(0.01)


async def frames_of(log: Log) -> Frames:
    return {TopicPartition(topic, 0): await read_all(log, TopicPartition(topic, 0)) for topic in TOPICS}


async def say_again(local: LiveExchange, expected: Frames) -> None:
    """Give a local exchange the gateway's frames, each at the offset that it had; the cores must say the same."""
    log: Log = local.exchange.log
    cores = (local.exchange.ubscore, local.exchange.matcher)
    snapshots = {shell.core.input: shell.snapshot_now for shell in cores}
    for stored in expected[OPERATIONS]:
        if decode_header(stored.data).source.startswith("gateway-"):
            await at_rest(log, snapshots)
            assert await log.end(OPERATIONS) == stored.offset
            await log.append([Append(OPERATIONS, stored.data)])
    await at_rest(log, snapshots)
    assert await frames_of(log) == expected


def expect_equal_answers(api: Api, same_api: Api, path: str, query: dict[str, Any]) -> None:
    """Both give the same pages, once both stores have caught up."""
    deadline = time.monotonic() + PATIENCE_S
    while (got := answers_to(api, path, query)) != (expected := answers_to(same_api, path, query)):
        assert time.monotonic() < deadline, f"{path} {query}\n{got}\n{expected}"
        time.sleep(0.05)
