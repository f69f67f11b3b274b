"""Users and instruments: idempotent, and never at the cost of what is open."""

import msgspec

from services.domain.messages import (
    CreateUser,
    SetAsset,
    SetSymbol,
    SetUserStatus,
    SymbolUpdated,
    UserUpdated,
)
from services.domain.orders import OrderStatus
from services.domain.rejects import Reject
from tests.support.balance_shard import (
    BTC_USDT,
    T0,
    Shard,
    buy,
    closed,
    essence,
    instruments,
    match,
    venue,
)

FUNDS = 10**12


def test_administration_again_is_answered_again_and_changes_nothing() -> None:
    shard = venue(1)
    commands = [*instruments(), CreateUser(3, T0, 1), SetUserStatus(4, T0, 1, False)]
    untouched = essence(shard)
    said = shard.send(*commands)
    assert len(said.events) == len(commands)
    assert said.events[-2:] == [UserUpdated(3, T0, 1, False), UserUpdated(4, T0, 1, False)]
    assert essence(shard) == untouched


def test_create_user_who_is_suspended_stays_suspended() -> None:
    shard = venue(1)
    shard.send(SetUserStatus(1, T0, 1, True))
    assert shard.send(CreateUser(2, T0, 1)).event == UserUpdated(2, T0, 1, True)


def test_create_user_of_another_shard_is_refused() -> None:
    shard = Shard(1, 3)
    assert [shard.send(CreateUser(1, T0, user)).event for user in (1, 4)] == [
        UserUpdated(1, T0, 1, False),
        UserUpdated(1, T0, 4, False),
    ]
    assert [shard.send(CreateUser(1, T0, user)).event.code for user in (2, 3)] == [Reject.UNKNOWN_USER] * 2


def test_set_symbol_changes_what_may_change_and_keeps_its_open_orders() -> None:
    shard = venue(1)
    order = shard.send(buy(1, 1000, 10)).forward
    changed = msgspec.structs.replace(
        BTC_USDT, tick_size="0.10", min_notional="7", maker_fee_micros=1, taker_fee_micros=2, band_micros=3
    )
    assert shard.send(SetSymbol(5, T0, changed)).event == SymbolUpdated(5, T0, changed)
    assert list(shard.core.state.symbols) == ["BTC_USDT", "ETH_USDT"]
    shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))
    assert shard.balance(1, "USDT") == (FUNDS, 0)


def test_set_asset_of_every_scale_is_kept() -> None:
    shard = Shard()
    shard.send(*(SetAsset(1, T0, f"A{scale}", scale) for scale in range(13)))
    assert [asset.scale for asset in shard.core.state.assets.values()] == list(range(13))
