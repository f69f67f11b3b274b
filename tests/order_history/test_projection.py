"""Every row of the table in projection.py: which update writes which tables."""

import msgspec
import pytest

from services.domain.errors import LogError
from services.domain.messages import MatchResult
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.rows import OrderRow, OrderUpdateRow, ProgressRow, StatisticsRow
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition
from services.order_history.projection import OrderHistory, statistics_shard
from tests.support.streams import match_result, rejected, update

PROGRESS = ProgressRow("order_history", ENGINE_OUTPUTS, 0, 1, {})

New, PartiallyFilled = OrderStatus.New, OrderStatus.PartiallyFilled
CLOSING = (OrderStatus.Filled, OrderStatus.Cancelled, OrderStatus.Expired)


def batch_of(*records, stored=None, source="matcher-0"):
    history = OrderHistory(0)
    history.add(source, 1, records)
    return history.finish(stored or {}, PROGRESS)


def statuses(rows):
    return [(row.order_id, row.status) for row in rows]


def test_new_inserts_everywhere():
    batch = batch_of(match_result(1, [update(New)]))
    row = OrderRow(
        user_id=1001,
        order_id=1,
        cid="cid-1",
        symbol="BTC_USDT",
        side=Side.Buy,
        order_type=OrderType.Limit,
        time_in_force=TimeInForce.GTC,
        status=New,
        price_ticks=100,
        quantity_lots=10,
        filled_lots=0,
        filled_tick_lots=0,
        code=Reject.NONE,
        created_ms=1,
        updated_ms=1_001,
    )
    assert batch.active == [row]
    assert batch.history == [row]
    assert batch.closed == []
    assert batch.updates == [
        OrderUpdateRow("matcher-0", 1, 0, 1001, 1, "BTC_USDT", New, 0, 0, 0, 0, False, Reject.NONE, 1_001)
    ]
    assert batch.statistics == [StatisticsRow(1001, 0, 1, 0, 0, 0, 0, 1_001, 1)]


def test_partially_filled_updates_the_order_and_no_statistics():
    fill = update(
        PartiallyFilled, filled_lots=3, filled_tick_lots=300, last_price_ticks=100, last_quantity_lots=3, trade_id=8,
        is_maker=True,
    )  # fmt: skip
    batch = batch_of(match_result(4, [fill]))
    assert statuses(batch.active) == statuses(batch.history) == [(1, PartiallyFilled)]
    assert batch.active[0].filled_tick_lots == 300
    assert batch.updates == [
        OrderUpdateRow("matcher-0", 4, 0, 1001, 1, "BTC_USDT", PartiallyFilled, 3, 100, 3, 8, True, Reject.NONE, 1_004)
    ]
    assert (batch.closed, batch.statistics) == ([], [])


@pytest.mark.parametrize("status", CLOSING)
def test_closing_status_deletes_from_active_and_counts(status: OrderStatus):
    batch = batch_of(match_result(4, [update(status)]))
    assert batch.active == []
    assert batch.closed == [(1001, 1)]
    assert statuses(batch.history) == [(1, status)]
    assert [row.status for row in batch.updates] == [status]
    (row,) = batch.statistics
    assert getattr(row, status.name.lower()) == 1
    assert (row.new + row.filled + row.cancelled + row.rejected + row.expired) == 1


def test_rejected_by_the_matcher_leaves_active_alone():
    batch = batch_of(match_result(4, [update(OrderStatus.Rejected, code=Reject.WOULD_TAKE_LIQUIDITY)]))
    assert (batch.active, batch.closed) == ([], [])
    assert batch.history[0].code is Reject.WOULD_TAKE_LIQUIDITY
    assert batch.updates[0].code is Reject.WOULD_TAKE_LIQUIDITY
    assert batch.statistics == [StatisticsRow(1001, 0, 0, 0, 0, 1, 0, 1_004, 4)]


def test_rejected_by_ubscore_takes_its_sequence_from_its_place():
    batch = batch_of(rejected(5), rejected(6), source="ubscore-0")
    assert (batch.active, batch.closed) == ([], [])
    assert statuses(batch.history) == [(5, OrderStatus.Rejected), (6, OrderStatus.Rejected)]
    assert [(row.source, row.sequence, row.part) for row in batch.updates] == [("ubscore-0", 1, 0), ("ubscore-0", 2, 0)]
    assert batch.history[0].code is Reject.INSUFFICIENT_BALANCE
    assert (batch.history[0].created_ms, batch.history[0].updated_ms) == (1_005, 1_005)
    assert batch.statistics == [StatisticsRow(1001, 0, 0, 0, 0, 2, 0, 1_006, 2)]


def test_updates_of_one_result_are_numbered_as_parts():
    batch = batch_of(match_result(9, [update(New, 1), update(New, 2), update(PartiallyFilled, 1)]))
    assert [(row.sequence, row.part, row.order_id) for row in batch.updates] == [(9, 0, 1), (9, 1, 2), (9, 2, 1)]


@pytest.mark.parametrize("status", CLOSING)
def test_order_opened_and_closed_within_a_batch_is_deleted_from_active(status: OrderStatus):
    batch = batch_of(match_result(1, [update(New)]), match_result(2, [update(PartiallyFilled), update(status)]))
    assert (batch.active, batch.closed) == ([], [(1001, 1)])
    assert statuses(batch.history) == [(1, status)]
    assert [row.status for row in batch.updates] == [New, PartiallyFilled, status]


