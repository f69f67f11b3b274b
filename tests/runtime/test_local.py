"""The local form, below HTTP: it continues from its folder, stops when in doubt, and writes nothing when converged."""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.adapters.logs.logs import Logs
from services.config import AssetEntry, Settings, SymbolEntry
from services.domain.errors import ConfigError, ExchangeError, InvariantError, JournalError
from services.domain.instruments import SymbolStatus
from services.domain.messages import OrderAccepted, OrderRepeated, SetSymbol, TransferCompleted, TransferRepeated
from services.domain.orders import Side
from services.gateway.errors import ExecutionUnknown
from services.runtime.local import OPERATIONS, LocalExchange
from tests.support.aio import run_async
from tests.support.exchanges import Venue, running


@run_async
async def test_local_restart_goes_on_with_balances_orders_and_books(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        await venue.trade_a_little()
        balances = await venue.exchange.balance_reads.balances(1001)
        orders = await venue.exchange.balance_reads.open_orders(1002)
        depth = await venue.exchange.book_reads.depth("BTC_USDT", 100)
    async with running(tmp_path) as venue:
        assert await venue.exchange.balance_reads.balances(1001) == balances
        assert await venue.exchange.balance_reads.open_orders(1002) == orders
        assert await venue.exchange.book_reads.depth("BTC_USDT", 100) == depth
        outcome = await venue.place(1001, Side.Buy, 4_000_000, 100)
        assert isinstance(outcome.event, OrderAccepted)
        assert outcome.event.order_id == max(order.order_id for order in orders) + 1


@run_async
async def test_local_restart_of_a_converged_exchange_writes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        declared = await venue.exchange.log.end(OPERATIONS)
    async with running(tmp_path) as venue:
        assert await venue.exchange.log.end(OPERATIONS) == declared


@run_async
async def test_local_service_that_ends_by_itself_stops_the_exchange(tmp_path: Path) -> None:
    exchange = LocalExchange(Settings(), tmp_path)
    await exchange.start()
    exchange.matcher.stop()
    with pytest.raises(ExchangeError, match="matcher ended, and nobody had asked it to"):
        await asyncio.wait_for(exchange.wait_failed(), 20)
    await exchange.stop()


@run_async
async def test_local_failure_tells_those_who_wait_for_an_answer_at_once(tmp_path: Path) -> None:
    """No answer comes any more: whoever waits for one must not hold the end up."""
    patient = replace(Settings(), gateway=replace(Settings().gateway, answer_timeout_ms=3_600_000))
    exchange = LocalExchange(patient, tmp_path, demo=True)
    await exchange.start()
    waiting = asyncio.create_task(Venue(exchange).place(1001, Side.Buy, 4_000_000, 100))
    await asyncio.sleep(0)
    failing = asyncio.create_task(exchange.wait_failed())
    exchange.matcher.stop()
    with pytest.raises(ExecutionUnknown):
        await asyncio.wait_for(waiting, 20)
    with pytest.raises(ExchangeError, match="matcher ended"):
        await failing
    await exchange.stop()


@run_async
async def test_local_restart_leaves_a_symbol_halted_that_somebody_halted(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        state = venue.exchange.ubscore.core.state
        settings = state.symbols["BTC_USDT"].settings
        dispatcher = venue.exchange.gateway.dispatcher
        halted = type(settings)(
            **{name: getattr(settings, name) for name in settings.__struct_fields__} | {"status": SymbolStatus.Halted}
        )
        await dispatcher.announce(SetSymbol(dispatcher.next_request_id(), 1, halted))
    async with running(tmp_path) as venue:
        assert venue.exchange.ubscore.core.state.symbols["BTC_USDT"].settings.status == SymbolStatus.Halted


@run_async
async def test_local_repeat_across_a_restart_gets_the_first_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        first = await venue.place(1001, Side.Buy, 4_000_000, 100, cid="the-same-order-1")
        deposit = await venue.deposit(1001, "t-77", "BTC", 5)
        assert isinstance(first.event, OrderAccepted)
        assert isinstance(deposit.event, TransferCompleted)
    async with running(tmp_path) as venue:
        again = await venue.place(1001, Side.Buy, 4_000_000, 100, cid="the-same-order-1")
        assert isinstance(again.event, OrderRepeated)
        assert again.event.order_id == first.event.order_id
        repeated = await venue.deposit(1001, "t-77", "BTC", 5)
        assert isinstance(repeated.event, TransferRepeated)
        assert repeated.event.change == deposit.event.change


@run_async
async def test_local_journals_lost_rebuilds_from_the_log_with_the_same_digests(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        await venue.trade_a_little()
        digests = [shell.core.digest() for shell in (venue.exchange.ubscore, venue.exchange.matcher)]
        offset = venue.exchange.ubscore.core.next_offset
    for folder in ("ubscore-0", "matcher-0"):
        for path in (tmp_path / folder).iterdir():
            path.unlink()
    async with running(tmp_path) as venue:
        # Nobody is answered before the cores know all that was answered before.
        shells = (venue.exchange.ubscore, venue.exchange.matcher)
        assert shells[0].core.next_offset == offset
        assert [shell.core.digest() for shell in shells] == digests


@run_async
async def test_local_log_deleted_under_its_journals_refuses_to_start(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        await venue.trade_a_little()
    for name in ("log.sqlite3", "log.sqlite3-wal", "log.sqlite3-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(InvariantError, match="not the log that it followed"):
        async with running(tmp_path):
            pass


@run_async
async def test_local_journal_broken_in_the_middle_refuses_to_start_with_the_position(tmp_path: Path) -> None:
    exchange = LocalExchange(Settings(), tmp_path, demo=True)
    await exchange.start()
    await Venue(exchange).trade_a_little()
    segment = next((tmp_path / "ubscore-0").glob("journal-*.log"))
    data = bytearray(segment.read_bytes())
    await exchange.stop()
    for path in (tmp_path / "ubscore-0").iterdir():
        path.unlink()
    data[len(data) // 2] ^= 0x40
    segment.write_bytes(data)
    with pytest.raises(JournalError, match=r"broken at byte \d+"):
        async with running(tmp_path):
            pass


@run_async
async def test_local_start_with_a_torn_journal_says_what_was_cut(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as venue:
        await venue.trade_a_little()
    segment = max((tmp_path / "data" / "ubscore-0").glob("journal-*.log"))
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"half a record")
    logs = Logs(tmp_path / "logs")
    async with running(tmp_path / "data", logs=logs):
        pass
    await asyncio.to_thread(logs.close)
    text = "".join(path.read_text() for path in (tmp_path / "logs").glob("ubscore.log.*"))
    assert f'"event":"journal_mended","finding":"{segment.name}: cut at byte {size} of {size + 13}' in text


@run_async
async def test_local_store_row_ahead_of_the_log_stops_the_exchange_and_says_where(tmp_path: Path) -> None:
    """Somebody restored an older store: the next change of that balance leaves a gap, and settlement never guesses."""
    async with running(tmp_path) as venue:
        await venue.trade_a_little()
    with sqlite3.connect(tmp_path / "store.sqlite3") as store:
        store.execute("UPDATE user_balances SET version = version - 2 WHERE user_id = 1001 AND asset_id = 'USDT'")
    exchange = LocalExchange(Settings(), tmp_path)
    await exchange.start()
    failing = asyncio.create_task(exchange.wait_failed())
    with suppress(ExecutionUnknown):  # The failure may be faster than the answer.
        await Venue(exchange).place(1001, Side.Buy, 4_000_000, 100)
    with pytest.raises(InvariantError, match=r"settlement: balance.events/0 offset \d+.*1001.*USDT|1001.*USDT"):
        await asyncio.wait_for(failing, 20)
    assert exchange.health()["settlement"].startswith("stopped: ")
    await exchange.stop()


@run_async
async def test_local_setting_refused_names_what_was_refused(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    with pytest.raises(ConfigError, match="asset BTC was refused: ASSET_SCALE_FIXED"):
        async with running(tmp_path, Settings(assets=[AssetEntry("BTC", 6)])):
            pass


@run_async
async def test_local_symbol_of_a_matcher_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """Its orders would reserve funds and wait for ever, and a symbol's matcher never changes."""
    symbol = SymbolEntry("ETH_BTC", "ETH", "BTC", "0.0001", "0.01", "0", 0, 0, matcher_shard=1)
    with pytest.raises(ConfigError, match=r"symbol ETH_BTC: matcherShard must be below 1"):
        async with running(tmp_path, Settings(symbols=[symbol])):
            pass
    async with running(tmp_path) as venue:
        assert "ETH_BTC" not in venue.exchange.ubscore.core.state.symbols


@run_async
async def test_local_event_id_can_be_followed_through_the_logs(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "logs")
    async with running(tmp_path / "data", logs=logs) as venue:
        await venue.deposit(1001, "t-9", "ETH", 5)
    await asyncio.to_thread(logs.close)
    for service in ("ubscore", "settlement"):
        text = "".join(path.read_text() for path in (tmp_path / "logs").glob(f"{service}.log.*"))
        assert '"event_id":"deposit_1001_ETH_2"' in text, service
