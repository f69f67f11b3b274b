"""Trades and closes to the unit: what is paid, received, charged, freed; and reports that cannot be."""

from typing import Any

import msgspec
import pytest

from services.domain.errors import InvariantError
from services.domain.messages import (
    BalanceChange,
    ChangeKind,
    Frame,
    MatchReport,
    NewOrder,
    OrderClosed,
    Trade,
    TradeSettled,
)
from services.domain.orders import OrderStatus, OrderType, Side
from services.ubscore.accounts import OpenOrder
from tests.support.balance_shard import (
    LOT,
    T0,
    TICK_LOT,
    Shard,
    buy,
    closed,
    instruments,
    match,
    place,
    sell,
    trade,
    venue,
)

FUNDS = 10**12
MARKET = OrderType.Market
TRADE, FEE = ChangeKind.Trade, ChangeKind.Fee


def resting(shard: Shard, user_id: int, side: Side, price: int, lots: int, cid: str = "c-1", **more: Any) -> NewOrder:
    order: NewOrder = shard.send(place(user_id, side, price, lots, cid, **more)).forward
    return order


def open_order(shard: Shard, user_id: int, order_id: int) -> OpenOrder:
    return shard.core.state.accounts[user_id].orders[order_id]


def test_trade_moves_what_was_reserved_and_takes_fees_from_what_is_received() -> None:
    shard = venue(1, 2, maker_fee_micros=1000, taker_fee_micros=2500)
    maker = resting(shard, 1, Side.Sell, 1503, 7)
    taker = resting(shard, 2, Side.Buy, 1503, 7)
    settled = shard.report(match([trade(maker, taker, 7)], time_ms=T0 + 9, sequence=5)).event
    base, quote = 7 * LOT, 1503 * 7 * TICK_LOT
    # 2,500 millionths of 700,000 base are 1,750; 1,000 millionths of 1,052,100 quote are 1,052.1.
    assert settled == TradeSettled(
        0, 5, T0 + 9, "BTC_USDT", trade(maker, taker, 7), base, quote, 1750, 1053,
        [
            BalanceChange(2, "USDT", TRADE, 0, -quote, FUNDS - quote, 0, 3),
            BalanceChange(2, "BTC", TRADE, base - 1750, 0, FUNDS + base - 1750, 0, 2),
            BalanceChange(-1, "BTC", FEE, 1750, 0, 1750, 0, 1),
            BalanceChange(1, "BTC", TRADE, 0, -base, FUNDS - base, 0, 3),
            BalanceChange(1, "USDT", TRADE, quote - 1053, 0, FUNDS + quote - 1053, 0, 2),
            BalanceChange(-1, "USDT", FEE, 1053, 0, 1053, 0, 1),
        ],
    )  # fmt: skip


def test_trade_when_the_seller_takes_charges_each_side_its_own_rate() -> None:
    shard = venue(1, 2, maker_fee_micros=0, taker_fee_micros=100_000)
    maker = resting(shard, 1, Side.Buy, 1000, 10)
    taker = resting(shard, 2, Side.Sell, 900, 12)
    settled = shard.report(match([trade(maker, taker, 10)])).event
    assert (settled.buyer_fee, settled.seller_fee) == (0, 100_000)
    assert [change.asset for change in settled.changes if change.kind == FEE] == ["USDT"]
    assert shard.balance(1, "BTC") == (FUNDS + 10 * LOT, 0)
    assert shard.balance(2, "USDT") == (FUNDS + 900_000, 0)
    assert shard.balance(2, "BTC") == (FUNDS - 12 * LOT, 2 * LOT)


