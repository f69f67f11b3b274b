"""Every reject code that ubscore can say is reached, from a command that is wrong in that one way; nothing changes.

What is refused is echoed; whatever it held, the echo fits the store's signed 64-bit columns.
"""

from typing import Any

import msgspec
import pytest

from services.domain.instruments import SymbolStatus
from services.domain.messages import (
    CancelAll,
    CancelOrder,
    CommandRejected,
    CreateUser,
    OrderRejected,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    TransferIn,
    TransferOut,
    TransferRejected,
)
from services.domain.money import MAX_AMOUNT
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from tests.support.balance_shard import BTC_USDT, T0, Shard, buy, essence, funded, halted, instruments, sell, venue

ABSURD = 2**64 - 1
"""The largest number that a frame can carry."""
MARKET, MAKER = OrderType.Market, OrderType.LimitMaker


def settings(**changes: Any) -> SetSymbol:
    return SetSymbol(9, T0, msgspec.structs.replace(BTC_USDT, **changes))


TABLE: list[tuple[Reject, list[Any], Any]] = [
    # Accounts. User 1 has funds; user 2 is suspended; user 3 does not exist.
    (Reject.UNKNOWN_USER, [], buy(3, 1000, 10)),
    (Reject.UNKNOWN_USER, [], buy(0, 1000, 10)),
    (Reject.UNKNOWN_USER, [], buy(-1, 1000, 10)),
    (Reject.UNKNOWN_USER, [], CancelOrder(9, T0, 3, 1)),
    (Reject.UNKNOWN_USER, [], CancelAll(9, T0, 3)),
    (Reject.UNKNOWN_USER, [], TransferIn(9, T0, "t", 3, "BTC", 1)),
    (Reject.UNKNOWN_USER, [], TransferIn(9, T0, "t", -1, "BTC", 1)),
    (Reject.UNKNOWN_USER, [], TransferOut(9, T0, "t", 3, "BTC", 1)),
    (Reject.UNKNOWN_USER, [], SetUserStatus(9, T0, 3, True)),
    (Reject.UNKNOWN_USER, [], CreateUser(9, T0, 0)),
    (Reject.UNKNOWN_USER, [], CreateUser(9, T0, -1)),
    (Reject.UNKNOWN_USER, [], CreateUser(9, T0, MAX_AMOUNT + 1)),
    (Reject.USER_SUSPENDED, [], buy(2, 1000, 10)),
    (Reject.USER_SUSPENDED, [], TransferOut(9, T0, "t", 2, "BTC", 1)),
    # Instruments.
    (Reject.UNKNOWN_ASSET, [], TransferIn(9, T0, "t", 1, "DOGE", 1)),
    (Reject.UNKNOWN_ASSET, [], TransferOut(9, T0, "t", 1, "DOGE", 1)),
    (Reject.UNKNOWN_ASSET, [], settings(name="DOGE_USDT", base="DOGE")),
    (Reject.UNKNOWN_SYMBOL, [], buy(1, 1000, 10, symbol="DOGE_USDT")),
    (Reject.UNKNOWN_SYMBOL, [], buy(1, 1000, 10, symbol="")),
    (Reject.UNKNOWN_SYMBOL, [], CancelAll(9, T0, 1, "DOGE_USDT")),
    (Reject.SYMBOL_HALTED, [halted(SymbolStatus.Halted)], buy(1, 1000, 10)),
    (Reject.SYMBOL_CANCEL_ONLY, [halted(SymbolStatus.CancelOnly)], sell(1, 1000, 10)),
    # The order itself.
    (Reject.INVALID_PRICE, [], buy(1, 0, 10)),
    (Reject.INVALID_PRICE, [], buy(1, -1, 10)),
    (Reject.INVALID_PRICE, [], buy(1, MAX_AMOUNT + 1, 10)),
    (Reject.INVALID_PRICE, [], sell(1, 0, 10, order_type=MARKET)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 0)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, -1)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, MAX_AMOUNT + 1)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 10, quote_amount=10_000)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 0, quote_amount=1_000_000)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 0, order_type=MARKET)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 10, order_type=MARKET, quote_amount=1_000_000)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 0, order_type=MARKET, quote_amount=-1)),
    (Reject.INVALID_QUANTITY, [], buy(1, 1000, 0, order_type=MARKET, quote_amount=MAX_AMOUNT + 1)),
    (Reject.INVALID_QUANTITY, [], sell(1, 10_001, 0, order_type=MARKET, quote_amount=1_000_000)),
    (Reject.INVALID_QUANTITY, [settings(min_notional="0")], buy(1, 1, 0, order_type=MARKET, quote_amount=99)),
    (Reject.MIN_NOTIONAL, [], buy(1, 999, 10)),
    (Reject.MIN_NOTIONAL, [], sell(1, 999, 10)),
    (Reject.MIN_NOTIONAL, [], buy(1, 1000, 0, order_type=MARKET, quote_amount=999_999)),
    (Reject.NOTIONAL_TOO_LARGE, [], buy(1, MAX_AMOUNT, MAX_AMOUNT)),
    (Reject.NOTIONAL_TOO_LARGE, [], buy(1, MAX_AMOUNT // 100 + 1, 1)),
    (Reject.NOTIONAL_TOO_LARGE, [], sell(1, 1, MAX_AMOUNT // 100_000 + 1)),
    (Reject.NOTIONAL_TOO_LARGE, [], sell(1, 1, 0, order_type=MARKET, quote_amount=MAX_AMOUNT)),
    (Reject.PRICE_BAND, [settings(band_micros=100_000)], buy(1, 1101, 10, reference_price_ticks=1000)),
    (Reject.PRICE_BAND, [settings(band_micros=100_000)], sell(1, 899, 20, reference_price_ticks=1000)),
    (Reject.DUPLICATE_CLIENT_ORDER_ID, [buy(1, 1000, 10)], buy(1, 1000, 11)),
    (Reject.DUPLICATE_CLIENT_ORDER_ID, [buy(1, 1, 1)], buy(1, 1000, 10)),
    (Reject.TOO_MANY_OPEN_ORDERS, [SetPolicy(1, T0, 1000, 1000, 1), buy(1, 1000, 10)], buy(1, 1000, 10, "c-2")),
    (Reject.INVALID_ORDER_TYPE, [], buy(1, 1000, 10, order_type=MAKER, time_in_force=TimeInForce.IOC)),
    (Reject.INVALID_ORDER_TYPE, [], buy(1, 1000, 10, order_type=MAKER, time_in_force=TimeInForce.FOK)),
    (Reject.INVALID_ORDER_TYPE, [], buy(1, 1000, 10, order_type=MARKET, time_in_force=TimeInForce.FOK)),
    (Reject.INVALID_CLIENT_ORDER_ID, [], buy(1, 1000, 10, "")),
    (Reject.INVALID_CLIENT_ORDER_ID, [], buy(1, 1000, 10, "x" * 37)),
    (Reject.INVALID_CLIENT_ORDER_ID, [], buy(1, 1000, 10, "a b")),
    (Reject.INVALID_CLIENT_ORDER_ID, [], buy(1, 1000, 10, "a\n")),
    (Reject.INVALID_CLIENT_ORDER_ID, [], buy(1, 1000, 10, "é")),
    # Balances.
    (Reject.INSUFFICIENT_BALANCE, [], buy(1, 10**10 + 1, 1)),
    (Reject.INSUFFICIENT_BALANCE, [], sell(1, 1000, 10**7 + 1)),
    (Reject.INSUFFICIENT_BALANCE, [], buy(1, 1000, 0, order_type=MARKET, quote_amount=10**12 + 1)),
    (Reject.INSUFFICIENT_BALANCE, [], TransferOut(9, T0, "t", 1, "BTC", 10**12 + 1)),
    (Reject.INSUFFICIENT_BALANCE, [sell(1, 1000, 10)], TransferOut(9, T0, "t", 1, "BTC", 10**12)),
    (Reject.DUPLICATE_TRANSFER_ID, [TransferIn(1, T0, "t", 1, "BTC", 1)], TransferIn(9, T0, "t", 1, "BTC", 2)),
    (Reject.DUPLICATE_TRANSFER_ID, [TransferIn(1, T0, "t", 1, "BTC", 1)], TransferOut(9, T0, "t", 1, "BTC", 1)),
    (Reject.DUPLICATE_TRANSFER_ID, [TransferIn(1, T0, "t", 1, "BTC", 1)], TransferIn(9, T0, "t", 2, "BTC", 1)),
    (Reject.DUPLICATE_TRANSFER_ID, [TransferIn(1, T0, "t", 1, "BTC", 1)], TransferIn(9, T0, "t", 1, "ETH", 1)),
    (Reject.BALANCE_TOO_LARGE, [], TransferIn(9, T0, "t", 1, "BTC", MAX_AMOUNT)),
    (Reject.INVALID_AMOUNT, [], TransferIn(9, T0, "t", 1, "BTC", 0)),
    (Reject.INVALID_AMOUNT, [], TransferIn(9, T0, "t", 1, "BTC", -1)),
    (Reject.INVALID_AMOUNT, [], TransferIn(9, T0, "t", 1, "BTC", MAX_AMOUNT + 1)),
    (Reject.INVALID_AMOUNT, [], TransferOut(9, T0, "t", 1, "BTC", 0)),
    (Reject.INVALID_AMOUNT, [], TransferOut(9, T0, "t", 1, "BTC", -1)),
    # Cancels of what is not open; the matcher says the same when it is not open any more.
    (Reject.UNKNOWN_ORDER, [], CancelOrder(9, T0, 1, 77)),
    (Reject.UNKNOWN_ORDER, [], CancelOrder(9, T0, 1, ABSURD)),
    (Reject.UNKNOWN_ORDER, [], CancelOrder(9, T0, 1, 0)),
    (Reject.UNKNOWN_ORDER, [], CancelOrder(9, T0, 1, 0, "c-1")),
    (Reject.UNKNOWN_ORDER, [buy(1, 1, 1)], CancelOrder(9, T0, 1, 0, "c-1")),
    (Reject.UNKNOWN_ORDER, [buy(1, 1000, 10)], CancelOrder(9, T0, 2, 1)),
    (Reject.UNKNOWN_ORDER, [buy(1, 1000, 10)], CancelOrder(9, T0, 2, 0, "c-1")),
    # Administration.
    (Reject.ASSET_SCALE_FIXED, [], SetAsset(9, T0, "BTC", 7)),
    (Reject.SYMBOL_ASSETS_FIXED, [], settings(base="ETH")),
    (Reject.SYMBOL_ASSETS_FIXED, [], settings(quote="ETH")),
    (Reject.SYMBOL_ASSETS_FIXED, [], settings(base="DOGE")),
    (Reject.SYMBOL_STEPS_FIXED, [], settings(tick_size="0.2")),
    (Reject.SYMBOL_STEPS_FIXED, [], settings(lot_size="0.002")),
    (Reject.SYMBOL_STEPS_FIXED, [], settings(matcher_shard=1)),
    (Reject.INVALID_SETTING, [], SetAsset(9, T0, "doge", 8)),
    (Reject.INVALID_SETTING, [], SetAsset(9, T0, "DOGE", 13)),
    (Reject.INVALID_SETTING, [], SetAsset(9, T0, "DOGE", ABSURD)),
    (Reject.INVALID_SETTING, [], settings(name="BTC_ETH")),
    (Reject.INVALID_SETTING, [], settings(taker_fee_micros=100_001)),
    (Reject.INVALID_SETTING, [], settings(band_micros=ABSURD)),
    (Reject.INVALID_SETTING, [], settings(min_notional="NaN")),
    (Reject.INVALID_SETTING, [], settings(name="ETH_BTC", base="ETH", quote="BTC", tick_size="0.00000000001")),
    (Reject.INVALID_SETTING, [], SetPolicy(9, T0, 999, 1000, 1)),
    (Reject.INVALID_SETTING, [], SetPolicy(9, T0, 1000, 999, 1)),
    (Reject.INVALID_SETTING, [], SetPolicy(9, T0, 1000, 1000, 0)),
    (Reject.INVALID_SETTING, [], SetPolicy(9, T0, ABSURD, ABSURD, ABSURD)),
]

SAID_ELSEWHERE = {Reject.NONE, Reject.NO_REFERENCE_PRICE, Reject.WOULD_TAKE_LIQUIDITY}
"""By the gateway, which knows the book; by the matcher."""


def prepared(before: list[Any]) -> Shard:
    shard = Shard()
    shard.send(*instruments(), *funded(1, 2), SetUserStatus(1, T0, 2, True))
    for command in before:
        shard.send(command)
    return shard


@pytest.mark.parametrize(
    ("code", "before", "command"), TABLE, ids=[f"{n}-{row[0].name}" for n, row in enumerate(TABLE)]
)
def test_command_that_is_wrong_in_one_way_is_refused_and_changes_nothing(
    code: Reject, before: list[Any], command: Any
) -> None:
    shard = prepared(before)
    untouched = essence(shard)
    said = shard.send(command)
    assert said.forwards == {}
    assert isinstance(said.event, OrderRejected | CommandRejected | TransferRejected)
    assert said.event.code == code
    assert (said.event.request_id, said.event.time_ms) == (command.request_id, command.time_ms)
    assert essence(shard) == untouched


def test_table_reaches_every_code_that_ubscore_says() -> None:
    assert {code for code, _, _ in TABLE} == set(Reject) - SAID_ELSEWHERE


def test_order_that_is_refused_gets_an_id_of_its_own() -> None:
    shard = venue(1)
    ids = [shard.send(buy(1, 0, 1, f"c-{n}")).event.order_id for n in range(3)]
    assert ids == [1, 2, 3]
    assert shard.send(buy(1, 1000, 10)).event.order_id == 4


@pytest.mark.parametrize("number", [ABSURD, 2**63, -(2**63)])
def test_command_with_absurd_numbers_is_refused_within_64_bits(number: int) -> None:
    shard = venue(1)
    untouched = essence(shard)
    commands = [
        buy(1, number, number, quote_amount=number, reference_price_ticks=number),
        buy(1, 1000, number, "c-2"),
        buy(1, 1000, 0, "c-3", quote_amount=number, order_type=MARKET),
        buy(number, 1000, 10),
        buy(1, 1000, number, "c-4", symbol="DOGE_USDT"),
        CancelOrder(1, T0, number, number),
        CancelAll(1, T0, number),
        TransferIn(1, T0, "t-1", 1, "BTC", number),
        TransferOut(1, T0, "t-2", 1, "BTC", number),
        TransferIn(1, T0, "t-3", number, "BTC", number),
        CreateUser(1, T0, number),
        SetUserStatus(1, T0, number, True),
        SetAsset(1, T0, "DOGE", number),
        SetPolicy(1, T0, number, number, number),
        settings(maker_fee_micros=number, taker_fee_micros=number, band_micros=number, matcher_shard=number),
    ]
    for command in commands:
        assert shard.send(command).event.code != Reject.NONE
        shard.send(command)  # A repeat is answered too.
    assert essence(shard) == untouched


def test_order_with_a_far_reference_price_is_within_no_band() -> None:
    shard = venue(1, band_micros=999_999)
    said = shard.send(buy(1, 1000, 10, reference_price_ticks=ABSURD))
    assert said.event.code == Reject.PRICE_BAND


def test_largest_amounts_that_pass_stay_within_64_bits() -> None:
    shard = Shard()
    shard.send(*instruments(min_notional="0"), CreateUser(1, T0, 1))
    for asset in ("BTC", "USDT"):
        most = shard.core.state.max_supply
        assert shard.send(TransferIn(1, T0, f"{asset}-1", 1, asset, most)).event.change.available == most
        assert shard.send(TransferIn(1, T0, f"{asset}-2", 1, asset, 1)).event.code == Reject.BALANCE_TOO_LARGE
    assert shard.send(sell(1, 1, shard.core.state.max_supply // 100_000, "s")).event.change.available < 100_000
    whole = buy(1, MAX_AMOUNT, 0, "b", order_type=MARKET, quote_amount=shard.core.state.max_supply)
    assert shard.send(whole).event.change.available == 0


def test_cancel_by_either_side_of_a_stranger_is_refused() -> None:
    shard = venue(1, 2)
    order = shard.send(buy(1, 1000, 10)).event
    assert order.side == Side.Buy
    assert shard.send(CancelOrder(1, T0, 2, order.order_id)).event.code == Reject.UNKNOWN_ORDER


@pytest.mark.parametrize("before", [[], [SetUserStatus(1, T0, 1, True)], [halted(SymbolStatus.Halted)]])
def test_order_with_an_ill_formed_client_order_id_is_never_remembered(before: list[Any]) -> None:
    shard = prepared(before)
    for symbol in ("BTC_USDT", "DOGE_USDT"):
        shard.send(buy(1, 1000, 10, "x" * 1000, symbol=symbol))
    assert len(shard.core.state.order_answers) == 0
