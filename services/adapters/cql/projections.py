"""What settlement and order_history write to a CQL database, and what they ask before."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from services.adapters.cql.batches import batches
from services.adapters.cql.database import CqlDatabase
from services.adapters.cql.rows import BALANCES, LEDGER, PROGRESS, STATISTICS
from services.adapters.cql.session import CqlSession
from services.adapters.cql.writes import Write, history_phases, settlement_phases
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.adapters.store_calls import timed
from services.domain.rows import BalanceRow, LedgerRow, ProgressRow, StatisticsRow
from services.domain.topics import TopicPartition

BalanceKey = tuple[int, str]

USERS: Final = 32
"""Whose rows one query asks for: the nodes that hold them are asked by the one that gets the query."""
QUERIES: Final = 16
"""Under way at one time, for one call."""

_PROGRESS: Final = f"{PROGRESS.select} WHERE reader = ? AND topic = ? AND partition = ?"
_BALANCES: Final = f"{BALANCES.select} WHERE user_id IN ?"
_STATISTICS: Final = f"{STATISTICS.select} WHERE user_id IN ?"
_BUCKET: Final = "SELECT bucket FROM ledger_buckets WHERE user_id = ? AND asset_id = ? LIMIT 1"
_LATEST: Final = f"{LEDGER.select} WHERE user_id = ? AND asset_id = ? AND bucket = ? ORDER BY seq DESC LIMIT 1"


class CqlProjections(CqlDatabase):
    """`ports.ProjectionStore` on CQL."""

    @timed
    async def progress(self, reader: str, partition: TopicPartition) -> ProgressRow | None:
        rows = await (await self._connected()).query(_PROGRESS, reader, *partition)
        return PROGRESS.make(rows[0]) if rows else None

    @timed
    async def balances(self, keys: Sequence[BalanceKey]) -> dict[BalanceKey, BalanceRow]:
        rows = [BALANCES.make(values) for values in await self._of_users(_BALANCES, [user_id for user_id, _ in keys])]
        found = {(row.user_id, row.asset_id): row for row in rows}
        return {key: found[key] for key in keys if key in found}

    @timed
    async def latest_ledger(self, keys: Sequence[BalanceKey]) -> dict[BalanceKey, LedgerRow]:
        session = await self._connected()
        found = await _together([_latest(session, *key) for key in keys])
        return {key: row for key, row in zip(keys, found, strict=True) if row is not None}

    @timed
    async def statistics(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StatisticsRow]:
        found = await self._of_users(_STATISTICS, [user_id for user_id, _ in keys])
        rows = {(row.user_id, row.shard): row for row in map(STATISTICS.make, found)}
        return {key: rows[key] for key in keys if key in rows}

    @timed
    async def write_settlement(self, batch: SettlementBatch) -> None:
        await self._write(settlement_phases(batch))

    @timed
    async def write_history(self, batch: HistoryBatch) -> None:
        await self._write(history_phases(batch))

    async def _write(self, phases: Sequence[Sequence[Write]]) -> None:
        """Each phase when the one before is durable."""
        session = await self._connected()
        for phase in phases:
            await session.write(batches(phase, session.settings.max_batch_bytes))

    async def _of_users(self, text: str, user_ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """The rows of a query for some users, asked for many users."""
        session = await self._connected()
        users = list(dict.fromkeys(user_ids))
        parts = [users[start : start + USERS] for start in range(0, len(users), USERS)]
        return [row for rows in await _together([session.query(text, part) for part in parts]) for row in rows]


async def _latest(session: CqlSession, user_id: int, asset_id: str) -> LedgerRow | None:
    """The newest entry of a balance, from the ledger itself.

    Not from the view: a node that is killed between a row of the ledger and the view's copy of it leaves the copy
    without values, and writing the row again does not mend it, because to the node nothing has changed.
    """
    for (bucket,) in await session.query(_BUCKET, user_id, asset_id, limit=1):
        for row in await session.query(_LATEST, user_id, asset_id, bucket, limit=1):
            return LEDGER.make(row)
    return None


async def _together(questions: Sequence[Any]) -> list[Any]:
    """The answers in the order of the questions, QUERIES of them asked at one time."""
    slots = asyncio.Semaphore(QUERIES)

    async def ask(question: Any) -> Any:
        async with slots:
            return await question

    return await asyncio.gather(*[ask(question) for question in questions])