def test_trade_below_a_buyers_limit_frees_the_improvement_at_once() -> None:
    shard = venue(1, 2)
    maker = resting(shard, 1, Side.Sell, 1000, 10)
    taker = resting(shard, 2, Side.Buy, 1500, 30)
    settled = shard.report(match([trade(maker, taker, 10)], [closed(maker)])).events[0]
    assert settled.changes[0].available_delta == 500 * 10 * TICK_LOT
    assert settled.changes[0].reserved_delta == -1500 * 10 * TICK_LOT
    assert shard.balance(2, "USDT") == (FUNDS - (1000 * 10 + 1500 * 20) * TICK_LOT, 1500 * 20 * TICK_LOT)


def test_trades_that_fill_an_order_in_parts_add_up_to_the_whole() -> None:
    shard = venue(1, 2, 3)
    maker = resting(shard, 1, Side.Sell, 1000, 40)
    for number, (user_id, lots) in enumerate([(2, 11), (3, 13), (2, 16)], start=1):
        taker = resting(shard, user_id, Side.Buy, 1000, lots, f"c-{number}", order_type=MARKET)
        closes = [closed(maker), closed(taker)] if number == 3 else [closed(taker)]
        shard.report(match([trade(maker, taker, lots, trade_id=number)], closes, sequence=number))
        if number < 3:
            order = open_order(shard, 1, maker.order_id)
            assert order.filled_tick_lots == 1000 * order.filled_lots
            assert order.reserved == (40 - order.filled_lots) * LOT == shard.balance(1, "BTC")[1]
    assert all(not account.orders for account in shard.core.state.accounts.values())
    assert shard.balance(1, "BTC") == (FUNDS - 40 * LOT, 0)
    assert shard.balance(1, "USDT") == (FUNDS + 40 * 1000 * TICK_LOT - shard.fees("USDT"), 0)


@pytest.mark.parametrize("status", [OrderStatus.Cancelled, OrderStatus.Expired, OrderStatus.Rejected])
@pytest.mark.parametrize(("side", "asset", "each"), [(Side.Buy, "USDT", 1000 * TICK_LOT), (Side.Sell, "BTC", LOT)])
def test_close_releases_what_remains(status: OrderStatus, side: Side, asset: str, each: int) -> None:
    shard = venue(1)
    order = resting(shard, 1, side, 1000, 10)
    said = shard.report(match(closes=[closed(order, 10, status)], request_id=4, sequence=8, time_ms=T0 + 3))
    release = BalanceChange(1, asset, ChangeKind.Release, 10 * each, -10 * each, FUNDS, 0, 3)
    assert said.event == OrderClosed(0, 8, 4, T0 + 3, order.order_id, 1, status, release)
    assert said.forwards == {}
    assert shard.core.state.accounts[1].orders == {}


def test_close_after_a_partial_fill_releases_the_rest() -> None:
    shard = venue(1, 2)
    maker = resting(shard, 1, Side.Buy, 1000, 30)
    taker = resting(shard, 2, Side.Sell, 1000, 10)
    shard.report(match([trade(maker, taker, 10)], [closed(taker)]))
    said = shard.report(match(closes=[closed(maker, 20, OrderStatus.Cancelled)], sequence=2))
    assert said.event.change.available_delta == 20 * 1000 * TICK_LOT
    assert shard.balance(1, "USDT") == (FUNDS - 10 * 1000 * TICK_LOT, 0)


def test_close_of_a_filled_order_changes_no_balance() -> None:
    shard = venue(1, 2)
    maker, taker = resting(shard, 1, Side.Sell, 1000, 10), resting(shard, 2, Side.Buy, 1000, 10)
    said = shard.report(match([trade(maker, taker, 10)], [closed(maker), closed(taker)]))
    assert [(event.user_id, event.change) for event in said.events[1:]] == [(1, None), (2, None)]


def test_market_buy_by_quote_amount_pays_prices_as_they_come_and_gets_the_rest_back() -> None:
    shard = venue(1, 2)
    first, second = resting(shard, 1, Side.Sell, 1000, 10), resting(shard, 1, Side.Sell, 1100, 10, "c-2")
    taker = resting(shard, 2, Side.Buy, 1200, 0, order_type=MARKET, quote_amount=2_000_050)
    trades = [trade(first, taker, 10), trade(second, taker, 9, trade_id=2)]
    said = shard.report(match(trades, [closed(first), closed(taker)]))
    paid = (1000 * 10 + 1100 * 9) * TICK_LOT
    assert said.events[-1].change.available_delta == 2_000_050 - paid
    assert shard.balance(2, "USDT") == (FUNDS - paid, 0)


