"""Hold the store's rows against those that the log makes, table by table.

Where the log no longer starts at 0, rows that are older than it are counted, and checked by themselves: the ledger by
`StoredLedger`, open orders against the history, statistics against the updates.

A store that is written while it is read has rows newer than its positions were. What differs is put aside until the
log was read on: then it must be something that the log says.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple

from services.adapters.ports import AuditStore
from services.domain.orders import OrderStatus
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition, account_shard
from services.verify.ledger import StoredLedger
from services.verify.recount import Recount
from services.verify.report import Check
from services.verify.tables import COUNTED, NOTHING_COUNTED, Row, Tables

MAX_ASIDE: Final = 1_000_000
"""Rows of a table put aside; of more, nothing is known."""

Watch = Callable[[str, int], None]
"""Told how many rows of a table were read."""


class _Found(NamedTuple):
    """What a table was found to hold that it should not, or not yet: rows put aside, and keys that were not there.

    unjudged: rows that would have been put aside, had they not been too many.
    """

    table: str
    rows: int
    older: int
    unjudged: int
    aside: list[tuple[Row, Row, Row | None]]
    missing: list[Row]


class Comparison:
    """Compares one store with one recount. consistent: the store is read as it was at one moment."""

    def __init__(
        self,
        recount: Recount,
        store: AuditStore,
        account_shards: int,
        *,
        consistent: bool,
        max_aside: int = MAX_ASIDE,
    ) -> None:
        self._recount = recount
        self._tables = recount.tables
        self._store = store
        self._account_shards = account_shards
        self._consistent = consistent
        self._max_aside = max_aside
        self._ledger = StoredLedger()
        self._balances: dict[Row, Row] = {}
        self._older_open: dict[Row, Row] = {}
        self._older_open_wrong: list[Row] = []
        self._older_counts: dict[Row, list[int]] = {}

    async def run(self, watch: Watch) -> list[Check]:
        """A check a table, then those of the sums."""
        tables, store = self._tables, self._store
        updates = tables.updates
        found = [
            await self._read("user_balances", tables.balances, store.all_balances(), self._balance, watch),
            await self._read("balance_ledger", tables.ledger, store.all_ledger(), self._entry, watch),
            await self._read("settled_trades", tables.trades, store.all_trades(), self._trade, watch),
            await self._read("active_orders", tables.active, store.all_active_orders(), self._active, watch),
            await self._read("order_history", tables.orders, store.all_orders(), self._order, watch),
            await self._read("order_updates_stream", updates, store.all_order_updates(), self._update, watch),
        ]
        statistics = self._expected_statistics()
        found.append(await self._read("order_statistics", statistics, store.all_statistics(), self._statistics, watch))
        if not self._consistent:
            await self._recount.catch_up()
        checks = [self._judge(table) for table in found]
        return [*checks, *self._older_orders(), *self._sums()]

    async def _read(
        self,
        table: str,
        expected: dict[Row, Row],
        rows: AsyncIterator[Any],
        split: Callable[[Any], tuple[Row, Row, bool]],
        watch: Watch,
    ) -> _Found:
        """split: gives a row's key, what of it is compared, and whether it may be older than the log."""
        left = set(expected)
        found = _Found(table, 0, 0, 0, [], [])
        count = older = unjudged = 0
        async for row in rows:
            key, value, may_be_older = split(row)
            count += 1
            if count % 2_000 == 0:
                watch(table, count)
            left.discard(key)
            wanted = expected.get(key)
            if wanted is None and may_be_older:
                older += 1
            elif wanted == value:
                continue
            elif len(found.aside) < self._max_aside:
                found.aside.append((key, value, wanted))
            else:
                unjudged += 1
        watch(table, count)
        return found._replace(rows=count, older=older, unjudged=unjudged, missing=sorted(left, key=repr))

    def _judge(self, found: _Found) -> Check:
        name = f"store: {found.table}"
        newer = self._recount.newer
        for key, value, wanted in found.aside:
            if _is_newer(found.table, key, value, newer):
                continue
            if wanted is None:
                return Check(name, False, f"row {key} is in the store, but not in the log")
            return Check(name, False, f"row {key} is {value} in the store, {wanted} by the log")
        if found.unjudged:
            words = f"{found.unjudged:,} rows that are newer than its position were too many to be judged"
            return Check(name, False, f"{words}: verify again when there is less traffic")
        # An order that was open at the position may be closed by now.
        closed = newer.orders if found.table == "active_orders" else {}
        missing = [key for key in found.missing if key not in closed]
        if missing:
            whole = found.rows + len(missing)
            return Check(name, False, f"{len(missing)} of {whole} rows are missing in the store, {missing[0]} first")
        older = f", {found.older:,} of them older than the log" if found.older else ""
        moving = f", {len(found.aside):,} newer than its position" if found.aside else ""
        return Check(name, True, f"{found.rows:,} rows{older}{moving}")

    # Rows: key, value, and whether it may be older than the log

    def _balance(self, row: Any) -> tuple[Row, Row, bool]:
        key, value = (row.user_id, row.asset_id), astuple(row)[2:]
        self._balances[key] = value
        return key, value, self._is_gone(BALANCE_EVENTS, self._shard(row.user_id))

    def _entry(self, row: Any) -> tuple[Row, Row, bool]:
        self._ledger.add(row)
        first = self._tables.first_entries.get((row.user_id, row.asset_id))
        older = self._is_gone(BALANCE_EVENTS, self._shard(row.user_id)) and (first is None or row.seq < first)
        return (row.user_id, row.asset_id, row.seq), astuple(row)[3:], older

    def _trade(self, row: Any) -> tuple[Row, Row, bool]:
        shards = {self._shard(row.buyer_user_id), self._shard(row.seller_user_id)}
        older = all(self._half_is_gone(shard, row.matcher_shard, row.engine_sequence) for shard in shards)
        return (row.symbol, row.trade_id), astuple(row)[2:], older

    def _half_is_gone(self, shard: int, matcher_shard: int, engine_sequence: int) -> bool:
        first = self._tables.first_trades.get((shard, matcher_shard))
        return self._is_gone(BALANCE_EVENTS, shard) and (first is None or engine_sequence <= first)

    def _active(self, row: Any) -> tuple[Row, Row, bool]:
        key, value, older = self._order_parts(row)
        if older:
            self._older_open[key] = value
        return key, value, older

    def _order(self, row: Any) -> tuple[Row, Row, bool]:
        key, value, older = self._order_parts(row)
        open_row = self._older_open.pop(key, None)
        if older and open_row != (value if OrderStatus(row.status).is_open else None):
            self._older_open_wrong.append(key)
        return key, value, older

    def _order_parts(self, row: Any) -> tuple[Row, Row, bool]:
        key = (row.user_id, row.order_id)
        older = key not in self._tables.orders and any(self._recount.starts.values())
        return key, astuple(row)[2:], older

    def _update(self, row: Any) -> tuple[Row, Row, bool]:
        kind, _, number = row.source.rpartition("-")
        matches = kind == "matcher"
        first = self._tables.first_updates.get(row.source)
        older = self._is_gone(ENGINE_OUTPUTS if matches else BALANCE_EVENTS, int(number))
        older = older and (first is None or row.sequence < first)
        if older and row.status != OrderStatus.PartiallyFilled:
            key = (row.user_id, int(number) if matches else -1 - int(number))
            counts = self._older_counts.setdefault(key, list(NOTHING_COUNTED))
            counts[COUNTED.index(row.status)] += 1
            if row.sequence > counts[-1]:
                counts[-2:] = row.time_ms, row.sequence
        return (row.source, row.sequence, row.part), astuple(row)[3:], older

    def _expected_statistics(self) -> dict[Row, Row]:
        """By the log, and by the store's own updates that are older than it."""
        expected: dict[Row, Row] = {}
        for key in self._tables.statistics.keys() | self._older_counts.keys():
            counted = self._tables.statistics.get(key, NOTHING_COUNTED)
            older = self._older_counts.get(key, NOTHING_COUNTED)
            sums = [a + b for a, b in zip(counted[:-2], older[:-2], strict=True)]
            # What is on the log came later.
            expected[key] = (*sums, *(counted if counted[-1] else older)[-2:])
        return expected

    def _statistics(self, row: Any) -> tuple[Row, Row, bool]:
        return (row.user_id, row.shard), astuple(row)[2:], False

    def _is_gone(self, topic: str, shard: int) -> bool:
        """Whether the log no longer has the beginning of a partition."""
        return self._recount.starts[TopicPartition(topic, shard)] > 0

    def _shard(self, user_id: int) -> int:
        return account_shard(user_id, self._account_shards)

    # What follows from all rows

    def _older_orders(self) -> list[Check]:
        if not any(self._recount.starts.values()):
            return []
        name = "store: orders older than the log are open in both tables or in none"
        newer = self._recount.newer.orders
        wrong = [key for key in (*self._older_open, *self._older_open_wrong) if key not in newer]
        if wrong:
            return [Check(name, False, f"order {wrong[0][1]} of user {wrong[0][0]} is not")]
        return [Check(name, True, "hold")]

    def _sums(self) -> list[Check]:
        newer = set(self._recount.newer.balances)
        checks = [self._ledger.check_sums(self._balances, newer)]
        return checks + self._ledger.check_zero_sum(self._tables, self._is_older_half, bool(newer))

    def _is_older_half(self, key: Row, halves: dict[int, Any]) -> bool:
        """Whether the other shard settled its half of a trade before the log begins."""
        symbol, trade_id, matcher_shard, engine_sequence = key
        buyer, seller = self._tables.trades[symbol, trade_id][4:6]
        (other,) = {self._shard(buyer), self._shard(seller)} - halves.keys()
        return self._half_is_gone(other, matcher_shard, engine_sequence)


def _is_newer(table: str, key: Row, value: Row, newer: Tables) -> bool:
    """Whether what a row says is something that the log says behind the store's position."""
    if table == "user_balances":
        entry = newer.ledger.get((*key, value[2]))
        return entry is not None and (*entry[3:5], value[2], entry[-1]) == value
    if table in ("active_orders", "order_history"):
        order = newer.orders.get(key)
        return order is not None and _as_placed(order) == _as_placed(value)
    if table == "order_statistics":
        return key in newer.statistics
    rows = {"balance_ledger": newer.ledger, "settled_trades": newer.trades, "order_updates_stream": newer.updates}
    return rows[table].get(key) == value


def _as_placed(order: Row) -> Row:
    """What of an order's row stays as it was: all but its status, what is filled, the code and the last time."""
    return (*order[:5], *order[6:8], order[11])
