"""The core around the books: positions, repeats, sequences, reports, snapshots, determinism."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services.domain.errors import GapError, InvariantError
from services.domain.messages import CancelRequest, Closed, Frame, MatchBody, NewOrder
from services.domain.orders import OrderType, SelfTradePrevention, Side
from services.domain.topics import BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.matcher.engine import MatcherEngine
from services.matcher.snapshot import decode_state
from tests.support.matcher_commands import SYMBOLS, buy, cancel, random_commands, sell
from tests.support.venues import EngineVenue, NaiveVenue, played

ROOT = Path(__file__).parents[2]


def frame(first_sequence: int, *records: NewOrder | CancelRequest, source: str = "ubscore-0") -> Frame:
    return Frame(1, source, first_sequence, list(records))


def test_engine_names_its_source_and_input() -> None:
    engine = MatcherEngine(3, 2)
    assert (engine.source, engine.input, engine.next_offset) == ("matcher-3", TopicPartition(ORDERS, 3), 0)


def test_apply_offset_ahead_or_behind_raises_gap() -> None:
    engine = MatcherEngine(0, 1)
    engine.apply(frame(1, buy(1, 100, 1)), 0)
    before = engine.digest()
    for offset in (0, 2):
        with pytest.raises(GapError, match="expected offset 1"):
            engine.apply(frame(2, buy(2, 100, 1)), offset)
    assert engine.digest() == before


def test_apply_source_hole_raises_gap_and_changes_nothing() -> None:
    engine = MatcherEngine(0, 1)
    engine.apply(frame(1, buy(1, 100, 1)), 0)
    before = engine.digest()
    with pytest.raises(GapError, match="ubscore-0"):
        engine.apply(frame(3, buy(3, 100, 1)), 1)
    assert engine.digest() == before


def test_apply_repeated_records_have_no_effect_and_no_output() -> None:
    engine = MatcherEngine(0, 1)
    engine.apply(frame(1, buy(1, 100, 1), buy(2, 100, 1)), 0)
    assert engine.apply(frame(1, buy(1, 100, 1), buy(2, 100, 1)), 1) == []
    [output] = engine.apply(frame(2, buy(2, 100, 1), buy(3, 100, 1)), 2)
    assert output.first_sequence == 3
    assert [result.decode_body().order_id for result in output.records] == [3]
    assert output.records[0].position == 2
    assert engine.next_offset == 3


def test_apply_same_sequences_of_another_source_are_no_repeats() -> None:
    engine = MatcherEngine(0, 2)
    engine.apply(frame(1, buy(1, 100, 1)), 0)
    engine.apply(frame(1, buy(1 << 44, 100, 1), source="ubscore-1"), 1)
    assert engine.depth("BTC_USDT", 5).bids == [(100, 2)]


def test_apply_one_result_for_every_command_and_reports_only_for_effects() -> None:
    engine = MatcherEngine(0, 1)
    outputs = engine.apply(frame(1, sell(1, 100, 1), cancel(9), cancel(1), buy(2, 1, 1)), 0)
    results, reports = outputs
    assert results.partition == TopicPartition(ENGINE_OUTPUTS, 0)
    assert [result.sequence for result in results.records] == [1, 2, 3, 4]
    assert reports.partition == TopicPartition(BALANCE_OPERATIONS, 0)
    assert [(report.engine_sequence, report.matcher_shard) for report in reports.records] == [(3, 0)]


def test_reports_go_to_every_account_shard_concerned_and_count_per_shard() -> None:
    engine = MatcherEngine(1, 4)
    engine.apply(frame(1, sell(1, 100, 1, user_id=1), sell(2, 100, 1, user_id=2), sell(3, 100, 9, user_id=5)), 0)
    outputs = engine.apply(frame(4, buy(4, 100, 2, user_id=3), buy(5, 100, 1, user_id=3), cancel(3, 5)), 1)
    said = [(output.partition.partition, output.first_sequence, len(output.records)) for output in outputs]
    assert said == [(1, 4, 3), (1, 1, 3), (2, 1, 1), (3, 1, 2)]
    assert outputs[1].records[0] == outputs[2].records[0] == outputs[3].records[0]
    outputs = engine.apply(frame(7, buy(6, 50, 1, user_id=7), cancel(6, 7)), 2)
    assert [(output.partition.partition, output.first_sequence) for output in outputs] == [(1, 7), (3, 3)]


def test_report_reaches_the_shard_of_a_partly_filled_maker_and_resting_taker() -> None:
    engine = MatcherEngine(0, 8)
    engine.apply(frame(1, sell(1, 100, 5, user_id=1)), 0)
    outputs = engine.apply(frame(2, buy(2, 100, 2, user_id=2)), 1)
    assert [output.partition.partition for output in outputs[1:]] == [1, 2]
    outputs = engine.apply(frame(3, buy(3, 100, 8, user_id=3)), 2)
    assert [output.partition.partition for output in outputs[1:]] == [1, 3]


def test_open_order_id_placed_again_is_a_broken_invariant() -> None:
    engine = MatcherEngine(0, 1)
    with pytest.raises(InvariantError, match="open order 1"):
        engine.apply(frame(1, buy(1, 100, 1), buy(1, 101, 1, symbol="ETH_USDT")), 0)


@pytest.mark.parametrize(
    "order",
    [
        buy(1, 100, 0),
        buy(1, 100, -1),
        buy(1, 0, 1),
        buy(1, 100, 1, quote_budget=5),
        buy(1, 100, 0, order_type=OrderType.Market),
        buy(1, 100, -1, order_type=OrderType.Market, quote_budget=5),
        buy(1, 100, 0, order_type=OrderType.LimitMaker, quote_budget=5),
    ],
)
def test_order_that_ubscore_must_never_send_is_a_broken_invariant(order: NewOrder) -> None:
    with pytest.raises(InvariantError, match="order 1"):
        MatcherEngine(0, 1).apply(frame(1, order), 0)


def test_frame_of_other_records_is_a_broken_invariant() -> None:
    with pytest.raises(InvariantError, match="holds a Closed"):
        MatcherEngine(0, 1).apply(Frame(1, "ubscore-0", 1, [Closed(1, 1, 1, 1)]), 0)


def test_depth_limits_levels_and_knows_last_price_and_sequence() -> None:
    venue = EngineVenue()
    for number, price in enumerate((97, 99, 98), start=1):
        venue.handle(buy(number, price, number))
    venue.handle(sell(4, 99, 1, user_id=1002))
    view = venue.engine.depth("BTC_USDT", 2)
    assert (view.bids, view.asks, view.last_price_ticks, view.sequence) == ([(99, 1), (98, 3)], [], 99, 4)
    assert venue.engine.depth("BTC_USDT", 0).bids == []
    assert venue.engine.depth("NONE_SUCH", 5) == ([], [], 0, 4)


def test_snapshot_restored_gives_equal_state_and_equal_future() -> None:
    venue = played(1)
    twin = EngineVenue(MatcherEngine.restore(venue.engine.snapshot()))
    twin.sent = venue.sent
    assert twin.engine.snapshot() == venue.engine.snapshot()
    assert twin.engine.open_orders == venue.engine.open_orders > 0
    for command in random_commands(2, 300):
        again = msgspec.structs.replace(command, order_id=command.order_id + 10_000)
        assert twin.handle(again) == venue.handle(again)
    assert twin.engine.digest() == venue.engine.digest()
    assert twin.engine.hash == venue.engine.hash


def test_snapshot_keeps_queue_order_and_digest_sees_it() -> None:
    orders = [sell(number, 100, 5, user_id=number) for number in (1, 2, 3)]
    first, second = MatcherEngine(0, 1), MatcherEngine(0, 1)
    first.apply(frame(1, *orders), 0)
    second.apply(frame(1, *reversed(orders)), 0)
    second.hash = first.hash  # what is left to tell them apart is the queue
    assert first.digest() != second.digest()
    restored = MatcherEngine.restore(first.snapshot())
    outputs = restored.apply(frame(4, buy(9, 100, 15, user_id=9)), 1)
    trades = outputs[0].records[0].decode_body().trades
    assert [trade.maker_order_id for trade in trades] == [1, 2, 3]


def test_snapshot_does_not_depend_on_the_order_of_symbols() -> None:
    first, second = MatcherEngine(0, 1), MatcherEngine(0, 1)
    orders = [buy(1, 100, 1, symbol=SYMBOLS[0]), buy(2, 100, 1, symbol=SYMBOLS[1])]
    first.apply(frame(1, *orders), 0)
    second.apply(frame(1, *reversed(orders)), 0)
    second.hash = first.hash
    assert first.snapshot() == second.snapshot()


def test_snapshot_does_not_depend_on_the_order_of_sources() -> None:
    first, second = MatcherEngine(0, 2), MatcherEngine(0, 2)
    for engine, sources in ((first, ("ubscore-0", "ubscore-1")), (second, ("ubscore-1", "ubscore-0"))):
        for offset, source in enumerate(sources):
            engine.apply(frame(1, cancel(9), source=source), offset)
    assert first.snapshot() == second.snapshot()


def test_snapshot_holds_levels_from_the_lowest_price_up_on_both_sides() -> None:
    engine = MatcherEngine(0, 1)
    orders = [buy(1, 98, 1), buy(2, 99, 1), buy(3, 97, 1), sell(4, 102, 1), sell(5, 101, 1), sell(6, 103, 1)]
    engine.apply(frame(1, *orders), 0)
    [book] = decode_state(engine.snapshot()).books
    assert [level.price_ticks for level in book.bids] == [97, 98, 99]
    assert [level.price_ticks for level in book.asks] == [101, 102, 103]


@pytest.mark.parametrize("data", [b"", b"\x90", b"garbage", b"\x93\x01\x02\x03"])
def test_restore_of_something_else_raises_decode_error(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        MatcherEngine.restore(data)


def test_restore_of_a_crossed_book_is_a_broken_invariant() -> None:
    engine = MatcherEngine(0, 1)
    engine.apply(frame(1, sell(1, 100, 1), buy(2, 99, 1)), 0)
    raw = msgspec.msgpack.decode(engine.snapshot())
    raw[-1][0][3][0][0] = 100
    with pytest.raises(InvariantError, match="crossed"):
        MatcherEngine.restore(msgspec.msgpack.encode(raw))


def test_digest_of_a_seeded_run_is_equal_in_another_process_with_another_hash_seed() -> None:
    program = (
        "from tests.support.venues import played; engine = played(7).engine; "
        "print(engine.digest().hex(), engine.hash.hex())"
    )
    here = played(7).engine
    for hash_seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert run.stdout.split() == [here.digest().hex(), here.hash.hex()], run.stderr


@pytest.mark.parametrize("seed", range(20))
def test_engine_agrees_with_the_oracle_on_seeded_streams(seed: int) -> None:
    fast, naive = EngineVenue(), NaiveVenue()
    for command in random_commands(seed, 250):
        assert fast.handle(command) == naive.handle(command)
    for symbol in SYMBOLS:
        assert fast.depth(symbol) == naive.depth(symbol)
        assert fast.last_price(symbol) == naive.last_price(symbol)


def test_seeded_streams_reach_every_kind_of_outcome() -> None:
    bodies = [body for seed in range(20) for body in _bodies(seed)]
    seen = {update.status.name for body in bodies for update in body.updates}
    assert seen == {"New", "PartiallyFilled", "Filled", "Cancelled", "Rejected", "Expired"}
    assert any(len(body.trades) > 2 for body in bodies)
    assert any(body.updates[1:] and body.updates[1].order_id != body.order_id for body in bodies)


def _bodies(seed: int) -> list[MatchBody]:
    return [result.decode_body() for result in played(seed, 250).results]


def test_check_finds_a_book_that_was_tampered_with() -> None:
    venue = EngineVenue()
    venue.handle(sell(1, 100, 5, self_trade_prevention=SelfTradePrevention.ExpireBoth))
    book = venue.engine._books["BTC_USDT"]
    best = book.side(Side.Sell).best
    assert best is not None
    best.quantity_lots = 4
    with pytest.raises(InvariantError, match="wrong quantity"):
        venue.engine.check()
    best.quantity_lots = 5
    del venue.engine._orders[1]
    with pytest.raises(InvariantError, match="not in the index"):
        venue.engine.check()