def test_order_opened_in_an_earlier_batch_is_deleted_when_closed():
    history = OrderHistory(0)
    history.add("matcher-0", 1, [match_result(1, [update(New)])])
    assert statuses(history.finish({}, PROGRESS).active) == [(1, New)]
    history.add("matcher-0", 2, [match_result(2, [update(OrderStatus.Filled)])])
    assert history.finish({}, PROGRESS).closed == [(1001, 1)]


def test_statistics_add_to_the_stored_row_and_then_to_what_was_written():
    history = OrderHistory(0)
    history.add("matcher-0", 4, [match_result(4, [update(New)])])
    assert history.unknown() == [(1001, 0)]
    stored = StatisticsRow(1001, 0, 10, 20, 30, 40, 50, 7, 3)
    first = history.finish({(1001, 0): stored}, PROGRESS)
    assert first.statistics == [StatisticsRow(1001, 0, 11, 20, 30, 40, 50, 1_004, 4)]
    history.add("matcher-0", 5, [match_result(5, [update(OrderStatus.Filled)])])
    assert history.unknown() == []
    assert history.finish({}, PROGRESS).statistics == [StatisticsRow(1001, 0, 11, 21, 30, 40, 50, 1_005, 5)]
    assert first.statistics == [StatisticsRow(1001, 0, 11, 20, 30, 40, 50, 1_004, 4)]


def counted_until(stored_sequence: int, *ends: int) -> list[list[StatisticsRow]]:
    """User 1001 opens an order with every sequence up to 6, user 1002 closes one. ends: after which a batch ends.

    stored_sequence: up to where user 1001's stored row counts.
    """
    stored = {(1001, 0): StatisticsRow(1001, 0, stored_sequence, 0, 0, 0, 0, 1_000 + stored_sequence, stored_sequence)}
    history, begin, found = OrderHistory(0), 1, []
    for end in ends:
        for sequence in range(begin, end + 1):
            updates = [update(New, sequence, 1001), update(OrderStatus.Filled, sequence + 100, 1002)]
            history.add("matcher-0", sequence, [match_result(sequence, updates)])
        asked = {key: stored[key] for key in history.unknown() if key in stored}
        batch = history.finish(asked, PROGRESS)
        stored |= {(row.user_id, row.shard): row for row in batch.statistics}
        found.append(batch.statistics)
        begin = end + 1
    return found


@pytest.mark.parametrize("stored_sequence", range(7))
@pytest.mark.parametrize("ends", [(6,), (1, 6), (3, 6), (3, 4, 6), (1, 2, 3, 4, 5, 6)])
def test_statistics_that_count_ahead_of_the_position_count_nothing_twice(stored_sequence: int, ends: tuple[int, ...]):
    rows = {row.user_id: row for batch in counted_until(stored_sequence, *ends) for row in batch}
    assert rows[1002] == StatisticsRow(1002, 0, 0, 6, 0, 0, 0, 1_006, 6)
    if stored_sequence < 6:
        assert rows[1001] == StatisticsRow(1001, 0, 6, 0, 0, 0, 0, 1_006, 6)
    else:
        assert 1001 not in rows


def test_statistics_that_count_beyond_a_batch_are_not_written_by_it():
    first, second = counted_until(4, 3, 6)
    assert first == [StatisticsRow(1002, 0, 0, 3, 0, 0, 0, 1_003, 3)]
    assert StatisticsRow(1001, 0, 6, 0, 0, 0, 0, 1_006, 6) in second


def test_statistics_of_several_updates_in_one_result_count_all_or_none():
    updates = [update(New), update(OrderStatus.Filled)]
    row = StatisticsRow(1001, 0, 1, 1, 0, 0, 0, 1_001, 1)
    assert batch_of(match_result(1, updates)).statistics == [row]
    assert batch_of(match_result(1, updates), stored={(1001, 0): row}).statistics == []


def test_statistics_of_refusals_that_count_ahead_of_the_position_count_nothing_twice():
    stored = {(1001, 0): StatisticsRow(1001, 0, 0, 0, 0, 1, 0, 1_005, 1)}
    batch = batch_of(rejected(5), rejected(6), source="ubscore-0", stored=stored)
    assert batch.statistics == [StatisticsRow(1001, 0, 0, 0, 0, 2, 0, 1_006, 2)]


def test_statistics_beyond_the_limit_are_asked_again_but_those_of_the_last_batch():
    history = OrderHistory(0, max_known=1)
    for user_id in (1, 2, 3):
        history.add("matcher-0", user_id, [match_result(user_id, [update(New, user_id, user_id)])])
        history.finish({}, PROGRESS)
    history.add(
        "matcher-0", 4, [match_result(4, [update(OrderStatus.Filled, user_id, user_id) for user_id in (1, 2, 3)])]
    )
    assert history.unknown() == [(1, 0), (2, 0)]


def test_result_without_updates_gives_nothing():
    batch = batch_of(match_result(1, []))
    assert batch[:-1] == ([], [], [], [], [])


def test_result_whose_body_is_none_is_refused_with_its_sequence():
    with pytest.raises(LogError, match="matcher-0 sequence 3"):
        batch_of(MatchResult(3, 0, b"", b"", msgspec.Raw(b"\xc1")))


@pytest.mark.parametrize(
    ("partition", "shard"),
    [
        (TopicPartition(ENGINE_OUTPUTS, 2), 2),
        (TopicPartition(BALANCE_EVENTS, 0), -1),
        (TopicPartition(BALANCE_EVENTS, 2), -3),
    ],
)
def test_statistics_shard_of_matchers_and_accounts_differ(partition: TopicPartition, shard: int):
    assert statistics_shard(partition) == shard
