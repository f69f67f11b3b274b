"""Reads from memory: what the gateway sees is what the core knows now."""

import asyncio

from services.adapters.ports import BalanceView
from services.domain.messages import SetUserStatus
from services.domain.orders import OrderStatus
from services.ubscore.service import LocalBalanceReads
from tests.support.balance_shard import LOT, T0, Shard, buy, closed, match, sell, trade, venue

FUNDS = 10**12


def reads(shard: Shard) -> LocalBalanceReads:
    return LocalBalanceReads(lambda: shard.core.state)


def test_balances_are_sorted_and_empty_for_nobody() -> None:
    shard = venue(1)
    shard.send(sell(1, 1000, 10))
    assert asyncio.run(reads(shard).balances(1)) == [
        BalanceView("BTC", FUNDS - 10 * LOT, 10 * LOT, 2),
        BalanceView("ETH", FUNDS, 0, 1),
        BalanceView("USDT", FUNDS, 0, 1),
    ]
    assert asyncio.run(reads(shard).balances(77)) == []


def test_user_status_tells_suspended_active_and_nobody() -> None:
    shard = venue(1, 2)
    shard.send(SetUserStatus(1, T0, 2, True))
    assert [asyncio.run(reads(shard).user_status(user)) for user in (1, 2, 3)] == [False, True, None]


def test_open_orders_by_symbol_oldest_first_with_what_was_settled() -> None:
    shard = venue(1, 2)
    maker = shard.send(sell(1, 1000, 30, "a")).forward
    shard.send(sell(1, 1000, 30, "b", symbol="ETH_USDT"), sell(1, 1001, 30, "c"))
    taker = shard.send(buy(2, 1000, 10)).forward
    shard.report(match([trade(maker, taker, 10)], [closed(taker)]))
    views = asyncio.run(reads(shard).open_orders(1))
    assert [(view.cid, view.filled_lots, view.filled_tick_lots) for view in views] == [
        ("a", 10, 10_000),
        ("b", 0, 0),
        ("c", 0, 0),
    ]
    assert [view.cid for view in asyncio.run(reads(shard).open_orders(1, "ETH_USDT"))] == ["b"]
    assert asyncio.run(reads(shard).open_orders(77)) == []


def test_open_order_by_id_or_client_order_id_while_it_is_open() -> None:
    shard = venue(1, 2)
    order = shard.send(buy(1, 1000, 10, "mine")).forward
    view = asyncio.run(reads(shard).open_order(1, order.order_id))
    assert view is not None
    assert (view.order_id, view.cid, view.price_ticks, view.quantity_lots) == (order.order_id, "mine", 1000, 10)
    assert asyncio.run(reads(shard).open_order(1, 0, "mine")) == view
    assert asyncio.run(reads(shard).open_order(2, order.order_id)) is None
    shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))
    assert asyncio.run(reads(shard).open_order(1, 0, "mine")) is None


def test_instruments_are_a_copy_in_the_order_of_their_declaration() -> None:
    shard = venue()
    instruments = asyncio.run(reads(shard).instruments())
    assert (list(instruments.assets), list(instruments.symbols)) == (["BTC", "ETH", "USDT"], ["BTC_USDT", "ETH_USDT"])
    instruments.assets.clear()
    assert shard.core.state.assets
