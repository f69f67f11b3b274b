"""Orders that pass: what they reserve, what is forwarded; repeats of client order ids; cancels."""

from typing import Any

import pytest

from services.domain.instruments import SymbolStatus
from services.domain.messages import (
    BalanceChange,
    CancelAccepted,
    CancelAll,
    CancelOrder,
    CancelRequest,
    ChangeKind,
    NewOrder,
    OrderAccepted,
    OrderRejected,
    OrderRepeated,
    SetUserStatus,
)
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import ORDER_SHARD_SHIFT
from tests.support.balance_shard import (
    LOT,
    T0,
    TICK_LOT,
    Shard,
    buy,
    closed,
    essence,
    funded,
    halted,
    match,
    place,
    sell,
    venue,
)

FUNDS = 10**12
MARKET, MAKER = OrderType.Market, OrderType.LimitMaker
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK

BY_QUANTITY = [
    (OrderType.Limit, GTC),
    (OrderType.Limit, IOC),
    (OrderType.Limit, FOK),
    (MAKER, GTC),
    (MARKET, GTC),
    (MARKET, IOC),
]


@pytest.mark.parametrize(("order_type", "time_in_force"), BY_QUANTITY)
@pytest.mark.parametrize("side", Side)
def test_order_by_quantity_reserves_notional_or_quantity(
    side: Side, order_type: OrderType, time_in_force: TimeInForce
) -> None:
    shard = venue(1)
    order = place(1, side, 1234, 17, order_type=order_type, time_in_force=time_in_force)
    said = shard.send(order)
    asset, amount = ("USDT", 1234 * 17 * TICK_LOT) if side == Side.Buy else ("BTC", 17 * LOT)
    assert said.event == OrderAccepted(
        1, T0, 1, 1, "c-1", "BTC_USDT", side, order_type, time_in_force, 1234, 17, 0,
        BalanceChange(1, asset, ChangeKind.Reserve, -amount, amount, FUNDS - amount, amount, 2),
    )  # fmt: skip
    assert said.forward == NewOrder(
        1, T0, 1, 1, "c-1", "BTC_USDT", side, order_type, time_in_force, SelfTradePrevention.ExpireTaker,
        1234, 17, 0, 1000, 2000,
    )  # fmt: skip
    assert shard.balance(1, asset) == (FUNDS - amount, amount)


def test_market_buy_by_quote_amount_reserves_the_amount_and_is_bounded_by_it_alone() -> None:
    shard = venue(1)
    said = shard.send(buy(1, 5000, 0, order_type=MARKET, quote_amount=1_234_567))
    assert (said.event.quantity_lots, said.event.quote_amount) == (0, 1_234_567)
    assert (said.forward.quantity_lots, said.forward.quote_budget) == (0, 12_345)
    assert shard.balance(1, "USDT") == (FUNDS - 1_234_567, 1_234_567)


def test_market_sell_by_quote_amount_reserves_what_it_needs_at_the_protection_price() -> None:
    shard = venue(1)
    said = shard.send(sell(1, 1000, 0, order_type=MARKET, quote_amount=12_345_678))
    assert (said.event.quantity_lots, said.event.quote_amount) == (123, 12_345_678)
    assert (said.forward.quantity_lots, said.forward.quote_budget) == (123, 123_456)
    assert shard.balance(1, "BTC") == (FUNDS - 123 * LOT, 123 * LOT)