def test_market_sell_by_quote_amount_gets_the_quantity_it_did_not_need_back() -> None:
    shard = venue(1, 2)
    maker = resting(shard, 1, Side.Buy, 1250, 100)
    taker = resting(shard, 2, Side.Sell, 1000, 0, order_type=MARKET, quote_amount=10_000_000)
    assert shard.balance(2, "BTC") == (FUNDS - 100 * LOT, 100 * LOT)
    said = shard.report(match([trade(maker, taker, 80)], [closed(taker, 20)]))
    assert said.events[-1].change.available_delta == 20 * LOT
    assert shard.balance(2, "BTC") == (FUNDS - 80 * LOT, 0)
    assert shard.balance(2, "USDT")[0] == FUNDS + 10_000_000 - 20_000


def test_trade_of_one_unit_may_be_all_fee_but_never_more() -> None:
    shard = venue(1, 2, min_notional="0", lot_size="0.00000001", tick_size="100", taker_fee_micros=1)
    maker, taker = resting(shard, 1, Side.Sell, 1, 1), resting(shard, 2, Side.Buy, 1, 1)
    settled = shard.report(match([trade(maker, taker, 1)], [closed(maker), closed(taker)])).events[0]
    assert (settled.base_amount, settled.quote_amount, settled.buyer_fee, settled.seller_fee) == (1, 1, 1, 1)
    assert shard.balance(2, "BTC") == (FUNDS, 0)
    assert shard.balance(1, "USDT") == (FUNDS, 0)


def test_trade_after_the_symbols_fees_changed_charges_what_the_order_was_accepted_with() -> None:
    shard = venue(1, 2, maker_fee_micros=0, taker_fee_micros=0)
    maker, taker = resting(shard, 1, Side.Sell, 1000, 10), resting(shard, 2, Side.Buy, 1000, 10)
    shard.send(*instruments(maker_fee_micros=100_000, taker_fee_micros=100_000))
    settled = shard.report(match([trade(maker, taker, 10)])).event
    assert (settled.buyer_fee, settled.seller_fee) == (0, 0)
    assert len(settled.changes) == 4


def traded(shard: Shard) -> tuple[NewOrder, NewOrder]:
    """A resting Sell of 10 at 1000 of user 1, and a Buy of 10 at 1100 of user 2."""
    return resting(shard, 1, Side.Sell, 1000, 10), resting(shard, 2, Side.Buy, 1100, 10)


BAD_TRADES: list[tuple[str, dict[str, Any]]] = [
    ("not open", {"maker_order_id": 77}),
    ("not open", {"taker_user_id": 1}),
    ("not open", {"maker_user_id": 999}),
    ("limit", {"price_ticks": 1101}),
    ("limit", {"price_ticks": 999}),
    ("side", {"taker_side": Side.Sell}),
    ("more than", {"quantity_lots": 11}),
    ("quantity", {"quantity_lots": 0}),
    ("quantity", {"quantity_lots": -1}),
    ("price", {"price_ticks": 0, "quantity_lots": 1}),
    ("fee", {"maker_fee_micros": -1}),
    ("fee", {"taker_fee_micros": 100_001}),
]


@pytest.mark.parametrize(("says", "changes"), BAD_TRADES, ids=str)
def test_trade_that_cannot_be_stops_the_shard(says: str, changes: dict[str, Any]) -> None:
    shard = venue(1, 2)
    maker, taker = traded(shard)
    with pytest.raises(InvariantError, match=says):
        shard.core.apply(_frame(match([trade(maker, taker, **{"lots": 10, **changes})])), shard.core.next_offset)


