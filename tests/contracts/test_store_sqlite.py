"""The SQLite store keeps the contract, and what is its own: schema, threads, locks, reading beside a writer."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from services.adapters.sqlite.database import MAX_QUERIES
from services.adapters.sqlite.store import SqliteStore
from services.domain import rows
from services.domain.errors import StoreError, StoreUnavailable
from tests.contracts.store_contract import EVENTS, StoreContract, rows_of
from tests.support.aio import run_async
from tests.support.rows import balance_row, history_batch, key_row, ledger_row, order_row, settlement_batch


@asynccontextmanager
async def opened(path: Path, *, read_only: bool = False) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, read_only=read_only)
    try:
        yield store
    finally:
        await store.close()


class TestSqliteStore(StoreContract):
    def open(self, place: Path):
        return opened(place / "store.sqlite3")


@run_async
async def test_queries_that_take_long_hold_up_neither_keys_nor_projections(tmp_path: Path) -> None:
    """A key is looked up before every command: one user's queries must not stop everybody's orders."""
    slow = threading.Event()
    async with opened(tmp_path / "s") as store:
        queries = [asyncio.create_task(store._read(lambda _: slow.wait(30))) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                assert await store.get_key("nobody's") is None
                assert await store.balances([(1, "BTC")]) == {}
                assert await store.progress("settlement", EVENTS) is None
        finally:
            slow.set()
            await asyncio.gather(*queries)


@run_async
async def test_queries_beyond_those_that_may_wait_are_refused(tmp_path: Path) -> None:
    slow = threading.Event()
    async with opened(tmp_path / "s") as store:
        queries = [asyncio.create_task(store._read(lambda _: slow.wait(30))) for _ in range(MAX_QUERIES)]
        await asyncio.sleep(0)
        try:
            with pytest.raises(StoreUnavailable, match="too many queries"):
                await asyncio.wait_for(store.order(1, 1), 10)
        finally:
            slow.set()
            await asyncio.gather(*queries)
        assert await store.order(1, 1) is None


@pytest.mark.parametrize(
    ("table", "row_type"),
    [
        ("settled_trades", rows.SettledTradeRow),
        ("user_balances", rows.BalanceRow),
        ("balance_ledger", rows.LedgerRow),
        ("settlement_progress", rows.ProgressRow),
        ("active_orders", rows.OrderRow),
        ("order_history", rows.OrderRow),
        ("order_updates_stream", rows.OrderUpdateRow),
        ("order_statistics", rows.StatisticsRow),
        ("api_keys", rows.ApiKeyRow),
    ],
)
@run_async
async def test_columns_of_a_table_are_the_fields_of_its_row(tmp_path: Path, table: str, row_type: type[msgspec.Struct]):
    async with opened(tmp_path / "s"):
        with closing(sqlite3.connect(tmp_path / "s")) as connection:
            columns = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
    assert columns == list(row_type.__struct_fields__)


@run_async
async def test_settings_of_the_file_are_durable(tmp_path: Path):
    async with opened(tmp_path / "s") as store:
        mode = await store._write(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
        journal = await store._read(lambda connection: connection.execute("PRAGMA journal_mode").fetchone())
    assert (mode, journal) == ((2,), ("wal",))


@run_async
async def test_write_that_fails_halfway_leaves_nothing(tmp_path: Path):
    async with opened(tmp_path / "s") as store:
        broken = settlement_batch(balances=[balance_row(), balance_row(asset_id=None)], ledger=[None])
        with pytest.raises((StoreError, TypeError)):
            await store.write_settlement(broken)
        assert await rows_of(store.all_balances()) == []
        await store.write_settlement(settlement_batch(balances=[balance_row()]))
        assert await rows_of(store.all_balances()) == [balance_row()]


@run_async
async def test_write_while_another_process_holds_the_lock_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.adapters.sqlite.database.BUSY_SECONDS", 0.01)
    async with opened(tmp_path / "s") as store:
        with closing(sqlite3.connect(tmp_path / "s", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="locked"):
                await store.write_settlement(settlement_batch())
            other.execute("ROLLBACK")
        await store.write_settlement(settlement_batch())
        assert await store.progress("settlement", EVENTS) == settlement_batch().progress


@run_async
async def test_first_read_while_another_process_writes_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.adapters.sqlite.database.BUSY_SECONDS", 0)
    async with opened(tmp_path / "s") as store:
        with closing(sqlite3.connect(tmp_path / "s", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await store.order(1001, 1) is None
            other.execute("ROLLBACK")


@run_async
async def test_write_on_a_full_disk_is_unavailable_and_succeeds_later(tmp_path: Path):
    async with opened(tmp_path / "s") as store:
        await store._read(lambda connection: None)
        ((pages,), _) = await store._write(
            lambda connection: (
                connection.execute("PRAGMA page_count").fetchone(),
                connection.execute("PRAGMA max_page_count = 1").fetchone(),
            )
        )
        many = settlement_batch(balances=[balance_row(user_id) for user_id in range(1, 5_000)])
        with pytest.raises(StoreUnavailable, match="full"):
            await store.write_settlement(many)
        await store._write(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 10_000}").fetchone()
        )
        await store.write_settlement(many)
        assert len(await rows_of(store.all_balances())) == 4_999


@run_async
async def test_read_only_store_sees_one_moment_while_another_writes(tmp_path: Path):
    async with opened(tmp_path / "s") as writer:
        await writer.write_settlement(settlement_batch(balances=[balance_row()]))
        async with opened(tmp_path / "s", read_only=True) as reader:
            await writer.write_settlement(settlement_batch(balances=[balance_row(version=2)]))
            assert await rows_of(reader.all_balances()) == [balance_row()]
            with pytest.raises(StoreError, match="reading only"):
                await reader.write_settlement(settlement_batch())
        async with opened(tmp_path / "s", read_only=True) as reader:
            assert await rows_of(reader.all_balances()) == [balance_row(version=2)]


@run_async
async def test_read_only_store_of_a_closed_one_opens(tmp_path: Path):
    async with opened(tmp_path / "s") as writer:
        await writer.write_settlement(settlement_batch(balances=[balance_row()]))
    async with opened(tmp_path / "s", read_only=True) as reader:
        assert await rows_of(reader.all_balances()) == [balance_row()]


def test_open_read_only_without_a_file_is_refused(tmp_path: Path):
    with pytest.raises(StoreError, match="unable to open"):
        SqliteStore(tmp_path / "missing", read_only=True)


def test_open_a_file_that_is_no_store_is_refused(tmp_path: Path):
    (tmp_path / "s").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database") as refused:
        SqliteStore(tmp_path / "s")
    assert not isinstance(refused.value, StoreUnavailable)


@run_async
async def test_open_a_store_of_a_newer_schema_is_refused(tmp_path: Path):
    async with opened(tmp_path / "s") as store:
        await store._write(lambda connection: connection.execute("UPDATE schema_version SET version = 99"))
    with pytest.raises(StoreError, match="schema version 99"):
        SqliteStore(tmp_path / "s")


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A store as the first release wrote it."""
    path = tmp_path / "s"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name("store_version_1.sql").read_text())
    return path


