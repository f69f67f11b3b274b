"""`exchange verify` on real data folders: whole ones pass, and nothing that is changed in one stays unseen."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.adapters.journal.format import decode_snapshot, encode_snapshot, state_digest
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.store import SqliteStore
from services.cli import app
from services.domain.errors import ExchangeError
from services.domain.rejects import Reject
from services.runtime.live_state import live_digests
from services.runtime.verification import verify_folder
from services.verify.compare import Comparison
from services.verify.recount import Recount
from services.verify.report import Check
from tests.support.aio import run_async
from tests.support.exchanges import running


async def _verify(folder: Path) -> list[Check]:
    return [check async for check in verify_folder(folder)]


async def _make(folder: Path) -> None:
    async with running(folder) as venue:
        await venue.trade_a_little()
        await venue.deposit(1001, "t-1", "BTC", 5)


@run_async
async def test_verify_stopped_exchange_passes_every_check(tmp_path: Path) -> None:
    await _make(tmp_path)
    checks = await _verify(tmp_path)
    assert [check for check in checks if not check.ok] == []
    assert len(checks) >= 17


@run_async
async def test_verify_running_exchange_passes_every_check(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        await venue.trade_a_little()
        in_memory = {core.source: (core.next_offset, core.digest) for core in await venue.exchange.states()}
        await venue.trade_a_little()
        checks = [check async for check in verify_folder(tmp_path, in_memory)]
    assert [check for check in checks if not check.ok] == []
    assert any("memory has the log's digest" in check.name for check in checks)


@run_async
async def test_verify_running_exchange_whose_memory_differs_fails(tmp_path: Path) -> None:
    async with running(tmp_path) as venue:
        await venue.trade_a_little()
        in_memory = {core.source: (core.next_offset, bytes(32)) for core in await venue.exchange.states()}
        failed = [check.name async for check in verify_folder(tmp_path, in_memory) if not check.ok]
    assert failed == ["ubscore-0: memory has the log's digest", "matcher-0: memory has the log's digest"]


@run_async
async def test_live_digests_without_exchange_says_so(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    (tmp_path / "address").write_text("http://127.0.0.1:9")
    with pytest.raises(ExchangeError, match="does not tell its state"):
        await live_digests(tmp_path)


def _sql(statement: str) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        with sqlite3.connect(folder / "store.sqlite3") as store:
            assert store.execute(statement).rowcount >= 1

    return tamper


_ONE_LEDGER_ROW = "user_id = 1001 AND asset_id = 'USDT' AND seq = 3"

_STORE_TAMPERINGS = [
    ("UPDATE user_balances SET available = available + 1 WHERE user_id = 1001 AND asset_id = 'BTC'", "user_balances"),
    ("DELETE FROM user_balances WHERE user_id = 1002 AND asset_id = 'USDT'", "user_balances"),
    (f"UPDATE balance_ledger SET available_delta = available_delta - 1 WHERE {_ONE_LEDGER_ROW}", "balance_ledger"),
    (f"DELETE FROM balance_ledger WHERE {_ONE_LEDGER_ROW}", "balance_ledger"),
    ("UPDATE settled_trades SET buyer_fee = 0 WHERE trade_id = 1", "settled_trades"),
    ("DELETE FROM settled_trades WHERE trade_id = 2", "settled_trades"),
    ("DELETE FROM active_orders WHERE order_id = (SELECT max(order_id) FROM active_orders)", "active_orders"),
    ("UPDATE order_history SET filled_lots = 1 WHERE order_id = 1", "order_history"),
    ("DELETE FROM order_updates_stream WHERE sequence = 5", "order_updates_stream"),
    ("UPDATE order_statistics SET filled = filled + 1 WHERE user_id = 1001", "order_statistics"),
    ("UPDATE settlement_progress SET next_offset = next_offset - 1 WHERE reader = 'settlement'", "store: "),
]


@pytest.mark.parametrize(("statement", "check"), _STORE_TAMPERINGS, ids=[name for _, name in _STORE_TAMPERINGS])
@run_async
async def test_verify_store_row_changed_fails_that_table(tmp_path: Path, statement: str, check: str) -> None:
    await _make(tmp_path)
    _sql(statement)(tmp_path)
    failed = [found for found in await _verify(tmp_path) if not found.ok]
    assert any(check in found.name for found in failed), failed


_TABLES = {
    "user_balances": 2,
    "balance_ledger": 3,
    "settled_trades": 2,
    "active_orders": 2,
    "order_history": 2,
    "order_updates_stream": 3,
    "order_statistics": 2,
}
"""How many columns each table's key has."""
_NUMBERED = ("side", "order_type", "time_in_force", "status")
_TRUTHS = ("buyer_is_maker", "is_maker")


