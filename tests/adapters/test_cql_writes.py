"""Batches as writes: what is written where, when, and which of two writes wins."""

import datetime
from typing import Any

import pytest

from services.adapters.cql.tables import TABLES, month_of
from services.adapters.cql.writes import Write, history_phases, key_writes, settlement_phases
from services.domain.orders import OrderStatus
from services.domain.rejects import Reject
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

DAY_MS = 86_400_000


def writes_to(table: str, phases: list[list[Write]]) -> list[Write]:
    return [write for phase in phases for write in phase if write.table == table]


def a_whole_settlement() -> list[list[Write]]:
    trade = "trade:BTC_USDT:1"
    ledger = [ledger_row(1001, "BTC", 1, reference=trade), ledger_row(1002, "BTC", 4)]
    ledger.append(ledger_row(1002, "USDT", 9, reference=trade))
    return settlement_phases(settlement_batch(trades=[trade_row()], balances=[balance_row(version=7)], ledger=ledger))


def a_whole_history() -> list[list[Write]]:
    return history_phases(
        history_batch(
            active=[order_row()],
            closed=[(1001, 9)],
            history=[order_row()],
            updates=[update_row(status=OrderStatus.New)],
            statistics=[statistics_row()],
        )
    )


def test_writes_of_every_table_have_its_columns() -> None:
    keys = [*a_whole_settlement(), *a_whole_history(), key_writes(key_row())]
    seen = set()
    for write in (write for phase in keys for write in phase):
        shape = TABLES[write.table]
        seen.add(write.table)
        assert 0 < shape.partition <= shape.key <= len(shape.columns) == len(set(shape.columns))
        assert len(write.key) == shape.key
        assert write.values is None or len(write.values) == len(shape.columns) - shape.key
    assert seen == set(TABLES)


def test_settlement_writes_the_ledger_before_the_balances_and_the_position_last() -> None:
    tables = [{write.table for write in phase} for phase in a_whole_settlement()]
    assert "balance_ledger" in tables[0]
    assert "settled_trades" in tables[0]
    assert tables[1:] == [{"user_balances"}, {"settlement_progress"}]


def test_history_writes_the_position_last_and_alone() -> None:
    rows, position = a_whole_history()
    assert [write.table for write in position] == ["settlement_progress"]
    assert "settlement_progress" not in {write.table for write in rows}


@pytest.mark.parametrize(
    "phases", [settlement_phases(settlement_batch(3)), history_phases(history_batch(3))], ids=["settlement", "history"]
)
def test_batch_without_rows_writes_the_position_alone(phases: list[list[Write]]) -> None:
    assert [[write.table for write in phase] for phase in phases] == [["settlement_progress"]]
    assert phases[0][0].timestamp == 3


def test_settlement_entries_of_one_trade_stand_together() -> None:
    entries = [write for write in a_whole_settlement()[0] if write.table in ("settled_trades", "balance_ledger")]
    assert [(write.table, write.key[0]) for write in entries] == [
        ("settled_trades", "BTC_USDT"),
        ("balance_ledger", 1001),
        ("balance_ledger", 1002),
        ("balance_ledger", 1002),
    ]
    assert entries[2].key == (1002, "USDT", 0, 9)


def test_trade_of_a_user_with_himself_is_his_once() -> None:
    phases = settlement_phases(settlement_batch(trades=[trade_row(seller_user_id=1001)]))
    assert [write.key[0] for write in writes_to("settled_trades_by_user", phases)] == [1001]


def test_balance_of_a_higher_version_has_the_higher_timestamp() -> None:
    batch = settlement_batch(balances=[balance_row(version=4), balance_row(version=5)])
    older, newer = writes_to("user_balances", settlement_phases(batch))
    assert (older.key, older.timestamp, newer.timestamp) == (newer.key, 4, 5)


def test_order_is_as_old_as_its_last_update_in_the_batch() -> None:
    updates = [update_row(3, status=OrderStatus.New), update_row(8), update_row(5, order_id=2)]
    batch = history_batch(active=[order_row()], history=[order_row()], updates=updates)
    phases = history_phases(batch)
    found = writes_to("active_orders", phases) + writes_to("order_history", phases)
    assert [write.timestamp for write in found] == [8, 8]


def test_order_closed_is_deleted_by_its_last_update() -> None:
    updates = [update_row(3, status=OrderStatus.New), update_row(4, status=OrderStatus.Filled)]
    batch = history_batch(closed=[(1001, 1)], history=[order_row(status=OrderStatus.Filled)], updates=updates)
    assert writes_to("active_orders", history_phases(batch)) == [Write("active_orders", (1001, 1), None, 4)]


def test_order_opened_before_the_batch_gets_no_second_pointer() -> None:
    phases = history_phases(history_batch(history=[order_row()], updates=[update_row()]))
    assert {write.table for phase in phases for write in phase} == {
        "order_history",
        "order_updates_stream",
        "settlement_progress",
    }


def test_order_of_a_backup_has_its_pointers_and_is_older_than_any_update() -> None:
    batch = history_batch(active=[order_row()], history=[order_row()])._replace(updates=[])
    phases = history_phases(batch)
    found = {write.table: write.timestamp for write in phases[0]}
    assert set(found) == {"active_orders", "order_history", "orders_by_id", "orders_by_cid", "order_months"}
    assert (found["active_orders"], found["order_history"]) == (0, 0)


def test_order_refused_for_its_cid_does_not_own_it() -> None:
    row = order_row(status=OrderStatus.Rejected, code=Reject.DUPLICATE_CLIENT_ORDER_ID)
    phases = history_phases(history_batch(history=[row], updates=[update_row(status=OrderStatus.Rejected)]))
    assert writes_to("orders_by_cid", phases) == []
    assert len(writes_to("orders_by_id", phases)) == 1


def test_key_revoked_wins_over_the_same_key_valid() -> None:
    valid, revoked = key_writes(key_row()), key_writes(key_row(revoked=True))
    assert max(write.timestamp for write in valid) < min(write.timestamp for write in revoked)


@pytest.mark.parametrize("day", [*range(-800, 800, 13), 59, 60, 19_416, 19_782, 19_783, 20_000, 47_540, 47_541])
def test_month_of_any_day_is_the_calendars(day: int) -> None:
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    wanted: Any = 100 * date.year + date.month
    assert month_of(day * DAY_MS) == month_of(day * DAY_MS + DAY_MS - 1) == wanted
