"""What every store must do, whatever is behind it. A test class of each adapter inherits StoreContract."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pytest

from services.adapters.ports import AuditStore, KeyStore, ProjectionStore, QueryStore
from services.domain.money import MAX_AMOUNT
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.rows import ProgressRow, StatisticsRow
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition
from tests.support.aio import run_async
from tests.support.rows import (
    balance_row,
    history_batch,
    key_row,
    ledger_row,
    order_row,
    settlement_batch,
    statistics_row,
    trade_row,
    update_row,
)

R = TypeVar("R")

EVENTS = TopicPartition(BALANCE_EVENTS, 0)
OUTPUTS = TopicPartition(ENGINE_OUTPUTS, 0)

REPEATS: Final = (
    "first second",
    "first both",
    "first second first",
    "first both second",
    "both first",
    "both first both",
)
"""Orders of two batches and of one that holds the events of both; each leaves what the two alone leave."""


KEYS = {
    "settled_trades": ("symbol", "trade_id"),
    "user_balances": ("user_id", "asset_id"),
    "balance_ledger": ("user_id", "asset_id", "seq"),
    "active_orders": ("user_id", "order_id"),
    "order_history": ("user_id", "created_ms", "order_id"),
    "order_updates_stream": ("source", "sequence", "part"),
    "order_statistics": ("user_id", "shard"),
}


class Store(ProjectionStore, QueryStore, AuditStore, KeyStore, Protocol):
    """Everything that an adapter offers."""


async def rows_of(table: AsyncIterator[R]) -> list[R]:
    return [row async for row in table]


async def tables_of(store: AuditStore) -> dict[str, list[Any]]:
    """The content of the whole store but progress and keys, each table in the order of its key."""
    tables: dict[str, list[Any]] = {
        "settled_trades": await rows_of(store.all_trades()),
        "user_balances": await rows_of(store.all_balances()),
        "balance_ledger": await rows_of(store.all_ledger()),
        "active_orders": await rows_of(store.all_active_orders()),
        "order_history": await rows_of(store.all_orders()),
        "order_updates_stream": await rows_of(store.all_order_updates()),
        "order_statistics": await rows_of(store.all_statistics()),
    }
    for name, rows in tables.items():
        rows.sort(key=attrgetter(*KEYS[name]))
    return tables


class StoreContract:
    """Each test opens an empty store at `tmp_path`."""

    def open(self, place: Path) -> AbstractAsyncContextManager[Store]:
        """The store kept at `place`; opened a second time, with what was written before."""
        raise NotImplementedError

    # Progress

    @run_async
    async def test_progress_never_written_is_none(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            assert await store.progress("settlement", EVENTS) is None

    @run_async
    async def test_progress_written_with_a_batch_is_read_per_reader_and_partition(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(3))
            await store.write_settlement(settlement_batch(4))
            await store.write_history(history_batch(9))
            assert await store.progress("settlement", EVENTS) == ProgressRow(
                "settlement", BALANCE_EVENTS, 0, 4, {"ubscore-0": 40}
            )
            assert await store.progress("order_history", OUTPUTS) == history_batch(9).progress
            assert await store.progress("order_history", EVENTS) is None
            assert await store.progress("settlement", TopicPartition(BALANCE_EVENTS, 1)) is None

    @run_async
    async def test_everything_written_opened_again_is_there(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(3, balances=[balance_row()], ledger=[ledger_row()]))
            await store.write_history(history_batch(3, history=[order_row()], updates=[update_row()]))
            before = await tables_of(store)
        async with self.open(tmp_path) as store:
            assert await tables_of(store) == before
            assert await store.progress("settlement", EVENTS) == settlement_batch(3).progress

    # Settlement

    @run_async
    async def test_rows_of_every_table_come_back_equal(self, tmp_path: Path) -> None:
        settlement = settlement_batch(
            trades=[trade_row(buyer_is_maker=False, base_amount=MAX_AMOUNT), trade_row("ETH_USDT")],
            balances=[balance_row(available=MAX_AMOUNT), balance_row(-1, "BTC")],
            ledger=[ledger_row(-1, "BTC", available_delta=-MAX_AMOUNT, reference="прием ☃ '; --")],
        )
        history = history_batch(
            active=[order_row()],
            history=[
                order_row(
                    2,
                    1 << 44,
                    side=Side.Buy,
                    order_type=OrderType.LimitMaker,
                    time_in_force=TimeInForce.FOK,
                    status=OrderStatus.Rejected,
                    code=Reject.WOULD_TAKE_LIQUIDITY,
                ),
                order_row(),
            ],
            updates=[update_row(), update_row(1, 1, is_maker=False, code=Reject.UNKNOWN_ORDER)],
            statistics=[statistics_row(), statistics_row(1001, -1)],
        )
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement)
            await store.write_history(history)
            tables = await tables_of(store)
        assert tables == {
            "settled_trades": settlement.trades,
            "user_balances": settlement.balances[::-1],
            "balance_ledger": settlement.ledger,
            "active_orders": history.active,
            "order_history": history.history,
            "order_updates_stream": history.updates,
            "order_statistics": history.statistics[::-1],
        }
        assert type(tables["order_history"][0].status) is OrderStatus
        assert tables["settled_trades"][0].buyer_is_maker is False

    @run_async
    async def test_balances_of_known_and_unknown_keys_give_the_known(self, tmp_path: Path) -> None:
        rows = [balance_row(version=7, available=MAX_AMOUNT), balance_row(-1, "USDT"), balance_row(1002)]
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(balances=rows))
            keys = [(1001, "BTC"), (1001, "USDT"), (-1, "USDT"), (9, "BTC")]
            assert await store.balances(keys) == {(1001, "BTC"): rows[0], (-1, "USDT"): rows[1]}
            assert await store.balances([]) == {}

    @run_async
    async def test_latest_ledger_of_known_and_unknown_keys_gives_the_highest_seq_of_the_known(
        self, tmp_path: Path
    ) -> None:
        rows = [ledger_row(1001, "BTC", seq) for seq in (9, 10, 2)] + [ledger_row(-1, "USDT"), ledger_row(1002)]
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(ledger=rows))
            keys = [(1001, "BTC"), (1001, "USDT"), (-1, "USDT"), (9, "BTC")]
            assert await store.latest_ledger(keys) == {(1001, "BTC"): rows[1], (-1, "USDT"): rows[3]}
            assert await store.latest_ledger([]) == {}

    @run_async
    async def test_write_settlement_twice_changes_nothing(self, tmp_path: Path) -> None:
        batch = settlement_batch(trades=[trade_row()], balances=[balance_row()], ledger=[ledger_row()])
        async with self.open(tmp_path) as store:
            await store.write_settlement(batch)
            before = await tables_of(store)
            await store.write_settlement(batch)
            assert await tables_of(store) == before

    @run_async
    async def test_write_settlement_of_a_lower_version_keeps_the_higher(self, tmp_path: Path) -> None:
        newest = balance_row(version=5, available=1)
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(balances=[newest]))
            await store.write_settlement(settlement_batch(balances=[balance_row(version=4, available=2)]))
            assert await rows_of(store.all_balances()) == [newest]
            await store.write_settlement(settlement_batch(balances=[balance_row(version=6, available=3)]))
            assert (await rows_of(store.all_balances()))[0].available == 3

    @run_async
    async def test_write_settlement_of_both_sides_of_a_trade_keeps_one(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(trades=[trade_row()]))
            await store.write_settlement(settlement_batch(trades=[trade_row()]))
            assert await rows_of(store.all_trades()) == [trade_row()]

    @run_async
    async def test_write_of_thousands_of_rows_stores_every_one(self, tmp_path: Path) -> None:
        ledger = [ledger_row(seq=seq) for seq in range(1, 5_002)]
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(ledger=ledger, balances=[balance_row(version=5_001)]))
            assert (await tables_of(store))["balance_ledger"] == ledger

    @pytest.mark.parametrize("order", REPEATS)
    @run_async
    async def test_write_settlement_late_or_folded_again_changes_nothing_newer(
        self, tmp_path: Path, order: str
    ) -> None:
        first = settlement_batch(1, trades=[trade_row()], balances=[balance_row()], ledger=[ledger_row()])
        second = settlement_batch(2, balances=[balance_row(version=2)], ledger=[ledger_row(seq=2)])
        both = second._replace(trades=first.trades, ledger=[*first.ledger, *second.ledger])
        async with self.open(tmp_path) as store:
            for name in order.split():
                await store.write_settlement({"first": first, "second": second, "both": both}[name])
            tables = await tables_of(store)
            assert tables["settled_trades"] == both.trades
            assert tables["user_balances"] == both.balances
            assert tables["balance_ledger"] == both.ledger
            assert await store.progress("settlement", EVENTS) == both.progress

    # History

    @run_async
    async def test_write_history_twice_changes_nothing(self, tmp_path: Path) -> None:
        batch = history_batch(
            active=[order_row()],
            closed=[(1001, 9)],
            history=[order_row()],
            updates=[update_row()],
            statistics=[statistics_row()],
        )
        async with self.open(tmp_path) as store:
            await store.write_history(batch)
            before = await tables_of(store)
            await store.write_history(batch)
            assert await tables_of(store) == before

    @run_async
    async def test_write_history_of_a_newer_state_replaces_the_older(self, tmp_path: Path) -> None:
        newer = order_row(
            status=OrderStatus.PartiallyFilled, filled_lots=3, filled_tick_lots=15_000_000, updated_ms=2_000
        )
        newer_statistics = statistics_row(filled=8, sequence=20)
        async with self.open(tmp_path) as store:
            await store.write_history(
                history_batch(1, active=[order_row()], history=[order_row()], statistics=[statistics_row()])
            )
            await store.write_history(history_batch(2, active=[newer], history=[newer], statistics=[newer_statistics]))
            assert await store.active_orders(1001, None) == [newer]
            assert await rows_of(store.all_orders()) == [newer]
            assert await store.statistics([(1001, 0)]) == {(1001, 0): newer_statistics}

    @pytest.mark.parametrize("order", REPEATS)
    @run_async
    async def test_write_history_late_or_folded_again_changes_nothing_newer(self, tmp_path: Path, order: str) -> None:
        """Orders 1 and 2 are open in the first batch; the second closes 2 and opens 3, which stays, and 4."""
        opened = [order_row(order_id=order_id) for order_id in (1, 2, 3, 4)]
        filled = order_row(order_id=1, status=OrderStatus.PartiallyFilled, filled_lots=3, updated_ms=2_000)
        closed = [order_row(order_id=order_id, status=OrderStatus.Cancelled, updated_ms=2_000) for order_id in (2, 4)]
        told = [update_row(order_id + 2, order_id=order_id, status=OrderStatus.New) for order_id in (1, 2, 3, 4)]
        told += [update_row(7, 0, order_id=1), update_row(7, 1, order_id=2, status=OrderStatus.Cancelled)]
        told += [update_row(7, 2, order_id=4, status=OrderStatus.Cancelled)]
        first = history_batch(
            1, active=opened[:2], history=opened[:2], updates=told[:2], statistics=[statistics_row(sequence=4)]
        )
        second = history_batch(
            2,
            active=[filled, opened[2]],
            closed=[(1001, 2), (1001, 4)],
            history=[filled, closed[0], opened[2], closed[1]],
            updates=told[2:],
            statistics=[statistics_row(new=7, cancelled=4, sequence=7)],
        )
        both = second._replace(updates=told)
        async with self.open(tmp_path) as store:
            for name in order.split():
                await store.write_history({"first": first, "second": second, "both": both}[name])
            tables = await tables_of(store)
            assert tables["active_orders"] == both.active
            assert tables["order_history"] == both.history
            assert tables["order_updates_stream"] == told
            assert tables["order_statistics"] == both.statistics
            assert await store.progress("order_history", OUTPUTS) == both.progress
            assert await store.order_by_cid(1001, "cid-2") == closed[0]

    @run_async
    async def test_write_history_of_an_order_that_opened_and_closed_within_it_leaves_none_active(
        self, tmp_path: Path
    ) -> None:
        """As after a crash: an earlier attempt, whose batch ended in between, had it open."""
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(1, active=[order_row()], history=[order_row()]))
            closed = order_row(status=OrderStatus.Filled, updated_ms=2_000)
            await store.write_history(history_batch(2, closed=[(1001, 1)], history=[closed]))
            assert await store.active_orders(1001, None) == []
            assert await store.order(1001, 1) == closed

    @run_async
    async def test_write_history_of_closed_orders_deletes_those_alone(self, tmp_path: Path) -> None:
        orders = [order_row(user_id, order_id) for user_id in (1001, 1002) for order_id in (user_id, user_id + 10)]
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(active=orders))
            await store.write_history(history_batch(2, closed=[(1001, 1011), (1002, 1001), (5, 5)]))
            assert (await tables_of(store))["active_orders"] == [orders[0], *orders[2:]]

    @run_async
    async def test_statistics_of_known_and_unknown_keys_give_the_known(self, tmp_path: Path) -> None:
        rows = [statistics_row(), statistics_row(1001, -1, rejected=7)]
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(statistics=rows))
            assert await store.statistics([(1001, 0), (1001, -1), (1001, 1), (2, 0)]) == {
                (1001, 0): rows[0],
                (1001, -1): rows[1],
            }
            assert await store.statistics([]) == {}

    # Queries

    @run_async
    async def test_ledger_pages_of_one_asset_and_of_all_give_every_row_once(self, tmp_path: Path) -> None:
        rows = [ledger_row(1001, asset, seq) for asset in ("BTC", "USDT") for seq in range(1, 6)]
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(ledger=[*rows, ledger_row(1002)]))
            assert await store.ledger(1001, "BTC", 3, None) == rows[4:1:-1]
            assert await store.ledger(1001, "BTC", 3, ("BTC", 3)) == rows[1::-1]
            assert await store.ledger(1001, "DOGE", 3, None) == []
            assert await store.ledger(1001, None, 7, None) == rows[:2:-1]
            assert await store.ledger(1001, None, 7, ("BTC", 4)) == rows[2::-1]

    @run_async
    async def test_order_of_another_user_is_none(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(history=[order_row(1001, 1), order_row(1002, 2)]))
            assert await store.order(1001, 1) == order_row(1001, 1)
            assert await store.order(1001, 2) is None
            assert await store.order(1001, 3) is None

    @run_async
    async def test_active_orders_of_a_symbol_and_of_all_come_lowest_id_first(self, tmp_path: Path) -> None:
        orders = [order_row(1001, 3), order_row(1001, 5, symbol="ETH_USDT"), order_row(1001, 8)]
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(active=[*orders[::-1], order_row(1002, 4)]))
            assert await store.active_orders(1001, None) == orders
            assert await store.active_orders(1001, "BTC_USDT") == [orders[0], orders[2]]
            assert await store.active_orders(7, None) == []

    @run_async
    async def test_order_history_pages_newest_first_give_every_order_once(self, tmp_path: Path) -> None:
        # Orders 3 and 4 share a millisecond.
        orders = [
            order_row(1001, number, created_ms=created) for number, created in enumerate((10, 20, 30, 40, 40, 50))
        ]
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(history=[*orders, order_row(1002, 99, created_ms=30)]))
            assert await store.order_history(1001, None, 0, 1_000, 2, None) == [orders[5], orders[4]]
            assert await store.order_history(1001, None, 0, 1_000, 2, (40, 4)) == [orders[3], orders[2]]
            assert await store.order_history(1001, None, 20, 40, 9, None) == orders[4:0:-1]
            assert await store.order_history(1001, "ETH_USDT", 0, 1_000, 9, None) == []
            assert await store.order_history(1001, "BTC_USDT", 0, 10, 9, None) == orders[:1]

    @run_async
    async def test_order_by_cid_used_twice_is_the_newest(self, tmp_path: Path) -> None:
        older, newer = order_row(1001, 1, cid="same"), order_row(1001, 2, cid="same")
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(history=[newer, older, order_row(1002, 3, cid="same")]))
            assert await store.order_by_cid(1001, "same") == newer
            assert await store.order_by_cid(1001, "other") is None

    @run_async
    async def test_order_by_cid_refused_as_a_duplicate_is_not_the_order(self, tmp_path: Path) -> None:
        first = order_row(1001, 1, cid="same", status=OrderStatus.Filled)
        refused = order_row(
            1001,
            2,
            cid="same",
            created_ms=first.created_ms + 1,
            status=OrderStatus.Rejected,
            code=Reject.DUPLICATE_CLIENT_ORDER_ID,
        )
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(history=[first, refused]))
            assert await store.order_by_cid(1001, "same") == first
            assert await store.order(1001, 2) == refused

    @run_async
    async def test_order_statistics_sum_over_shards_and_are_zero_without_any(self, tmp_path: Path) -> None:
        rows = [statistics_row(1001, 0), statistics_row(1001, -1, new=0, rejected=7, updated_ms=2_000)]
        async with self.open(tmp_path) as store:
            await store.write_history(history_batch(statistics=rows))
            assert await store.order_statistics(1001) == StatisticsRow(1001, 0, 5, 2, 4, 10, 8, 2_000, 0)
            assert await store.order_statistics(5) == StatisticsRow(5, 0, 0, 0, 0, 0, 0, 0, 0)

    @run_async
    async def test_trades_by_user_pages_hold_both_sides_newest_first(self, tmp_path: Path) -> None:
        # The middle three share a millisecond, and two of them a trade id.
        trades = [
            trade_row("BTC_USDT", 3, time_ms=30),
            trade_row("ETH_USDT", 2, time_ms=20, buyer_user_id=1002, seller_user_id=1001),
            trade_row("ETH_USDT", 1, time_ms=20),
            trade_row("BTC_USDT", 2, time_ms=20),
            trade_row("BTC_USDT", 1, time_ms=10, buyer_user_id=1003, seller_user_id=1001),
        ]
        foreign = trade_row("BTC_USDT", 4, time_ms=15, buyer_user_id=1003)
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(trades=[*trades[::-1], foreign]))
            assert await store.trades_by_user(1001, None, 2, None) == trades[:2]
            assert await store.trades_by_user(1001, None, 2, (20, "ETH_USDT", 2)) == trades[2:4]
            assert await store.trades_by_user(1001, None, 2, (20, "BTC_USDT", 2)) == trades[4:]
            assert await store.trades_by_user(1001, "ETH_USDT", 9, None) == trades[1:3]
            assert await store.trades_by_user(1001, "ETH_USDT", 9, (20, "ETH_USDT", 2)) == [trades[2]]
            assert await store.trades_by_user(1001, "ETH_USDT", 9, (20, "ETH_USDT", 1)) == []
            assert await store.trades_by_user(1001, "BTC_USDT", 2, (30, "BTC_USDT", 3)) == trades[3:]
            assert await store.trades_by_user(1001, "BTC_USDT", 9, (20, "ETH_USDT", 2)) == trades[3:]
            assert await store.trades_by_user(1001, "ETH_USDT", 9, (20, "BTC_USDT", 9)) == []
            assert await store.trades_by_user(5, None, 9, None) == []

    @run_async
    async def test_trades_by_symbol_pages_highest_id_first(self, tmp_path: Path) -> None:
        trades = [trade_row(trade_id=number) for number in range(1, 6)]
        async with self.open(tmp_path) as store:
            await store.write_settlement(settlement_batch(trades=[*trades, trade_row("ETH_USDT", 3)]))
            assert await store.trades_by_symbol("BTC_USDT", 2, None) == [trades[4], trades[3]]
            assert await store.trades_by_symbol("BTC_USDT", 9, 4) == trades[2::-1]
            assert await store.trades_by_symbol("DOGE_USDT", 9, None) == []

    @run_async
    async def test_trades_by_symbol_after_days_of_a_clock_that_was_ahead_begin_with_the_newest(
        self, tmp_path: Path
    ) -> None:
        day_ms, step = 86_400_000, 16_384
        days = (1, 900, 901, 1, 1, 1, 1, 2)
        trades = [trade_row(trade_id=number * step + 1, time_ms=day * day_ms) for number, day in enumerate(days)]
        async with self.open(tmp_path) as store:
            for trade in trades:
                await store.write_settlement(settlement_batch(trades=[trade]))
                assert (await store.trades_by_symbol("BTC_USDT", 1, None)) == [trade]
            assert await store.trades_by_symbol("BTC_USDT", 9, None) == trades[::-1]

    # Keys

    @run_async
    async def test_keys_put_are_read_by_name_and_by_user(self, tmp_path: Path) -> None:
        keys = [key_row("b", created_ms=1), key_row("a", created_ms=2), key_row("c", user_id=5)]
        async with self.open(tmp_path) as store:
            for key in keys[::-1]:
                await store.put_key(key)
            assert await store.get_key("a") == keys[1]
            assert await store.get_key("missing") is None
            assert await store.keys_of(1001) == keys[:2]

    @run_async
    async def test_key_put_again_replaces_the_first(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.put_key(key_row())
            await store.put_key(key_row(revoked=True))
            assert await store.get_key("key-1") == key_row(revoked=True)
