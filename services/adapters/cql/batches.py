"""Writes of one phase as batches that a server takes: writes to one partition together, and no batch too large."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from services.adapters.cql.encoding import Encode, encoders, partition_key
from services.adapters.cql.tables import TABLES
from services.adapters.cql.writes import Write

MAX_STATEMENTS: Final = 1_000
"""Of one batch: the protocol takes 65,535, but who reads at that time shall not wait for so many."""
MAX_PARTITION_BYTES: Final = 256 * 1024
"""Of a batch to one table's one partition, which is one mutation: servers take 16 MiB of it."""
_ROW_BYTES: Final = 40
_CELL_BYTES: Final = 20
"""What Cassandra counts for a row and a value beside their bytes: timestamps and expiry. ScyllaDB counts less."""


class Statement(NamedTuple):
    """A prepared statement that is to be executed: which of its table's, and the encoded values."""

    table: str
    deletes: bool
    values: list[bytes]


class Batch(NamedTuple):
    """Statements for one request. atomic: over more than one mutation, which takes a logged batch to apply whole."""

    statements: list[Statement]
    atomic: bool
    routing_key: bytes
    """The partition key of the first."""


class _Group(NamedTuple):
    """Writes with equal partition keys."""

    statements: list[Statement]
    sizes: list[int]


class _Codec:
    """How a table's writes become statements."""

    def __init__(self, table: str) -> None:
        shape = TABLES[table]
        self.partition = shape.partition
        self._key: tuple[Encode, ...] = encoders(shape.columns[: shape.key])
        self._values: tuple[Encode, ...] = encoders(shape.columns[shape.key :])
        (self._timestamp,) = encoders(("timestamp",))
        self._overhead = _ROW_BYTES + _CELL_BYTES * len(self._values)

    def encode(self, write: Write) -> tuple[Statement, int]:
        """The statement, and its size as servers count it."""
        values = [encode(value) for encode, value in zip(self._key, write.key, strict=True)]
        timestamp = self._timestamp(write.timestamp)
        if write.values is None:
            return Statement(write.table, True, [timestamp, *values]), _ROW_BYTES + sum(map(len, values))
        values += [encode(value) for encode, value in zip(self._values, write.values, strict=True)]
        size = self._overhead + sum(map(len, values))
        values.append(timestamp)
        return Statement(write.table, False, values), size


_CODECS: Final = {table: _Codec(table) for table in TABLES}


def batches(writes: Iterable[Write], max_bytes: int) -> Iterator[Batch]:
    """All writes, in as few mutations as possible. max_bytes: of a batch with more than one mutation."""
    statements: list[Statement] = []
    first, size, mutations = b"", 0, 0
    for key, group in _by_partition(writes).items():
        if _is_large(group, max_bytes):
            yield from _split(key, group, max_bytes)
            continue
        total = sum(group.sizes)
        if statements and (size + total > max_bytes or len(statements) + len(group.statements) > MAX_STATEMENTS):
            yield Batch(statements, mutations > 1, first)
            statements, size, mutations = [], 0, 0
        if not statements:
            first = key
        statements += group.statements
        size += total
        mutations += len({statement.table for statement in group.statements})
    if statements:
        yield Batch(statements, mutations > 1, first)


def _by_partition(writes: Iterable[Write]) -> dict[bytes, _Group]:
    groups: dict[bytes, _Group] = {}
    for write in writes:
        codec = _CODECS[write.table]
        statement, size = codec.encode(write)
        start = 1 if statement.deletes else 0
        key = partition_key(statement.values[start : start + codec.partition])
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group([], [])
        group.statements.append(statement)
        group.sizes.append(size)
    return groups


def _is_large(group: _Group, max_bytes: int) -> bool:
    """Whether it deserves batches of its own."""
    return len(group.statements) > MAX_STATEMENTS // 2 or sum(group.sizes) > max_bytes // 2


def _split(key: bytes, group: _Group, max_bytes: int) -> Iterator[Batch]:
    """Batches of one table's one partition each: one mutation to any server, for which no limit of a batch holds."""
    tables: dict[str, _Group] = {}
    for statement, size in zip(group.statements, group.sizes, strict=True):
        table = tables.setdefault(statement.table, _Group([], []))
        table.statements.append(statement)
        table.sizes.append(size)
    for table in tables.values():
        for statements in _runs(table, MAX_PARTITION_BYTES):
            yield Batch(statements, False, key)


def _runs(group: _Group, max_bytes: int) -> Iterator[list[Statement]]:
    run: list[Statement] = []
    bytes_ = 0
    for statement, size in zip(group.statements, group.sizes, strict=True):
        if run and (bytes_ + size > max_bytes or len(run) == MAX_STATEMENTS):
            yield run
            run, bytes_ = [], 0
        run.append(statement)
        bytes_ += size
    if run:
        yield run
