"""What settlement and order_history ask SQLite before they go on."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from services.adapters.sqlite.database import SqliteDatabase
from services.adapters.store_calls import timed
from services.domain.rows import BalanceRow, LedgerRow, ProgressRow, StatisticsRow
from services.domain.topics import TopicPartition

K = TypeVar("K", bound=tuple[Any, ...])
R = TypeVar("R", bound=msgspec.Struct)


class _LookUp(Generic[K, R]):
    """The rows of many keys, in one call: the keys travel as one JSON text, and the rows come as one."""

    def __init__(self, table: str, row_type: type[R], key: tuple[str, str], condition: str = "TRUE") -> None:
        """condition: what else is asked of a row."""
        self._row_type = row_type
        self._key = key
        columns = ", ".join(row_type.__struct_fields__)
        self._text = f"""SELECT json_group_array(json_array({columns})) FROM json_each(?) CROSS JOIN {table}
            ON {key[0]} = json_extract(value, '$[0]') AND {key[1]} = json_extract(value, '$[1]')
            AND {condition}"""  # noqa: S608 - names are ours

    def run(self, connection: sqlite3.Connection, keys: Sequence[K]) -> dict[K, R]:
        (found,) = connection.execute(self._text, (msgspec.json.encode(keys).decode(),)).fetchone()
        rows = [self._row_type(*values) for values in msgspec.json.decode(found, type=list[list[Any]])]
        first, second = self._key
        return {(getattr(row, first), getattr(row, second)): row for row in rows}  # type: ignore[misc]


_BALANCES: Final = _LookUp[tuple[int, str], BalanceRow]("user_balances", BalanceRow, ("user_id", "asset_id"))
_LATEST_LEDGER: Final = _LookUp[tuple[int, str], LedgerRow](
    "balance_ledger",
    LedgerRow,
    ("user_id", "asset_id"),
    """seq = (SELECT max(seq) FROM balance_ledger AS entry
        WHERE entry.user_id = json_extract(value, '$[0]') AND entry.asset_id = json_extract(value, '$[1]'))""",
)
_STATISTICS: Final = _LookUp[tuple[int, int], StatisticsRow]("order_statistics", StatisticsRow, ("user_id", "shard"))


class SqliteLookUps(SqliteDatabase):
    """The reading half of `ports.ProjectionStore` on SQLite."""

    @timed
    async def progress(self, reader: str, partition: TopicPartition) -> ProgressRow | None:
        return await self._look_up(lambda connection: read_progress(connection, reader, partition))

    @timed
    async def balances(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], BalanceRow]:
        return await self._look_up(lambda connection: _BALANCES.run(connection, keys))

    @timed
    async def latest_ledger(self, keys: Sequence[tuple[int, str]]) -> dict[tuple[int, str], LedgerRow]:
        return await self._look_up(lambda connection: _LATEST_LEDGER.run(connection, keys))

    @timed
    async def statistics(self, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], StatisticsRow]:
        return await self._look_up(lambda connection: _STATISTICS.run(connection, keys))


def read_progress(connection: sqlite3.Connection, reader: str, partition: TopicPartition) -> ProgressRow | None:
    """The row of this reader and partition; None when it never wrote."""
    found = connection.execute(
        "SELECT next_offset, sequences FROM settlement_progress WHERE reader = ? AND topic = ? AND partition = ?",
        (reader, *partition),
    ).fetchone()
    if found is None:
        return None
    next_offset, sequences = found
    return ProgressRow(reader, *partition, next_offset, msgspec.json.decode(sequences, type=dict[str, int]))
