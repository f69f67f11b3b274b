"""Values as bytes of the CQL protocol, and the statements that write rows: without the driver's detour, for speed."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from services.adapters.cql.tables import COLUMN_TYPES, TABLES

Encode = Callable[[Any], bytes]

_INT: Final = struct.Struct(">i").pack
_BIGINT: Final = struct.Struct(">q").pack
_UNSIGNED: Final = struct.Struct(">I").pack
_EPOCH_DAY: Final = 1 << 31
"""A CQL date counts days from far before 1970, so that it has no sign."""


def _date(day: int) -> bytes:
    return _UNSIGNED(day + _EPOCH_DAY)


def _boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def _sized(parts: Sequence[bytes]) -> bytes:
    return b"".join([_INT(len(part)) + part for part in parts])


def _map(values: Mapping[str, int]) -> bytes:
    return _INT(len(values)) + b"".join(_sized((key.encode(), _BIGINT(value))) for key, value in values.items())


def _list(values: Sequence[str]) -> bytes:
    return _INT(len(values)) + _sized([value.encode() for value in values])


_ENCODERS: Final[dict[str, Encode]] = {
    "text": str.encode,
    "blob": bytes,
    "tinyint": struct.Struct(">b").pack,
    "int": _INT,
    "bigint": _BIGINT,
    "boolean": _boolean,
    "date": _date,
    "frozen<map<text, bigint>>": _map,
    "frozen<list<text>>": _list,
}


def encoders(columns: Sequence[str]) -> tuple[Encode, ...]:
    """What makes bytes of each column's value."""
    return tuple(_ENCODERS[COLUMN_TYPES.get(column, "bigint")] for column in columns)


def partition_key(values: Sequence[bytes]) -> bytes:
    """Encoded values of a partition key as the database hashes them. Tables where they are equal share a mutation."""
    if len(values) == 1:
        return values[0]
    return b"".join([struct.pack(">H", len(value)) + value + b"\0" for value in values])


def insert_text(table: str) -> str:
    """A statement that takes all columns and a timestamp."""
    columns = TABLES[table].columns
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) USING TIMESTAMP ?"  # noqa: S608 - ours


def delete_text(table: str) -> str:
    """A statement that takes a timestamp and the columns of the key."""
    shape = TABLES[table]
    where = " AND ".join(f"{column} = ?" for column in shape.columns[: shape.key])
    return f"DELETE FROM {table} USING TIMESTAMP ? WHERE {where}"  # noqa: S608 - ours
