"""What crashes and silence of a real database, and of those who write to it, do to the store: nothing."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.adapters.clock import SystemClock
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from services.domain.errors import StoreError, StoreUnavailable
from services.domain.orders import OrderStatus
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition
from services.order_history.service import order_history_shell
from services.settlement.service import settlement_shell
from tests.contracts.store_contract import Store, tables_of
from tests.contracts.test_store_cql import opened
from tests.real.database import Database
from tests.support.aio import run_async
from tests.support.memory_log import MemoryLog
from tests.support.memory_store import MemoryStore
from tests.support.rows import balance_row, history_batch, ledger_row, order_row, settlement_batch, statistics_row
from tests.support.streams import Balances, frames, match_result, update

EVENTS = TopicPartition(BALANCE_EVENTS, 0)
OUTPUTS = TopicPartition(ENGINE_OUTPUTS, 0)
PATIENCE_S = 150.0
PAUSE_S = 0.003


def events(dice: random.Random, count: int) -> list[Any]:
    """What a shard says of some users' balances."""
    balances, found = Balances(), []
    for _ in range(count):
        asset = dice.choice(["BTC", "USDT"])
        found.append(balances.deposit(dice.randrange(1001, 1005), asset) if dice.random() < 0.5 else balances.trade())
    return found


def outputs(dice: random.Random, count: int) -> list[Any]:
    """What a matcher says of orders that come, are filled in part, and go, some of them at once."""
    resting: list[tuple[int, int]] = []
    results = []
    for sequence in range(1, count + 1):
        order = (sequence, 1001 + sequence % 7)
        updates = [update(OrderStatus.New, *order)]
        if dice.random() < 0.3:
            updates.append(update(OrderStatus.Filled, *order))
        else:
            resting.append(order)
        if resting and dice.random() < 0.7:
            status = dice.choice([OrderStatus.PartiallyFilled, OrderStatus.Cancelled])
            place = dice.randrange(len(resting))
            chosen = resting.pop(place) if status is OrderStatus.Cancelled else resting[place]
            updates.append(update(status, *chosen, filled_lots=1))
        results.append(match_result(sequence, updates))
    return results


class Work:
    """A log that grows while it is projected, and who projects it."""

    def __init__(self, seed: int, count: int) -> None:
        self.dice = random.Random(seed)
        self.log = MemoryLog()
        sizes = [self.dice.randrange(1, 6) for _ in range(count)]
        self._frames = {
            EVENTS: frames(EVENTS, "ubscore-0", events(self.dice, count), sizes),
            OUTPUTS: frames(OUTPUTS, "matcher-0", outputs(self.dice, count), sizes),
        }
        self._fed = 0

    async def feed(self, share: float = 1.0) -> None:
        """Let the log grow, slowly, up to this share of all its frames."""
        pairs = list(zip(*self._frames.values(), strict=True))
        for pair in pairs[self._fed : round(share * len(pairs))]:
            self._fed += 1
            await self.log.append(pair)
            await asyncio.sleep(PAUSE_S)

    async def project(self, store: Store, linger_s: float = 0.0) -> None:
        """Both projections, until the log's end is in the store."""
        clock = SystemClock()
        shells = [
            settlement_shell(0, self.log, store, clock),
            order_history_shell(OUTPUTS, self.log, store, clock),
        ]
        for shell in shells:
            shell._linger_s = linger_s
        async with asyncio.TaskGroup() as group:
            for shell in shells:
                group.create_task(shell.run())
            while any(shell.next_offset < len(self._frames[shell.partition]) for shell in shells):  # noqa: ASYNC110
                await asyncio.sleep(PAUSE_S)
            for shell in shells:
                shell.stop()

    async def expected(self) -> dict[str, list[Any]]:
        """The tables when nothing disturbs it."""
        store = MemoryStore()
        await self.project(store)
        return await tables_of(store)


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def settings(empty_store: CqlSettings) -> CqlSettings:
    return replace(empty_store, request_timeout_s=5.0, connect_timeout_s=5.0)


@run_async
async def test_database_killed_under_load_loses_nothing_and_doubles_nothing(
    settings: CqlSettings, database: Database
) -> None:
    work = Work(seed=1, count=1_500)
    async with asyncio.timeout(PATIENCE_S), opened(settings) as store:
        projecting = asyncio.create_task(work.project(store))
        for share in (0.3, 0.6):
            await work.feed(share)
            await asyncio.to_thread(database.kill)
            await asyncio.gather(asyncio.to_thread(database.start), work.feed(share + 0.1))
        await work.feed()
        await projecting
        assert await tables_of(store) == await work.expected()