def _other_value(column: str, kind: str) -> str:
    if column in _NUMBERED:
        return f"CASE {column} WHEN 1 THEN 2 ELSE 1 END"
    if column == "code":
        return f"CASE code WHEN 0 THEN {int(Reject.DUPLICATE_CLIENT_ORDER_ID)} ELSE 0 END"
    if column in _TRUTHS:
        return f"1 - {column}"
    return f"{column} || 'x'" if kind == "TEXT" else f"{column} + 1"


@pytest.mark.parametrize("table", _TABLES)
@run_async
async def test_verify_any_column_of_one_row_changed_fails_that_table(tmp_path: Path, table: str) -> None:
    await _make(tmp_path)
    path = tmp_path / "store.sqlite3"
    with sqlite3.connect(path) as store:
        columns = [(name, kind) for _, name, kind, *_ in store.execute(f"PRAGMA table_info({table})")]
    whole, unseen = path.read_bytes(), []
    keys = ", ".join(name for name, _ in columns[: _TABLES[table]])
    for column, kind in columns[_TABLES[table] :]:
        path.write_bytes(whole)
        row = f"({keys}) = (SELECT {keys} FROM {table} LIMIT 1)"
        _sql(f"UPDATE {table} SET {column} = {_other_value(column, kind)} WHERE {row}")(tmp_path)
        if f"store: {table}" not in [found.name for found in await _verify(tmp_path) if not found.ok]:
            unseen.append(column)
    assert unseen == []


@run_async
async def test_compare_more_newer_rows_than_can_be_put_aside_does_not_pass(tmp_path: Path) -> None:
    await _make(tmp_path)
    _sql("UPDATE settlement_progress SET next_offset = 3 WHERE reader = 'settlement'")(tmp_path)
    log, store = SqliteLog.open_read_only(tmp_path / "log.sqlite3"), SqliteStore(tmp_path / "store.sqlite3")
    failed = {}
    for most in (1, 1_000):
        recount = Recount(log, store, 1, 1)
        await recount.run()
        comparison = Comparison(recount, store, 1, consistent=False, max_aside=most)
        failed[most] = [check.name for check in await comparison.run(lambda table, rows: None) if not check.ok]
    assert failed == {1: ["store: user_balances", "store: balance_ledger", "store: settled_trades"], 1_000: []}
    await store.close()
    await log.close()


@run_async
async def test_compare_order_newer_than_the_position_must_be_as_it_was_placed(tmp_path: Path) -> None:
    await _make(tmp_path)
    _sql("UPDATE settlement_progress SET next_offset = 1 WHERE topic = 'engine.outputs'")(tmp_path)
    log, store = SqliteLog.open_read_only(tmp_path / "log.sqlite3"), SqliteStore(tmp_path / "store.sqlite3")
    for change, failed in (("status = status", []), ("price_ticks = price_ticks + 1", ["store: order_history"])):
        _sql(f"UPDATE order_history SET {change}")(tmp_path)
        recount = Recount(log, store, 1, 1)
        await recount.run()
        checks = await Comparison(recount, store, 1, consistent=False).run(lambda table, rows: None)
        assert [check.name for check in checks if not check.ok] == failed
    await store.close()
    await log.close()


