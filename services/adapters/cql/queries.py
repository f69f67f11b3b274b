"""What the gateway asks of a CQL database: pages that begin in one partition, and go on in the next one there is.

Which partitions there are (months, days, buckets) is said by small tables: a query never walks through empty ones.
"""

from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

from services.adapters.cql.database import CqlDatabase
from services.adapters.cql.rows import ACTIVE, LEDGER, ORDERS, STATISTICS, TRADES, TRADES_BY_USER, RowType
from services.adapters.cql.session import PAGE, CqlSession, Rows
from services.adapters.cql.tables import LEDGER_BUCKET_SHIFT, ORDER_BUCKET_SHIFT, TRADE_BUCKET_SHIFT, month_of
from services.adapters.store_calls import timed
from services.domain.rows import LedgerRow, OrderRow, SettledTradeRow, StatisticsRow, total_statistics

R = TypeVar("R")
Values = tuple[Any, ...]
Query = tuple[str, Values]

_LOWEST: Final = -(1 << 63)
_HIGHEST: Final = (1 << 63) - 1
_LAST_MONTH: Final = 1 << 30
_NEWEST_DAYS: Final = 2
"""Clocks of gateways differ a little, so at midnight a trade of yesterday may be newer than one of today. After a clock
that was days ahead, the newest ones are looked for behind what they say."""