def _frame(report: MatchReport) -> Frame[MatchReport]:
    return Frame(1, "matcher-0", 1, [report])


BAD_CLOSES: list[tuple[str, dict[str, Any]]] = [
    ("not open", {"order_id": 77}),
    ("not open", {"user_id": 2}),
    ("not open", {"user_id": 999}),
    ("remain", {"remaining_lots": 9}),
    ("remain", {"remaining_lots": 11}),
    ("remain", {"remaining_lots": 0}),
    ("remain", {"remaining_lots": -1}),
    ("PartiallyFilled", {"status": OrderStatus.PartiallyFilled}),
    ("New", {"status": OrderStatus.New}),
]


@pytest.mark.parametrize(("says", "changes"), BAD_CLOSES, ids=str)
def test_close_that_cannot_be_stops_the_shard(says: str, changes: dict[str, Any]) -> None:
    shard = venue(1, 2)
    maker, _ = traded(shard)
    close = msgspec.structs.replace(closed(maker, 10, OrderStatus.Cancelled), **changes)
    with pytest.raises(InvariantError, match=says):
        shard.core.apply(_frame(match(closes=[close])), shard.core.next_offset)


@pytest.mark.parametrize("symbol", ["ETH_USDT", "DOGE_USDT"])
def test_report_on_another_symbol_than_the_orders_stops_the_shard(symbol: str) -> None:
    for of_trade in (True, False):
        shard = venue(1, 2)
        maker, taker = traded(shard)
        trades: list[Trade] = [trade(maker, taker, 10)] if of_trade else []
        closes = [] if of_trade else [closed(maker, 10, OrderStatus.Cancelled)]
        with pytest.raises(InvariantError, match=symbol):
            shard.core.apply(_frame(match(trades, closes, symbol=symbol)), shard.core.next_offset)


def test_close_twice_stops_the_shard() -> None:
    shard = venue(1)
    order = resting(shard, 1, Side.Buy, 1000, 10)
    shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))
    with pytest.raises(InvariantError, match="not open"):
        shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))


def test_market_buy_by_quote_amount_that_trades_beyond_its_amount_stops_the_shard() -> None:
    shard = venue(1, 2)
    maker = resting(shard, 1, Side.Sell, 1000, 30)
    taker = resting(shard, 2, Side.Buy, 1000, 0, order_type=MARKET, quote_amount=2_000_050)
    with pytest.raises(InvariantError, match="more than"):
        shard.core.apply(_frame(match([trade(maker, taker, 21)])), shard.core.next_offset)


def _spoil_balance(shard: Shard) -> None:
    shard.core.state.accounts[1].balances["BTC"].available += 1


def _spoil_reservation(shard: Shard) -> None:
    open_order(shard, 1, 1).reserved += 1


def _spoil_fill(shard: Shard) -> None:
    open_order(shard, 1, 1).filled_lots += 1


def _spoil_order(shard: Shard) -> None:
    del shard.core.state.accounts[1].orders[1]


def _spoil_sign(shard: Shard) -> None:
    balance = shard.core.state.accounts[2].balances["BTC"]
    balance.available, balance.reserved = -1, balance.available + 1


def _spoil_fees(shard: Shard) -> None:
    shard.core.state.fees.change("BTC", ChangeKind.Fee, 1, 0)


def _spoil_supply(shard: Shard) -> None:
    shard.core.state.supply["DOGE"] = 1


@pytest.mark.parametrize(
    "spoil",
    [_spoil_balance, _spoil_reservation, _spoil_fill, _spoil_order, _spoil_sign, _spoil_fees, _spoil_supply],
)
def test_check_of_a_state_that_does_not_add_up_raises(spoil: Any) -> None:
    shard = venue(1, 2)
    shard.send(sell(1, 1000, 10), buy(2, 900, 20))
    shard.core.state.check()
    spoil(shard)
    with pytest.raises(InvariantError):
        shard.core.state.check()
