"""What the gateway's queries and `exchange verify` read from SQLite.

Each query gives its whole page as one JSON text: fetching row by row would hand Python's global lock back and forth
once a row, against a busy event loop.
"""

import sqlite3
from collections.abc import AsyncIterator
from typing import Any, Final, Generic, TypeVar

import msgspec

from services.adapters.sqlite.database import SqliteDatabase
from services.adapters.store_calls import timed
from services.domain.rejects import Reject
from services.domain.rows import (
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    SettledTradeRow,
    StatisticsRow,
    total_statistics,
)

R = TypeVar("R", bound=msgspec.Struct)

PAGE: Final = 2_000
"""Rows that an audit reads at a time."""
EVERYTHING: Final = -1
"""SQLite's LIMIT for no limit."""


class _Table(Generic[R]):
    """A table of rows of one type. key: what orders it whole, and where a page of an audit goes on."""

    def __init__(self, name: str, row_type: type[R], key: tuple[str, ...]) -> None:
        self.name = name
        self._row_type = row_type
        self._key = key
        # Not strict: SQLite's booleans are 0 and 1.
        self._decoder = msgspec.json.Decoder(list[row_type], strict=False)  # type: ignore[valid-type]
        members = ", ".join(f"'{column}', {column}" for column in row_type.__struct_fields__)
        self._object = f"json_object({members})"

    def select(self, connection: sqlite3.Connection, query: str, parameters: tuple[Any, ...]) -> list[R]:
        """The rows of `query`, which selects this table's columns and ends with ORDER BY and LIMIT."""
        text = f"SELECT json_group_array({self._object}) FROM ({query})"  # noqa: S608 - text is ours, values are bound
        (found,) = connection.execute(text, parameters).fetchone()
        return self._decoder.decode(found)

    def page(self, connection: sqlite3.Connection, after: R | None) -> list[R]:
        """The next rows in the order of the key, behind row `after`."""
        key = ", ".join(self._key)
        where, place = "", ()
        if after is not None:
            where = f"WHERE ({key}) > ({', '.join('?' * len(self._key))})"
            place = tuple(getattr(after, column) for column in self._key)
        query = f"SELECT * FROM {self.name} {where} ORDER BY {key} LIMIT ?"  # noqa: S608
        return self.select(connection, query, (*place, PAGE))


_TRADES = _Table("settled_trades", SettledTradeRow, ("symbol", "trade_id"))
_BALANCES = _Table("user_balances", BalanceRow, ("user_id", "asset_id"))
_LEDGER = _Table("balance_ledger", LedgerRow, ("user_id", "asset_id", "seq"))
_ACTIVE = _Table("active_orders", OrderRow, ("user_id", "order_id"))
_HISTORY = _Table("order_history", OrderRow, ("user_id", "created_ms", "order_id"))
_UPDATES = _Table("order_updates_stream", OrderUpdateRow, ("source", "sequence", "part"))
_STATISTICS = _Table("order_statistics", StatisticsRow, ("user_id", "shard"))