@run_async
async def test_writers_and_database_killed_in_turn_with_other_batches_each_time_lose_nothing(
    settings: CqlSettings, database: Database
) -> None:
    work = Work(seed=2, count=1_500)
    async with asyncio.timeout(PATIENCE_S):
        for life in range(1, 9):
            async with opened(settings) as store:
                projecting = asyncio.create_task(work.project(store, linger_s=work.dice.uniform(0, 0.1)))
                await work.feed(life * 0.1)
                await asyncio.sleep(work.dice.uniform(0, 0.05))
                if life == 4:
                    await asyncio.to_thread(database.kill)
                await cancelled(projecting)
            if life == 4:
                await asyncio.to_thread(database.start)
        async with opened(settings) as store:
            await asyncio.gather(work.feed(), work.project(store))
            assert await tables_of(store) == await work.expected()


@run_async
async def test_two_that_project_the_same_at_one_time_leave_what_one_would(settings: CqlSettings) -> None:
    work = Work(seed=3, count=800)
    async with asyncio.timeout(PATIENCE_S), opened(settings) as store, opened(settings) as zombie:
        late = asyncio.create_task(work.project(zombie, linger_s=0.05))
        await asyncio.gather(work.feed(), work.project(store))
        await late
        assert await tables_of(store) == await work.expected()


@run_async
async def test_batch_far_beyond_the_servers_limit_is_stored_whole(empty_store: CqlSettings) -> None:
    orders = [order_row(1 + n % 400, n, cid="c" * 36, created_ms=n * 10**7) for n in range(1, 3_001)]
    statistics = [statistics_row(user_id) for user_id in range(1, 2_001)]
    balances = [balance_row(user_id, "BTC") for user_id in range(1, 2_001)]
    ledger = [ledger_row(user_id, "BTC", reference="r" * 500) for user_id in range(1, 2_001)]
    batch = history_batch(active=orders, history=orders, statistics=statistics)
    async with opened(empty_store) as store:
        await store.write_history(batch)
        await store.write_settlement(settlement_batch(balances=balances, ledger=ledger))
        tables = await tables_of(store)
        assert tables["order_history"] == sorted(orders, key=lambda row: (row.user_id, row.created_ms, row.order_id))
        assert tables["active_orders"] == sorted(orders, key=lambda row: (row.user_id, row.order_id))
        assert len(tables["order_updates_stream"]) == len(batch.updates)
        assert (tables["order_statistics"], tables["user_balances"]) == (statistics, balances)
        assert tables["balance_ledger"] == ledger


@run_async
async def test_frozen_database_is_unavailable_in_time_and_goes_on_when_thawed(
    settings: CqlSettings, database: Database
) -> None:
    async with opened(replace(settings, request_timeout_s=0.5)) as store:
        await store.write_settlement(settlement_batch(1, balances=[balance_row()]))
        database.freeze()
        start = time.monotonic()
        for question in (
            store.write_settlement(settlement_batch(2, balances=[balance_row(version=2)])),
            store.progress("settlement", EVENTS),
            store.order(1001, 1),
        ):
            with pytest.raises(StoreUnavailable):
                await question
        assert time.monotonic() - start < 10
        database.thaw()
        async with asyncio.timeout(PATIENCE_S):
            await _until_written(store, 3)
        assert [row.version for row in (await store.balances([(1001, "BTC")])).values()] == [3]


async def _until_written(store: CqlStore, version: int) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):
            await store.write_settlement(settlement_batch(version, balances=[balance_row(version=version)]))
            return
        await asyncio.sleep(PAUSE_S)


@run_async
async def test_database_away_at_the_start_is_unavailable_until_it_is_there(
    settings: CqlSettings, database: Database
) -> None:
    database.kill()
    async with opened(settings) as store:
        found = await asyncio.gather(*[store.progress("settlement", EVENTS) for _ in range(5)], return_exceptions=True)
        assert [type(error) for error in found] == [StoreUnavailable] * 5
        await asyncio.to_thread(database.start)
        async with asyncio.timeout(PATIENCE_S):
            await _until_written(store, 1)


@run_async
async def test_too_many_queries_at_one_time_are_refused_while_writes_go_on(settings: CqlSettings) -> None:
    async with opened(replace(settings, max_queries=2, max_writes=1)) as store:
        await store.check()
        asked = [store.active_orders(1001, None) for _ in range(5)]
        writes: Sequence[Any] = [store.write_settlement(settlement_batch(n, balances=[balance_row()])) for n in (1, 2)]
        found = await asyncio.gather(*asked, *writes, return_exceptions=True)
        assert [type(answer) for answer in found[:5]].count(StoreUnavailable) == 3
        assert found[5:] == [None, None]


@run_async
async def test_wrong_statement_is_no_outage(settings: CqlSettings) -> None:
    async with opened(settings) as store:
        session = await store._connected()
        with pytest.raises(StoreError) as caught:
            await session.query("SELECT nothing FROM user_balances")
        assert not isinstance(caught.value, StoreUnavailable)


@run_async
async def test_closed_store_says_so(settings: CqlSettings) -> None:
    store = CqlStore(settings)
    await store.check()
    await store.close()
    with pytest.raises(StoreError, match="is closed"):
        await store.progress("settlement", EVENTS)