def test_order_of_exactly_what_is_available_passes_and_one_unit_more_does_not() -> None:
    shard = venue(1)
    assert isinstance(shard.send(sell(1, 1000, FUNDS // LOT)).event, OrderAccepted)
    assert shard.balance(1, "BTC") == (0, FUNDS)
    assert shard.send(sell(1, 1000, 10, "c-2")).event.code == Reject.INSUFFICIENT_BALANCE


@pytest.mark.parametrize("price", [900, 1000, 1100])
def test_order_at_the_edge_of_the_band_passes(price: int) -> None:
    shard = venue(1, band_micros=100_000)
    assert isinstance(shard.send(buy(1, price, 100, reference_price_ticks=1000)).event, OrderAccepted)


def test_order_without_a_reference_price_is_within_any_band() -> None:
    shard = venue(1, band_micros=100_000)
    assert isinstance(shard.send(buy(1, 1_000_000, 100)).event, OrderAccepted)


def test_orders_of_one_frame_go_to_their_matchers_in_order() -> None:
    shard = venue(1)
    said = shard.send(buy(1, 1000, 10, "a"), buy(1, 1000, 10, "b", symbol="ETH_USDT"), buy(1, 1000, 10, "c"))
    assert {m: [order.cid for order in orders] for m, orders in said.forwards.items()} == {0: ["a", "c"], 1: ["b"]}
    assert said.forwards[1][0].taker_fee_micros == 500
    assert [event.order_id for event in said.events] == [1, 2, 3]


def test_order_id_holds_the_shard() -> None:
    shard = venue(2, 5, shard=2, shards=3)
    assert shard.send(buy(5, 1000, 10)).event.order_id == 2 << ORDER_SHARD_SHIFT | 1


def test_order_with_new_fees_after_the_symbol_changed_carries_them() -> None:
    shard = venue(1, maker_fee_micros=7, taker_fee_micros=8)
    order = shard.send(buy(1, 1000, 10)).forward
    assert (order.maker_fee_micros, order.taker_fee_micros) == (7, 8)


REPEATS = [
    buy(1, 1000, 10),
    sell(1, 1000, 10, order_type=MAKER),
    buy(1, 1000, 0, order_type=MARKET, quote_amount=2_000_000),
    buy(1, 0, 10),
    buy(1, 10**12, 10),
    buy(1, 1000, 10, symbol="DOGE_USDT"),
]


@pytest.mark.parametrize("order", REPEATS, ids=range(len(REPEATS)))
def test_order_again_gets_the_first_answer_and_changes_nothing(order: Any) -> None:
    shard = venue(1)
    first = shard.send(order).event
    code = first.code if isinstance(first, OrderRejected) else Reject.NONE
    untouched = essence(shard)
    for request_id in (7, 8):
        again = place(1, order.side, order.price_ticks, order.quantity_lots, **_rest_of(order, request_id))
        said = shard.send(again)
        assert said.event == OrderRepeated(request_id, T0 + 5, 1, "c-1", first.order_id, code)
        assert said.forwards == {}
    assert essence(shard) == untouched


def _rest_of(order: Any, request_id: int) -> dict[str, Any]:
    rest = {name: getattr(order, name) for name in ("symbol", "order_type", "time_in_force", "quote_amount")}
    return {**rest, "request_id": request_id, "time_ms": T0 + 5, "reference_price_ticks": 999}


def test_order_refused_for_want_of_funds_stays_refused_under_its_client_order_id() -> None:
    shard = venue(1)
    order = sell(1, 1000, FUNDS // LOT, "big")
    shard.send(sell(1, 1000, 10, "small"))
    refused = shard.send(order).event
    small = CancelOrder(1, T0, 1, 0, "small")
    forwarded = shard.send(small).forward
    assert forwarded == CancelRequest(1, T0, 1, 1)
    shard.report(match(closes=[closed(_order(shard, 1), 10, OrderStatus.Cancelled)]))
    assert shard.send(order).event == OrderRepeated(1, T0, 1, "big", refused.order_id, Reject.INSUFFICIENT_BALANCE)
    assert isinstance(shard.send(sell(1, 1000, FUNDS // LOT, "big-2")).event, OrderAccepted)


def _order(shard: Shard, order_id: int) -> Any:
    """An open order, seen as the matcher sees it."""
    return next(a.orders[order_id] for a in shard.core.state.accounts.values() if order_id in a.orders)


def test_market_order_again_with_another_protection_price_is_a_repeat() -> None:
    shard = venue(1)
    shard.send(buy(1, 1000, 10, order_type=MARKET))
    assert isinstance(shard.send(buy(1, 1010, 10, order_type=MARKET)).event, OrderRepeated)


OTHERS: list[dict[str, Any]] = [
    {"price": 1001},
    {"lots": 11},
    {"side": Side.Sell},
    {"symbol": "ETH_USDT"},
    {"order_type": MAKER},
    {"time_in_force": IOC},
    {"self_trade_prevention": SelfTradePrevention.ExpireBoth},
    {"quote_amount": 1_000_000},
]


@pytest.mark.parametrize("changes", OTHERS, ids=str)
@pytest.mark.parametrize("first_price", [1000, 1], ids=["accepted", "refused"])
def test_another_order_with_the_same_client_order_id_is_refused_and_the_first_answer_stays(
    changes: dict[str, Any], first_price: int
) -> None:
    shard = venue(1)
    first = shard.send(buy(1, first_price, 10)).event
    untouched = essence(shard)
    other = {"side": Side.Buy, "price": first_price, "lots": 10, **changes}
    said = shard.send(place(1, **other))
    assert said.event.code == Reject.DUPLICATE_CLIENT_ORDER_ID
    assert said.event.order_id == first.order_id + 1
    assert shard.send(buy(1, first_price, 10)).event.order_id == first.order_id
    assert essence(shard) == untouched


def test_client_order_ids_of_two_users_are_apart() -> None:
    shard = venue(1, 2)
    assert isinstance(shard.send(buy(1, 1000, 10)).event, OrderAccepted)
    assert isinstance(shard.send(buy(2, 1000, 10)).event, OrderAccepted)


def test_order_of_a_user_who_is_created_later_is_not_a_repeat() -> None:
    shard = venue(1)
    assert shard.send(buy(2, 1000, 10)).event.code == Reject.UNKNOWN_USER
    shard.send(*funded(2))
    assert isinstance(shard.send(buy(2, 1000, 10)).event, OrderAccepted)


@pytest.mark.parametrize("by_cid", [False, True])
def test_cancel_is_forwarded_and_releases_nothing_yet(by_cid: bool) -> None:
    shard = venue(1)
    shard.send(buy(1, 1000, 10))
    untouched = essence(shard)
    said = shard.send(CancelOrder(5, T0 + 1, 1, 0, "c-1") if by_cid else CancelOrder(5, T0 + 1, 1, 1))
    assert said.event == CancelAccepted(5, T0 + 1, 1, [1])
    assert said.forwards == {0: [CancelRequest(5, T0 + 1, 1, 1)]}
    assert essence(shard) == untouched


def test_cancel_before_the_matcher_answered_the_first_is_forwarded_again() -> None:
    shard = venue(1)
    shard.send(buy(1, 1000, 10))
    assert shard.send(CancelOrder(5, T0, 1, 1)).forward == shard.send(CancelOrder(5, T0, 1, 1)).forward


@pytest.mark.parametrize("order_id", [0, 1])
def test_cancel_of_a_closed_order_is_refused(order_id: int) -> None:
    shard = venue(1)
    order = shard.send(buy(1, 1000, 10)).forward
    shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))
    assert shard.send(CancelOrder(5, T0, 1, order_id, "c-1")).event.code == Reject.UNKNOWN_ORDER


def test_cancel_all_goes_to_every_matcher_oldest_first() -> None:
    shard = venue(1, 2)
    shard.send(buy(1, 1000, 10, "a"), buy(1, 1000, 10, "b", symbol="ETH_USDT"), buy(2, 1000, 10), buy(1, 1000, 10, "c"))
    said = shard.send(CancelAll(5, T0, 1))
    assert said.event == CancelAccepted(5, T0, 1, [1, 2, 4])
    assert {m: [r.order_id for r in records] for m, records in said.forwards.items()} == {0: [1, 4], 1: [2]}
    assert shard.send(CancelAll(6, T0, 1, "ETH_USDT")).event.order_ids == [2]


def test_cancel_all_without_open_orders_is_accepted_and_forwards_nothing() -> None:
    said = venue(1).send(CancelAll(5, T0, 1, "BTC_USDT"))
    assert said.event == CancelAccepted(5, T0, 1, [])
    assert said.forwards == {}


@pytest.mark.parametrize("stop", [SetUserStatus(1, T0, 1, True), halted(SymbolStatus.Halted)])
def test_cancel_goes_on_when_the_user_is_suspended_or_the_symbol_halted(stop: Any) -> None:
    shard = venue(1)
    shard.send(buy(1, 1000, 10))
    shard.send(stop)
    assert shard.send(CancelOrder(5, T0, 1, 1)).event.order_ids == [1]
    assert shard.send(CancelAll(5, T0, 1)).event.order_ids == [1]


def test_order_after_resume_passes() -> None:
    shard = venue(1)
    shard.send(SetUserStatus(1, T0, 1, True), buy(1, 1000, 10), SetUserStatus(1, T0, 1, False))
    assert isinstance(shard.send(buy(1, 1000, 10, "c-2")).event, OrderAccepted)