class SqliteQueries(SqliteDatabase):
    """`ports.QueryStore` and `ports.AuditStore` on SQLite."""

    @timed
    async def ledger(
        self, user_id: int, asset: str | None, limit: int, before: tuple[str, int] | None
    ) -> list[LedgerRow]:
        where, parameters = _where(user_id=user_id, asset_id=asset)
        if before is not None and asset is None:
            where += " AND (asset_id, seq) < (?, ?)"
            parameters += before
        elif before is not None:
            where += " AND seq < ?"
            parameters += (before[1],)
        return await self._select(_LEDGER, where, "asset_id DESC, seq DESC", (*parameters, limit))

    @timed
    async def order(self, user_id: int, order_id: int) -> OrderRow | None:
        # The plus keeps SQLite from choosing the key, which would walk all orders of the user.
        rows = await self._select(_HISTORY, "order_id = ? AND +user_id = ?", "order_id", (order_id, user_id, 1))
        return rows[0] if rows else None

    @timed
    async def active_orders(self, user_id: int, symbol: str | None) -> list[OrderRow]:
        where, parameters = _where(user_id=user_id, symbol=symbol)
        return await self._select(_ACTIVE, where, "order_id", (*parameters, EVERYTHING))

    @timed
    async def order_history(
        self,
        user_id: int,
        symbol: str | None,
        from_ms: int,
        to_ms: int,
        limit: int,
        before: tuple[int, int] | None,
    ) -> list[OrderRow]:
        where, parameters = _where(user_id=user_id, symbol=symbol)
        where += " AND created_ms BETWEEN ? AND ?"
        parameters += (from_ms, to_ms)
        if before is not None:
            where += " AND (created_ms, order_id) < (?, ?)"
            parameters += before
        return await self._select(_HISTORY, where, "created_ms DESC, order_id DESC", (*parameters, limit))

    @timed
    async def order_by_cid(self, user_id: int, cid: str) -> OrderRow | None:
        # Named, because SQLite would rather walk all orders of the user in the order of the key.
        query = """SELECT * FROM order_history INDEXED BY order_history_by_cid
            WHERE user_id = ? AND cid = ? AND code <> ? ORDER BY created_ms DESC, order_id DESC LIMIT 1"""
        parameters = (user_id, cid, int(Reject.DUPLICATE_CLIENT_ORDER_ID))
        rows = await self._read(lambda connection: _HISTORY.select(connection, query, parameters))
        return rows[0] if rows else None

    @timed
    async def order_statistics(self, user_id: int) -> StatisticsRow:
        rows = await self._select(_STATISTICS, "user_id = ?", "shard", (user_id, EVERYTHING))
        return total_statistics(user_id, rows)

    @timed
    async def trades_by_user(
        self, user_id: int, symbol: str | None, limit: int, before: tuple[int, str, int] | None
    ) -> list[SettledTradeRow]:
        where, parameters = _where(symbol=symbol)
        if before is not None:
            where += " AND (time_ms, symbol, trade_id) < (?, ?, ?)"
            parameters += before
        order = "ORDER BY time_ms DESC, symbol DESC, trade_id DESC LIMIT ?"
        # Each side gives a page from its own index; the union of the two holds the page that was asked for.
        sides = " UNION ".join(
            f"SELECT * FROM (SELECT * FROM settled_trades WHERE {where} AND {side} = ? {order})"  # noqa: S608
            for side in ("buyer_user_id", "seller_user_id")
        )
        one = (*parameters, user_id, limit)
        return await self._read(lambda connection: _TRADES.select(connection, f"{sides} {order}", (*one, *one, limit)))

    @timed
    async def trades_by_symbol(self, symbol: str, limit: int, before: int | None) -> list[SettledTradeRow]:
        where, parameters = _where(symbol=symbol)
        if before is not None:
            where += " AND trade_id < ?"
            parameters += (before,)
        return await self._select(_TRADES, where, "trade_id DESC", (*parameters, limit))

    def all_balances(self) -> AsyncIterator[BalanceRow]:
        return self._all(_BALANCES)

    def all_ledger(self) -> AsyncIterator[LedgerRow]:
        return self._all(_LEDGER)

    def all_trades(self) -> AsyncIterator[SettledTradeRow]:
        return self._all(_TRADES)

    def all_active_orders(self) -> AsyncIterator[OrderRow]:
        return self._all(_ACTIVE)

    def all_orders(self) -> AsyncIterator[OrderRow]:
        return self._all(_HISTORY)

    def all_order_updates(self) -> AsyncIterator[OrderUpdateRow]:
        return self._all(_UPDATES)

    def all_statistics(self) -> AsyncIterator[StatisticsRow]:
        return self._all(_STATISTICS)

    async def _select(self, table: _Table[R], where: str, order: str, parameters: tuple[Any, ...]) -> list[R]:
        """parameters: those of `where`, then the limit."""
        query = f"SELECT * FROM {table.name} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        return await self._read(lambda connection: table.select(connection, query, parameters))

    async def _all(self, table: _Table[R]) -> AsyncIterator[R]:
        last: R | None = None
        while rows := await self._read(lambda connection, after=last: table.page(connection, after)):  # type: ignore[misc]
            for row in rows:
                yield row
            last = rows[-1]


def _where(**columns: int | str | None) -> tuple[str, tuple[Any, ...]]:
    """Equality with every column that is not None, and the values."""
    given = {name: value for name, value in columns.items() if value is not None}
    return " AND ".join(["TRUE", *(f"{name} = ?" for name in given)]), tuple(given.values())
