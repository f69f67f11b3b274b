"""Recorded order flow through a whole exchange: every service, a real log, store and journals."""

from pathlib import Path

from services.config import Settings, UbscoreSettings
from services.replay.compare import LevelState
from services.replay.lobster import BookRow, Message, parse_messages, read_book, read_messages
from services.replay.plan import make_plan
from services.replay.player import Player, Report
from services.runtime.local import LocalExchange
from services.runtime.verification import verify_folder
from tests.support.aio import run_async
from tests.support.shared_data import lobster_book, lobster_messages

SETTINGS = Settings(ubscore=UbscoreSettings(max_open_orders=1_000_000))


async def replayed(folder: Path, messages: list[Message], rows: list[BookRow] | None = None) -> Report:
    """Play the messages on a fresh exchange in `folder`, and verify all of it. rows: seed and compare."""
    plan = make_plan(messages, rows[0] if rows else None, "AAPL", 10)
    exchange = LocalExchange(SETTINGS, folder)
    await exchange.start()
    try:
        player = Player(exchange, exchange.clock, plan)
        await player.prepare()
        report = await player.play(rows)
    finally:
        await exchange.stop()
    assert [check for check in [check async for check in verify_folder(folder)] if not check.ok] == []
    return report


def folder_in(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@run_async
async def test_replay_of_the_sample_meets_every_recorded_order(tmp_path: Path) -> None:
    messages = read_messages(lobster_messages())
    report = await replayed(tmp_path, messages)
    assert report.messages == {"New": 471, "Delete": 369, "Execution": 98, "HiddenExecution": 61}
    assert (report.orders, report.cancels, report.trades, report.shares_traded) == (578, 369, 98, 4730)
    assert (report.executions_met, report.crossed, report.rejects) == (98, 0, {})


@run_async
async def test_replay_compared_has_every_level_that_the_file_tells_of(tmp_path: Path) -> None:
    messages = read_messages(lobster_messages())
    rows = read_book(lobster_book(), len(messages))
    report = await replayed(tmp_path, messages, rows)
    comparison = report.comparison
    assert comparison is not None
    assert comparison.states == {LevelState.EQUAL: 15_023, LevelState.SHIFTED: 2_295, LevelState.UNSEEN: 2_662}
    assert (comparison.known.equal, comparison.known.compared) == (10_191, 10_191)
    assert (comparison.extra, comparison.unexplained) == (260, 0)
    assert [round(shares.share, 3) for shares in comparison.places.values()] == [0.978, 0.886, 0.752]
    assert (report.seeded, report.late_orders, report.trades) == (20, 4, 98)
    assert (report.executions_met, report.crossed, report.rejects) == (98, 0, {})


@run_async
async def test_replay_with_and_without_waiting_ends_with_the_same_book(tmp_path: Path) -> None:
    messages = read_messages(lobster_messages())[:100]
    rows = read_book(lobster_book(), 999)[:100]
    waited = await replayed(folder_in(tmp_path, "waited"), messages, rows)
    pipelined = await replayed(folder_in(tmp_path, "pipelined"), messages)
    assert waited.book is not None
    assert pipelined.book is not None
    # The seeded book reaches further out; nearer, both have what the file placed.
    assert waited.book.bids[0] == pipelined.book.bids[0]
    assert waited.trades == pipelined.trades


@run_async
async def test_replay_partial_cancels_and_halts_pass_through_the_exchange(tmp_path: Path) -> None:
    lines = [
        "1,1,70,10,5000000,1",
        "2,2,70,4,5000000,1",
        "3,7,0,0,-1,-1",
        "4,1,71,5,5010000,-1",
        "5,3,70,6,5000000,1",
        "6,7,0,0,1,-1",
        "7,1,72,8,4990000,1",
    ]
    report = await replayed(tmp_path, list(parse_messages(lines, "f")))
    assert report.rejects == {"SYMBOL_HALTED": 1}
    assert (report.orders, report.cancels) == (3, 2)
    assert report.book is not None
    assert (report.book.bids, report.book.asks) == ([(4990000, 8)], [])