@run_async
async def test_open_a_store_of_version_1_brings_it_to_this_one_and_keeps_its_rows(version_1: Path, tmp_path: Path):
    async with opened(version_1) as store:
        # User 1001's update 7, a partial fill, is not counted.
        assert await rows_of(store.all_statistics()) == [
            rows.StatisticsRow(1001, -2, 0, 0, 0, 1, 0, 1_000, 11),
            rows.StatisticsRow(1001, 0, 1, 0, 0, 0, 0, 1_000, 3),
            rows.StatisticsRow(1002, 0, 1, 1, 0, 0, 0, 1_000, 6),
        ]
        assert await rows_of(store.all_active_orders()) == [order_row()]
        assert await rows_of(store.all_ledger()) == [ledger_row()]
        assert await store.get_key("key-1") == key_row()
        assert await store.progress("settlement", EVENTS) == settlement_batch(3).progress
    async with opened(version_1) as store:
        assert len(await rows_of(store.all_order_updates())) == 5
    async with opened(tmp_path / "new"):
        assert schema_of(version_1) == schema_of(tmp_path / "new")


def schema_of(path: Path) -> dict[str, list[str]]:
    """The columns of every table and index."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema ORDER BY name")]
        return {
            name: [str(column) for kind in ("table", "index") for column in columns_of(connection, kind, name)]
            for name in names
        }


def columns_of(connection: sqlite3.Connection, kind: str, name: str) -> list[tuple[object, ...]]:
    # Without the default value, which only a column that was added has.
    return [(*column[:4], *column[5:]) for column in connection.execute(f"PRAGMA {kind}_info({name})")]


def test_open_read_only_a_store_of_version_1_is_refused_and_leaves_it_alone(version_1: Path):
    with pytest.raises(StoreError, match="schema version 1"):
        SqliteStore(version_1, read_only=True)
    with closing(sqlite3.connect(version_1)) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(1,)]


@run_async
async def test_call_after_close_is_refused(tmp_path: Path):
    async with opened(tmp_path / "s") as store:
        pass
    with pytest.raises(StoreError, match="closed"):
        await store.write_settlement(settlement_batch())


@pytest.fixture
def _one_reader(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.adapters.sqlite.database.READERS", 1)


@pytest.mark.usefixtures("_one_reader")
@run_async
async def test_every_query_searches_an_index_and_sorts_nothing(tmp_path: Path):
    statements: list[str] = []
    async with opened(tmp_path / "s") as store:
        for read in (store._read, store._look_up):
            await read(lambda connection: connection.set_trace_callback(statements.append))
        await store.balances([(1, "BTC"), (2, "BTC")])
        await store.latest_ledger([(1, "BTC"), (2, "BTC")])
        await store.statistics([(1, 0), (2, 0)])
        await store.ledger(1, None, 9, ("BTC", 5))
        await store.ledger(1, "BTC", 9, ("BTC", 5))
        await store.order(1, 2)
        await store.order_by_cid(1, "x")
        await store.active_orders(1, "BTC_USDT")
        await store.order_history(1, "BTC_USDT", 0, 9, 9, (1, 2))
        await store.order_statistics(1)
        await store.trades_by_symbol("BTC_USDT", 9, 5)
        await store.keys_of(1)
        for read in (store._read, store._look_up):
            await read(lambda connection: connection.set_trace_callback(None))
        await store._write(lambda connection: connection.set_trace_callback(statements.append))
        await store.write_history(history_batch(closed=[(1, 2), (3, 4)]))
        await store._write(lambda connection: connection.set_trace_callback(None))
        plans = {
            text: await store._read(lambda connection, text=text: plan_of(connection, text)) for text in statements
        }
    tables = "settled_trades|user_balances|balance_ledger|entry|active|order_history|order_updates|order_stat|api_keys"
    for text, plan in plans.items():
        assert not re.search(f"SCAN ({tables})|TEMP B-TREE", plan), (text, plan)
    assert sum("SEARCH" in plan for plan in plans.values()) == 14


def plan_of(connection: sqlite3.Connection, statement: str) -> str:
    if not statement.startswith(("SELECT", "DELETE", "INSERT")):
        return ""
    return " / ".join(step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))


@pytest.mark.usefixtures("_one_reader")
@run_async
async def test_trades_by_user_searches_one_index_a_side(tmp_path: Path):
    statements: list[str] = []
    async with opened(tmp_path / "s") as store:
        await store._read(lambda connection: connection.set_trace_callback(statements.append))
        await store.trades_by_user(1, None, 9, (1, "BTC_USDT", 2))
        await store._read(lambda connection: connection.set_trace_callback(None))
        plan = await store._read(lambda connection: plan_of(connection, statements[0]))
    assert "USING INDEX settled_trades_by_buyer (buyer_user_id=? AND (time_ms,symbol,trade_id)<(?,?,?))" in plan
    assert "USING INDEX settled_trades_by_seller (seller_user_id=? AND (time_ms,symbol,trade_id)<(?,?,?))" in plan
