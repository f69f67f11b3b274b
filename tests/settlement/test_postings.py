"""Every event that changes a balance becomes the rows it should, and a version that skips one stops settlement."""

import random

import pytest

from services.domain.errors import GapError
from services.domain.messages import BalanceChange, ChangeKind, TransferCompleted
from services.domain.orders import Side
from services.domain.rows import BalanceRow, LedgerRow, ProgressRow
from services.domain.topics import BALANCE_EVENTS
from services.settlement.postings import Postings
from tests.support.streams import Balances, rejected

PROGRESS = ProgressRow("settlement", BALANCE_EVENTS, 0, 1, {})


def batch_of(*events, stored=None):
    postings = Postings()
    postings.add("ubscore-0", 1, events)
    return postings.finish(stored or {}, PROGRESS)


def deposit(version: int, user_id: int = 1001, asset: str = "BTC") -> TransferCompleted:
    change = BalanceChange(user_id, asset, ChangeKind.Deposit, 10, 0, 10 * version, 0, version)
    return TransferCompleted(version, 1_000, f"t-{version}", change)


def test_transfer_completed_gives_a_ledger_row_and_the_balance():
    batch = batch_of(Balances().deposit(1001, "BTC", 500))
    assert batch.ledger == [
        LedgerRow(1001, "BTC", 1, "Deposit", 500, 0, 500, 0, "t-1", "deposit_1001_BTC_1", 1_001),
    ]
    assert batch.balances == [BalanceRow(1001, "BTC", 500, 0, 1, 1_001)]
    assert batch.progress is PROGRESS


def test_order_accepted_gives_a_reserve_that_names_its_order():
    balances = Balances()
    batch = batch_of(balances.deposit(1001, "USDT", 500), balances.accept(1001, "USDT", 100))
    assert batch.ledger[1] == LedgerRow(
        1001, "USDT", 2, "Reserve", -100, 100, 400, 100, "order:2", "reserve_1001_USDT_2", 1_002
    )


def test_order_closed_gives_a_release_and_nothing_without_a_change():
    balances = Balances()
    batch = batch_of(balances.deposit(1001, "USDT"), balances.close(amount=0), balances.close(order_id=7))
    assert [(row.kind, row.reference) for row in batch.ledger] == [("Deposit", "t-1"), ("Release", "order:7")]


@pytest.mark.parametrize("taker_side", list(Side))
def test_trade_settled_gives_the_trade_and_a_ledger_row_for_every_change(taker_side: Side):
    event = Balances().trade(buyer=1001, seller=1002, taker_side=taker_side)
    batch = batch_of(event)
    assert [(row.user_id, row.asset_id, row.kind) for row in batch.ledger] == [
        (1001, "USDT", "Trade"),
        (1001, "BTC", "Trade"),
        (1002, "BTC", "Trade"),
        (1002, "USDT", "Trade"),
        (-1, "BTC", "Fee"),
        (-1, "USDT", "Fee"),
    ]
    assert {row.reference for row in batch.ledger} == {"trade:BTC_USDT:1"}
    assert [row.event_id for row in batch.ledger] == [change.event_id for change in event.changes]
    (trade,) = batch.trades
    orders = {
        event.trade.maker_user_id: event.trade.maker_order_id,
        event.trade.taker_user_id: event.trade.taker_order_id,
    }
    assert (trade.buyer_user_id, trade.seller_user_id) == (1001, 1002)
    assert (trade.buyer_order_id, trade.seller_order_id) == (orders[1001], orders[1002])
    assert trade.buyer_is_maker is (taker_side is Side.Sell)
    assert (trade.base_amount, trade.quote_amount, trade.buyer_fee, trade.seller_fee) == (10, 50, 1, 2)


def test_events_without_a_change_give_nothing():
    batch = batch_of(rejected())
    assert batch[:-1] == ([], [], [])


def test_many_changes_of_one_balance_give_its_newest_row_alone():
    batch = batch_of(deposit(1), deposit(2), deposit(3))
    assert [row.version for row in batch.balances] == [3]
    assert [row.seq for row in batch.ledger] == [1, 2, 3]


def test_unknown_names_balances_until_they_were_seen():
    postings = Postings()
    postings.add("ubscore-0", 1, [deposit(1), deposit(1, 1002), deposit(2)])
    assert postings.unknown() == [(1001, "BTC"), (1002, "BTC")]
    postings.finish({}, PROGRESS)
    postings.add("ubscore-0", 4, [deposit(3)])
    assert postings.unknown() == []
    assert [row.version for row in postings.finish({}, PROGRESS).balances] == [3]


def test_version_at_or_below_the_stored_one_is_skipped_alone():
    batch = batch_of(deposit(4), deposit(5), deposit(6), deposit(1, 1002), stored={(1001, "BTC"): 5})
    assert [(row.user_id, row.seq) for row in batch.ledger] == [(1001, 6), (1002, 1)]
    assert [(row.user_id, row.version) for row in batch.balances] == [(1001, 6), (1002, 1)]


def test_version_all_below_the_stored_one_leaves_the_balance_alone_and_goes_on_from_it():
    postings = Postings()
    postings.add("ubscore-0", 1, [deposit(4), deposit(5)])
    assert postings.finish({(1001, "BTC"): 6}, PROGRESS)[:-1] == ([], [], [])
    postings.add("ubscore-0", 3, [deposit(6), deposit(7)])
    assert [row.seq for row in postings.finish({}, PROGRESS).ledger] == [7]


def test_version_beyond_the_stored_one_plus_one_is_a_gap():
    with pytest.raises(GapError, match="user 1001, asset BTC: the store has version 5, the next event has version 7"):
        batch_of(deposit(7), stored={(1001, "BTC"): 5})


def test_version_that_skips_one_within_the_stream_is_a_gap():
    with pytest.raises(GapError, match="user 1001, asset BTC: the store has version 1, the next event has version 3"):
        batch_of(deposit(1), deposit(3))


def test_versions_beyond_the_limit_are_asked_again_but_those_of_the_last_batch():
    postings = Postings(max_known=2)
    for user_id in (1, 2):
        postings.add("ubscore-0", 1, [deposit(1, user_id)])
        postings.finish({}, PROGRESS)
    postings.add("ubscore-0", 3, [deposit(1, 3)])
    postings.finish({}, PROGRESS)
    postings.add("ubscore-0", 4, [deposit(2, user_id) for user_id in (1, 2, 3)])
    assert postings.unknown() == [(1, "BTC"), (2, "BTC")]
    assert len(postings.finish({(1, "BTC"): 1, (2, "BTC"): 1}, PROGRESS).ledger) == 3


def test_ledger_of_any_events_sums_up_to_the_balances():
    balances, choice = Balances(), random.Random(7)
    makers = (balances.deposit, balances.accept, balances.trade, balances.close)
    batch = batch_of(*(choice.choice(makers)() for _ in range(500)))
    for row in batch.balances:
        entries = [entry for entry in batch.ledger if (entry.user_id, entry.asset_id) == (row.user_id, row.asset_id)]
        assert [entry.seq for entry in entries] == list(range(1, row.version + 1))
        assert sum(entry.available_delta for entry in entries) == row.available
        assert sum(entry.reserved_delta for entry in entries) == row.reserved
