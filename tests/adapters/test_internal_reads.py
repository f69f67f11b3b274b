"""Reads of a core in another process give what the local ones give, from whichever instance answers, or say why not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from services.adapters.internal.client import RemoteBalanceReads, RemoteBookReads, RemoteCore
from services.adapters.internal.server import Health
from services.adapters.internal.shared_books import SharedBookReads
from services.adapters.ports import BalanceReads, DepthView
from services.domain.errors import CoreUnavailable
from services.domain.messages import SetSymbol, SetUserStatus
from services.domain.orders import OrderType
from services.matcher.engine import MatcherEngine
from services.matcher.service import LocalBookReads
from services.ubscore.service import LocalBalanceReads
from tests.support.aio import run_async
from tests.support.balance_shard import T0, Shard, buy, closed, match, sell, trade, venue
from tests.support.internal import TOKEN, serving, silent
from tests.support.matcher_commands import SYMBOLS, random_commands
from tests.support.venues import EngineVenue

Read = Callable[[Any], Awaitable[Any]]
USERS = (1, 2, 3, 77, 2**63 - 1)

BALANCE_READS: dict[str, Read] = {
    "next_offset": lambda reads: reads.next_offset(),
    "policy": lambda reads: reads.policy(),
    "instruments": lambda reads: reads.instruments(),
    **{f"user_status {user}": lambda reads, user=user: reads.user_status(user) for user in USERS},
    **{f"balances {user}": lambda reads, user=user: reads.balances(user) for user in USERS},
    **{f"open_orders {user}": lambda reads, user=user: reads.open_orders(user) for user in USERS},
    "open_orders of a symbol": lambda reads: reads.open_orders(1, "ETH_USDT"),
    "open_orders of no symbol": lambda reads: reads.open_orders(1, ""),
    "open_order by id": lambda reads: reads.open_order(1, 1),
    "open_order by cid": lambda reads: reads.open_order(1, 0, "a:/-._"),
    "open_order of nobody": lambda reads: reads.open_order(77, 1),
    "open_order that is not there": lambda reads: reads.open_order(1, 0, "x&symbol=é +%"),
}


def balance_shard() -> Shard:
    """Users with orders of several kinds, one suspended, and a symbol with steps beyond 64 bits."""
    shard = venue(1, 2, 3)
    maker = shard.send(sell(1, 1000, 30, "a:/-._")).forward
    shard.send(sell(1, 1000, 30, "b", symbol="ETH_USDT"), sell(1, 1001, 30, "c"), SetUserStatus(1, T0, 3, True))
    taker = shard.send(buy(2, 1000, 10)).forward
    shard.report(match([trade(maker, taker, 10)], [closed(taker)]))
    shard.send(buy(2, 900, 0, "m", order_type=OrderType.Market, quote_amount=2_000_000))
    settings = shard.core.state.symbols["BTC_USDT"].settings
    large = {"name": "ETH_BTC", "base": "ETH", "quote": "BTC", "tick_size": "100", "lot_size": "100"}
    shard.send(
        SetSymbol(1, T0, type(settings)(**{f: getattr(settings, f) for f in settings.__struct_fields__} | large))
    )
    assert shard.core.state.symbols["ETH_BTC"].tick_units > 2**64
    return shard


def reads_of(*urls: str, timeout_s: float = 2.0) -> tuple[RemoteCore, RemoteBalanceReads]:
    core = RemoteCore("ubscore-0", urls, TOKEN, timeout_s)
    return core, RemoteBalanceReads(core)


@pytest.mark.parametrize("read", BALANCE_READS.values(), ids=BALANCE_READS)
def test_balance_reads_remote_give_what_the_local_ones_give(read: Read) -> None:
    async def both() -> None:
        shard = balance_shard()
        local = LocalBalanceReads(lambda: shard.core.state)
        async with serving(local) as url:
            core, remote = reads_of(url)
            expected, got = await read(local), await read(remote)
            await core.close()
        assert got == expected
        assert repr(got) == repr(expected)

    asyncio.run(both())


def test_balance_reads_of_the_test_cover_every_method() -> None:
    methods = {name for name in vars(BalanceReads) if not name.startswith("_")}
    assert methods == {name.partition(" ")[0] for name in BALANCE_READS}


@run_async
async def test_book_reads_remote_give_what_the_local_ones_give() -> None:
    venue = EngineVenue(MatcherEngine(0, 1))
    for command in random_commands(5, 400):
        venue.handle(command)
    local = LocalBookReads(lambda: venue.engine)
    async with serving(books=local) as url:
        core = RemoteCore("matcher-0", [url], TOKEN)
        for symbol in (*SYMBOLS, "NO_BODY"):
            for limit in (1, 5, 1000):
                assert await RemoteBookReads(core).depth(symbol, limit) == await local.depth(symbol, limit)
        await core.close()


@run_async
async def test_book_reads_shared_never_give_a_book_from_before_they_were_asked_and_ask_once_for_all() -> None:
    venue = EngineVenue(MatcherEngine(0, 1))
    asked = 0

    class Counting(LocalBookReads):
        async def depth(self, symbol: str, limit: int) -> DepthView:
            nonlocal asked
            asked += 1
            return await super().depth(symbol, limit)

    async with serving(books=Counting(lambda: venue.engine)) as url:
        core = RemoteCore("matcher-0", [url], TOKEN)
        shared = SharedBookReads(RemoteBookReads(core))
        before = [asyncio.create_task(shared.depth("BTC_USDT", 1)) for _ in range(100)]
        await asyncio.sleep(0)
        for command in random_commands(5, 400):
            venue.handle(command)
        after = [asyncio.create_task(shared.depth("BTC_USDT", 1)) for _ in range(100)]
        await asyncio.gather(*before)
        expected = venue.engine.depth("BTC_USDT", 1)
        assert await asyncio.gather(*after) == [expected] * 100
        assert asked <= 3
        assert await shared.depth("BTC_USDT", 1) == expected
        await core.close()


@run_async
async def test_remote_core_state_and_snapshot_arrive_whole() -> None:
    async with serving() as url:
        core = RemoteCore("ubscore-0", [url], TOKEN)
        assert (await core.state()) == ("ubscore-0", 7, b"d" * 32, "active")
        assert (await core.snapshot()).data == bytes(3_000_000)
        await core.close()


@run_async
async def test_remote_core_first_instance_away_the_next_one_answers_and_is_asked_first_from_then_on() -> None:
    shard = balance_shard()
    async with silent() as frozen, serving(LocalBalanceReads(lambda: shard.core.state)) as url:
        core, reads = reads_of("http://127.0.0.1:1", frozen, url, timeout_s=0.3)
        assert await reads.user_status(3)
        begin = time.monotonic()
        assert await asyncio.gather(*[reads.user_status(3) for _ in range(50)]) == [True] * 50
        assert time.monotonic() - begin < 0.3, "somebody asked the silent one again"
        await core.close()


@run_async
async def test_remote_core_instance_that_is_behind_is_passed_over() -> None:
    async def behind() -> None:
        raise CoreUnavailable("is behind")

    shard = balance_shard()
    local = LocalBalanceReads(lambda: shard.core.state)
    async with serving(local, fence=behind) as late, serving(local) as good:
        core, reads = reads_of(late, good)
        assert await reads.user_status(3)
        await core.close()


@run_async
async def test_remote_core_nobody_answers_names_every_instance_and_reason_in_bounded_time() -> None:
    async def behind() -> None:
        raise CoreUnavailable("balance.operations/0: is behind offset 9, the log's end")

    shard = balance_shard()
    async with silent() as frozen, serving(LocalBalanceReads(lambda: shard.core.state), fence=behind) as late:
        core, reads = reads_of(frozen, late, "http://127.0.0.1:1", timeout_s=0.2)
        begin = time.monotonic()
        with pytest.raises(CoreUnavailable) as caught:
            await reads.balances(1)
        assert time.monotonic() - begin < 5
        await core.close()
    for part in (f"{frozen}: no answer in time", f"{late}: balance.operations/0: is behind", "http://127.0.0.1:1: "):
        assert part in str(caught.value)


@run_async
async def test_remote_core_address_of_another_shard_is_passed_over_and_named() -> None:
    """It would say of every user that it does not know him."""
    shard, other = balance_shard(), venue(4)
    async with (
        serving(LocalBalanceReads(lambda: other.core.state), source="ubscore-1") as wrong,
        serving(LocalBalanceReads(lambda: shard.core.state), source="ubscore-0") as right,
    ):
        core, reads = reads_of(wrong, right)
        assert await reads.balances(1)
        await core.close()
        core, reads = reads_of(wrong)
        with pytest.raises(CoreUnavailable, match=r"ubscore-0 does not answer: .* this is the address of ubscore-1"):
            await reads.balances(1)
        await core.close()


@run_async
async def test_remote_core_with_another_secret_is_refused_and_says_what_to_look_at() -> None:
    async with serving() as url:
        core = RemoteCore("ubscore-0", [url], "another-token")
        with pytest.raises(CoreUnavailable, match="do all processes have the same secret key"):
            await core.state()
        await core.close()


@run_async
async def test_internal_server_answers_health_and_metrics_without_a_token_and_reads_with_it_alone() -> None:
    health = [Health(False, {"ubscore-0": "recovering"})]
    shard = balance_shard()
    async with (
        serving(LocalBalanceReads(lambda: shard.core.state), health=lambda: health[0]) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.get("/health/ready")).status_code == 503
        assert (await http.get("/health/ready")).json() == {
            "status": "not ready",
            "components": {"ubscore-0": "recovering"},
        }
        health[0] = Health(True, {"ubscore-0": "running"})
        assert (await http.get("/health/ready")).status_code == 200
        assert (await http.get("/metrics")).status_code == 200
        for path in ("/balances?user_id=1", "/state", "/snapshot", "/no-such-path"):
            assert (await http.get(path)).status_code == 401, path
        no_text = {"Authorization": b"Bearer \xff\xfe"}
        assert (await http.get("/state", headers=no_text)).status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.get("/balances?user_id=x", headers=bearer)).status_code == 400
        assert (await http.get("/balances", headers=bearer)).status_code == 400
        assert (await http.get("/no-such-path", headers=bearer)).status_code == 404
