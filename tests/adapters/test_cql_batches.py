"""Writes in batches: none is lost, those of one partition go together, and no batch is beyond the limit."""

from collections import Counter

from services.adapters.cql.batches import MAX_PARTITION_BYTES, MAX_STATEMENTS, Batch, batches
from services.adapters.cql.writes import Write, history_phases
from tests.support.rows import history_batch, order_row, statistics_row

LIMIT = 20_000


def balance(user_id: int, asset: str = "BTC") -> Write:
    return Write("user_balances", (user_id, asset), (1, 2, 3, 4), 3)


def entry(seq: int, reference: str = "t") -> Write:
    return Write("balance_ledger", (1, "BTC", 0, seq), ("Deposit", 1, 0, 1, 0, reference, "e", 5), 5_000)


def rows(found: list[Batch]) -> Counter[tuple[bytes, ...]]:
    return Counter((one.table.encode(), *one.values) for batch in found for one in batch.statements)


def test_writes_of_many_partitions_are_logged_batches_within_the_limit() -> None:
    found = list(batches([balance(user) for user in range(1_000)], LIMIT))
    assert all(batch.atomic for batch in found)
    assert sum(len(batch.statements) for batch in found) == 1_000
    # Six values of eight bytes at most, with what a server counts beside them.
    assert all(len(batch.statements) * (40 + 4 * 20 + 43) <= LIMIT for batch in found)
    assert len(found) < 12


def test_writes_of_one_partition_stay_together_and_need_no_log() -> None:
    mixed = [balance(user, asset) for asset in ("BTC", "USDT", "ETH") for user in range(50)]
    (found,) = batches(mixed[:1] + mixed[50:51] + mixed[100:101], LIMIT)
    assert (found.atomic, len(found.statements)) == (False, 3)
    for batch in batches(mixed, 2_000):
        users = Counter(one.values[0] for one in batch.statements)
        assert set(users.values()) == {3}


def test_writes_to_tables_with_equal_partition_keys_stand_side_by_side() -> None:
    batch = history_batch(active=[order_row()], history=[order_row()], statistics=[statistics_row()])
    (found,) = batches(history_phases(batch)[0], 40_000)
    tables = [one.table for one in found.statements]
    places = sorted(tables.index(table) for table in ("active_orders", "order_months", "order_statistics"))
    assert places[-1] - places[0] == 2
    assert abs(tables.index("order_history") - tables.index("orders_by_cid")) == 1


def test_writes_of_a_large_partition_are_split_and_each_part_is_one_mutation() -> None:
    found = list(batches([entry(seq, "r" * 500) for seq in range(3_000)], LIMIT))
    assert not any(batch.atomic for batch in found)
    assert all(len(batch.statements) <= MAX_STATEMENTS for batch in found)
    assert all(len(batch.statements) * 500 <= MAX_PARTITION_BYTES for batch in found)
    assert len(rows(found)) == 3_000
    assert {batch.routing_key for batch in found} == {
        b"\0\x08" + bytes(7) + b"\1\0\0\x03BTC\0\0\x08" + bytes(8) + b"\0"
    }


def test_deletion_carries_its_timestamp_first_and_its_key() -> None:
    (found,) = batches([Write("active_orders", (7, 9), None, 4)], LIMIT)
    (one,) = found.statements
    assert one.deletes
    assert [int.from_bytes(value) for value in one.values] == [4, 7, 9]
    assert found.routing_key == (7).to_bytes(8)