@pytest.mark.parametrize("reader", ["settlement", "order_history"])
@run_async
async def test_verify_store_ahead_of_the_log_fails_and_ends(tmp_path: Path, reader: str) -> None:
    """Somebody brought back an older log: the store has the effects of what never was."""
    await _make(tmp_path)
    _sql(f"UPDATE settlement_progress SET next_offset = next_offset + 5 WHERE reader = '{reader}'")(tmp_path)
    failed = [found for found in await asyncio.wait_for(_verify(tmp_path), 30) if not found.ok]
    assert len(failed) == 1
    assert "but the log ends at" in failed[0].detail


def _flip_in_log(topic: str, which: str) -> Callable[[Path], None]:
    """Flip one byte in the middle of a frame of the log that holds output of a core."""

    def tamper(folder: Path) -> None:
        with sqlite3.connect(folder / "log.sqlite3") as log:
            partition = log.execute("SELECT id FROM partitions WHERE topic = ?", (topic,)).fetchone()[0]
            offset, data = log.execute(
                f"SELECT offset, data FROM frames WHERE partition = ? ORDER BY offset {which} LIMIT 1", (partition,)
            ).fetchone()
            changed = bytearray(data)
            changed[-3] ^= 0x01
            log.execute(
                "UPDATE frames SET data = ? WHERE partition = ? AND offset = ?", (bytes(changed), partition, offset)
            )

    return tamper


@pytest.mark.parametrize("topic", ["balance.events", "orders", "engine.outputs"])
@pytest.mark.parametrize("which", ["ASC", "DESC"])
@run_async
async def test_verify_log_byte_changed_fails(tmp_path: Path, topic: str, which: str) -> None:
    await _make(tmp_path)
    _flip_in_log(topic, which)(tmp_path)
    assert [check for check in await _verify(tmp_path) if not check.ok]


@run_async
async def test_verify_snapshot_of_another_state_fails_although_its_checksums_are_right(tmp_path: Path) -> None:
    """Somebody made a snapshot that is well-formed and wrong: only the fold of the log can tell."""
    await _make(tmp_path)
    path = max((tmp_path / "ubscore-0").glob("snapshot-*.snap"))
    snapshot = decode_snapshot(path.read_bytes(), path.name)
    data = snapshot.data.replace(b"demo_1001_BTC", b"demo_9991_BTC")
    assert data != snapshot.data
    path.write_bytes(encode_snapshot(snapshot._replace(data=data, digest=state_digest(data))))
    failed = [check.name for check in await _verify(tmp_path) if not check.ok]
    assert failed == ["ubscore-0: snapshots and journal have the log's digests"]


@run_async
async def test_verify_snapshot_byte_changed_fails(tmp_path: Path) -> None:
    await _make(tmp_path)
    path = max((tmp_path / "matcher-0").glob("snapshot-*.snap"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert [check.name for check in await _verify(tmp_path) if not check.ok] == [
        "matcher-0: snapshots and journal have the log's digests"
    ]


def test_verify_command_whole_folder_exits_zero_and_changed_one_exits_one(tmp_path: Path) -> None:
    run_async(_make)(tmp_path)
    whole = CliRunner().invoke(app, ["verify", "--data-dir", str(tmp_path)])
    assert whole.exit_code == 0, whole.output
    assert "checks passed" in whole.output
    _sql("UPDATE user_balances SET reserved = reserved + 1 WHERE user_id = 1001 AND asset_id = 'BTC'")(tmp_path)
    changed = CliRunner().invoke(app, ["verify", "--data-dir", str(tmp_path)])
    assert changed.exit_code == 1
    assert "checks failed" in changed.output


def test_verify_command_folder_without_exchange_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "--data-dir", str(tmp_path / "none")])
    assert result.exit_code != 0
    assert "holds no exchange" in str(result.exception)
    assert not (tmp_path / "none").exists()
