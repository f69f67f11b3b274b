"""What settlement and order_history write to SQLite: whole batches, many rows a statement.

Every call into SQLite lets go of Python's global lock and must win it back from a busy event loop, so the number of
calls, not of rows, decides how long a batch takes: `executemany` would pay that for every row.
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from services.adapters.ports import HistoryBatch, SettlementBatch
from services.adapters.sqlite.lookups import SqliteLookUps, read_progress
from services.adapters.store_calls import timed
from services.domain.rows import (
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    ProgressRow,
    SettledTradeRow,
    StatisticsRow,
)
from services.domain.topics import TopicPartition

Values = tuple[Any, ...]

MAX_PARAMETERS: Final = 32_766
"""SQLite's own limit for one statement."""
MAX_ROWS: Final = 2_048


class _Statement:
    """A statement over many rows of values. Its text knows few sizes, powers of two, so that SQLite prepares each once.

    A row of NULLs fills a size up; the text of the statement must pass over rows whose first column is NULL.
    """

    def __init__(self, before: str, after: str, width: int) -> None:
        """before, after: the SQL around `VALUES (?, …), …`; width: columns."""
        self._width = width
        self._size = MAX_ROWS
        while self._size * width > MAX_PARAMETERS:
            self._size //= 2
        row = f"({', '.join('?' * width)})"
        sizes = [1 << power for power in range(self._size.bit_length())]
        self._texts = {size: f"{before} VALUES {', '.join([row] * size)} {after}" for size in sizes}

    def run(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> None:
        for start in range(0, len(rows), self._size):
            part = rows[start : start + self._size]
            size = 1 << (len(part) - 1).bit_length()
            parameters = list(chain.from_iterable(part))
            parameters.extend([None] * ((size - len(part)) * self._width))
            connection.execute(self._texts[size], parameters)


class _Upsert:
    """Rows into a table; where the key exists, `changing` columns take the new values, on condition `only_if`."""

    def __init__(
        self,
        table: str,
        row_type: type[msgspec.Struct],
        key: tuple[str, ...],
        changing: tuple[str, ...] = (),
        only_if: str = "TRUE",
    ) -> None:
        columns = row_type.__struct_fields__
        sets = ", ".join(f"{column} = excluded.{column}" for column in changing)
        action = f"UPDATE SET {sets} WHERE {only_if}" if sets else "NOTHING"
        self._statement = _Statement(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM (",  # noqa: S608 - names are ours
            f") WHERE column1 IS NOT NULL ON CONFLICT ({', '.join(key)}) DO {action}",
            len(columns),
        )

    def run(
        self, connection: sqlite3.Connection, rows: Sequence[Any], values: Callable[[Any], Values] = astuple
    ) -> None:
        self._statement.run(connection, [values(row) for row in rows])


_ORDER_CHANGES = ("status", "price_ticks", "quantity_lots", "filled_lots", "filled_tick_lots", "code", "updated_ms")

_TRADES = _Upsert("settled_trades", SettledTradeRow, ("symbol", "trade_id"))
_BALANCES = _Upsert(
    "user_balances",
    BalanceRow,
    ("user_id", "asset_id"),
    ("available", "reserved", "version", "time_ms"),
    only_if="excluded.version > user_balances.version",
)
_LEDGER = _Upsert("balance_ledger", LedgerRow, ("user_id", "asset_id", "seq"))
_PROGRESS = _Upsert("settlement_progress", ProgressRow, ("reader", "topic", "partition"), ("next_offset", "sequences"))
_ACTIVE = _Upsert("active_orders", OrderRow, ("user_id", "order_id"), _ORDER_CHANGES)
# Without the inner SELECT, SQLite walks the whole table.
_CLOSED = _Statement(
    "DELETE FROM active_orders WHERE (user_id, order_id) IN (SELECT column1, column2 FROM (", "))", width=2
)
_HISTORY = _Upsert("order_history", OrderRow, ("user_id", "created_ms", "order_id"), _ORDER_CHANGES)
_UPDATES = _Upsert("order_updates_stream", OrderUpdateRow, ("source", "sequence", "part"))
_STATISTICS = _Upsert(
    "order_statistics",
    StatisticsRow,
    ("user_id", "shard"),
    ("new", "filled", "cancelled", "rejected", "expired", "updated_ms", "sequence"),
)


class SqliteProjections(SqliteLookUps):
    """`ports.ProjectionStore` on SQLite: a batch is one transaction."""

    @timed
    async def write_settlement(self, batch: SettlementBatch) -> None:
        await self._write(lambda connection: _write_settlement(connection, batch))

    @timed
    async def write_history(self, batch: HistoryBatch) -> None:
        await self._write(lambda connection: _write_history(connection, batch))


def _write_settlement(connection: sqlite3.Connection, batch: SettlementBatch) -> None:
    if _is_late(connection, batch.progress):
        return
    _TRADES.run(connection, batch.trades, _trade_values)
    _BALANCES.run(connection, batch.balances)
    _LEDGER.run(connection, batch.ledger)
    _PROGRESS.run(connection, [batch.progress], _progress_values)


def _write_history(connection: sqlite3.Connection, batch: HistoryBatch) -> None:
    if _is_late(connection, batch.progress):
        return
    history = [_order_values(row) for row in batch.history]
    _ACTIVE.run(connection, batch.active, _order_values)
    _CLOSED.run(connection, batch.closed)
    _HISTORY.run(connection, history, tuple)
    _UPDATES.run(connection, batch.updates, _update_values)
    _STATISTICS.run(connection, batch.statistics)
    _PROGRESS.run(connection, [batch.progress], _progress_values)


def _is_late(connection: sqlite3.Connection, progress: ProgressRow) -> bool:
    """Whether the store has all of a batch already, and more: its rows would put older ones in their places."""
    stored = read_progress(connection, progress.reader, TopicPartition(progress.topic, progress.partition))
    return stored is not None and stored.next_offset > progress.next_offset


# sqlite3 binds a plain int at once, but looks for an adapter when it meets an IntEnum or a bool.


def _trade_values(row: SettledTradeRow) -> Values:
    values = astuple(row)
    return (*values[:12], int(row.buyer_is_maker), *values[13:])


def _order_values(row: OrderRow) -> Values:
    return (
        row.user_id,
        row.order_id,
        row.cid,
        row.symbol,
        int(row.side),
        int(row.order_type),
        int(row.time_in_force),
        int(row.status),
        row.price_ticks,
        row.quantity_lots,
        row.filled_lots,
        row.filled_tick_lots,
        int(row.code),
        row.created_ms,
        row.updated_ms,
    )


def _update_values(row: OrderUpdateRow) -> Values:
    return (
        row.source,
        row.sequence,
        row.part,
        row.user_id,
        row.order_id,
        row.symbol,
        int(row.status),
        row.filled_lots,
        row.last_price_ticks,
        row.last_quantity_lots,
        row.trade_id,
        int(row.is_maker),
        int(row.code),
        row.time_ms,
    )


def _progress_values(row: ProgressRow) -> Values:
    sequences = msgspec.json.encode(row.sequences).decode()
    return (row.reader, row.topic, row.partition, row.next_offset, sequences)