_ASSETS: Final = "SELECT asset_id, bucket FROM ledger_buckets WHERE user_id = ?"
_LEDGER: Final = (
    f"{LEDGER.select} WHERE user_id = ? AND asset_id = ? AND bucket = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)
_PLACE: Final = "SELECT user_id, created_ms FROM orders_by_id WHERE bucket = ? AND order_id = ?"
_ORDER: Final = f"{ORDERS.select} WHERE user_id = ? AND month = ? AND created_ms = ? AND order_id = ?"
_ORDER_MONTHS: Final = "SELECT month FROM order_months WHERE user_id = ? AND month >= ? AND month <= ?"
_ORDERS: Final = (
    f"{ORDERS.select} WHERE user_id = ? AND month = ? AND (created_ms, order_id) >= (?, ?) "
    "AND (created_ms, order_id) < (?, ?)"
)
_CID: Final = "SELECT created_ms, order_id FROM orders_by_cid WHERE user_id = ? AND month = ? AND cid = ? LIMIT 1"
_ACTIVE: Final = f"{ACTIVE.select} WHERE user_id = ?"
_STATISTICS: Final = f"{STATISTICS.select} WHERE user_id = ?"
_TRADE_MONTHS: Final = "SELECT month FROM trade_months WHERE user_id = ? AND month <= ?"
_TRADES: Final = f"{TRADES_BY_USER.select} WHERE user_id = ? AND month = ?"
_TRADES_AT: Final = f"{_TRADES} AND time_ms = ? AND symbol = ? AND trade_id < ? LIMIT ?"
_DAYS: Final = "SELECT day FROM trade_days WHERE symbol = ? LIMIT ?"
_NEWEST_BUCKET: Final = "SELECT bucket FROM settled_trades_by_day WHERE symbol = ? AND day = ? LIMIT 1"
_ANY_TRADE: Final = "SELECT trade_id FROM settled_trades WHERE symbol = ? AND bucket = ? LIMIT 1"
_SYMBOL_TRADES: Final = f"{TRADES.select} WHERE symbol = ? AND bucket = ? AND trade_id < ? LIMIT ?"
_OF_SYMBOL: Final = " AND symbol = ? LIMIT ? ALLOW FILTERING"
"""Within one partition: the database steps over the rows of other symbols."""


class CqlQueries(CqlDatabase):
    """`ports.QueryStore` on CQL."""

    @timed
    async def ledger(
        self, user_id: int, asset: str | None, limit: int, before: tuple[str, int] | None
    ) -> list[LedgerRow]:
        async with self._querying() as session:
            partitions = _ledger_partitions(session, user_id, asset, limit, before)
            return await _walk(session, LEDGER, partitions, limit)

    @timed
    async def order(self, user_id: int, order_id: int) -> OrderRow | None:
        async with self._querying() as session:
            places = await session.query(_PLACE, order_id >> ORDER_BUCKET_SHIFT, order_id)
            if not places or places[0][0] != user_id:
                return None
            return await _order_at(session, user_id, places[0][1], order_id)

    @timed
    async def active_orders(self, user_id: int, symbol: str | None) -> list[OrderRow]:
        async with self._querying() as session:
            rows = [ACTIVE.make(values) for values in await session.query(_ACTIVE, user_id)]
        return [row for row in rows if symbol is None or row.symbol == symbol]

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
        end = (min(to_ms, _HIGHEST - 1) + 1, _LOWEST)
        span = ((from_ms, _LOWEST), end if before is None else min(end, before))
        async with self._querying() as session:
            partitions = _order_partitions(session, user_id, symbol, span, limit)
            return await _walk(session, ORDERS, partitions, limit)

    @timed
    async def order_by_cid(self, user_id: int, cid: str) -> OrderRow | None:
        async with self._querying() as session:
            for (month,) in await session.query(_ORDER_MONTHS, user_id, -_LAST_MONTH, _LAST_MONTH):
                for created_ms, order_id in await session.query(_CID, user_id, month, cid):
                    return await _order_at(session, user_id, created_ms, order_id)
        return None

    @timed
    async def order_statistics(self, user_id: int) -> StatisticsRow:
        async with self._querying() as session:
            rows = [STATISTICS.make(values) for values in await session.query(_STATISTICS, user_id)]
        return total_statistics(user_id, rows)

    @timed
    async def trades_by_user(
        self, user_id: int, symbol: str | None, limit: int, before: tuple[int, str, int] | None
    ) -> list[SettledTradeRow]:
        async with self._querying() as session:
            partitions = _trade_partitions(session, user_id, symbol, limit, before)
            return await _walk(session, TRADES_BY_USER, partitions, limit)

    @timed
    async def trades_by_symbol(self, symbol: str, limit: int, before: int | None) -> list[SettledTradeRow]:
        async with self._querying() as session:
            partitions = _symbol_partitions(session, symbol, limit, before)
            return await _walk(session, TRADES, partitions, limit)


async def _walk(session: CqlSession, row_type: RowType[R], queries: AsyncIterator[Query], limit: int) -> list[R]:
    """Rows of one partition after the other, until there are `limit`."""
    found: Rows = []
    async for text, values in queries:
        found += await session.query(text, *values, limit=min(limit, PAGE))
        if len(found) >= limit:
            break
    return [row_type.make(values) for values in found[:limit]]


async def _ledger_partitions(
    session: CqlSession, user_id: int, asset: str | None, limit: int, before: tuple[str, int] | None
) -> AsyncIterator[Query]:
    pages = (
        session.pages(_ASSETS, user_id)
        if asset is None
        else session.pages(f"{_ASSETS} AND asset_id = ?", user_id, asset)
    )
    async for page in pages:
        for asset_id, bucket in page:
            end = _HIGHEST
            if before is not None:
                if (asset_id, bucket) > (before[0], before[1] >> LEDGER_BUCKET_SHIFT):
                    continue
                end = before[1] if asset_id == before[0] else _HIGHEST
            yield _LEDGER, (user_id, asset_id, bucket, end, limit)


async def _order_partitions(
    session: CqlSession,
    user_id: int,
    symbol: str | None,
    span: tuple[tuple[int, int], tuple[int, int]],
    limit: int,
) -> AsyncIterator[Query]:
    """span: the lowest (created_ms, order_id), and the one behind the highest."""
    first, end = span
    if first >= end:
        return
    months = await session.query(_ORDER_MONTHS, user_id, _month(first[0]), _month(end[0]))
    for (month,) in months:
        text, more = _filtered(_ORDERS, symbol, limit)
        yield text, (user_id, month, *first, *end, *more)


async def _trade_partitions(
    session: CqlSession, user_id: int, symbol: str | None, limit: int, before: tuple[int, str, int] | None
) -> AsyncIterator[Query]:
    last_month = _LAST_MONTH if before is None else _month(before[0])
    where, cursor = _TRADES, tuple[Any, ...]()
    if before is not None and symbol is None:
        where, cursor = f"{_TRADES} AND (time_ms, symbol, trade_id) < (?, ?, ?)", before
    elif before is not None and symbol is not None:
        # The database takes no symbol beside a cursor that holds one: those of the cursor's own time come first.
        where, cursor = f"{_TRADES} AND time_ms < ?", before[:1]
        if symbol <= before[1]:
            end = before[2] if symbol == before[1] else _HIGHEST
            yield _TRADES_AT, (user_id, last_month, before[0], symbol, end, limit)
    for (month,) in await session.query(_TRADE_MONTHS, user_id, last_month):
        text, more = _filtered(where, symbol, limit)
        yield text, (user_id, month, *cursor, *more)


async def _symbol_partitions(session: CqlSession, symbol: str, limit: int, before: int | None) -> AsyncIterator[Query]:
    """Trade ids of a symbol have no holes, so from its newest bucket on all the lower ones are there."""
    newest = await _newest_bucket(session, symbol)
    end = _HIGHEST if before is None else before
    for bucket in range(min(newest, (end - 1) >> TRADE_BUCKET_SHIFT), -1, -1):
        yield _SYMBOL_TRADES, (symbol, bucket, end, limit)


async def _newest_bucket(session: CqlSession, symbol: str) -> int:
    """-1 when the symbol has no trades."""
    days = await session.query(_DAYS, symbol, _NEWEST_DAYS)
    buckets = [await session.query(_NEWEST_BUCKET, symbol, day) for (day,) in days]
    said = max((bucket for rows in buckets for (bucket,) in rows), default=-1)
    return said if said < 0 else await _last_bucket(session, symbol, said)


async def _last_bucket(session: CqlSession, symbol: str, bucket: int) -> int:
    """The last one that has trades, `bucket` or one behind it: in growing steps, then in shrinking ones."""
    step = 1
    while await session.query(_ANY_TRADE, symbol, bucket + step, limit=1):
        bucket += step
        step *= 2
    while step > 1:
        step //= 2
        if await session.query(_ANY_TRADE, symbol, bucket + step, limit=1):
            bucket += step
    return bucket


def _month(time_ms: int) -> int:
    """Of any time that fits the port; there is no column for months of the far future."""
    return max(-_LAST_MONTH, min(month_of(time_ms), _LAST_MONTH))


def _filtered(text: str, symbol: str | None, limit: int) -> tuple[str, Values]:
    return (f"{text} LIMIT ?", (limit,)) if symbol is None else (f"{text}{_OF_SYMBOL}", (symbol, limit))


async def _order_at(session: CqlSession, user_id: int, created_ms: int, order_id: int) -> OrderRow | None:
    rows = await session.query(_ORDER, user_id, month_of(created_ms), created_ms, order_id)
    return ORDERS.make(rows[0]) if rows else None
