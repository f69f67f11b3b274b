"""Tables of a database without transactions: single rows, each of which keeps the newest write to it.

They take the writes of `adapters.cql.writes`, in any order and any number of times, as a CQL database does.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from services.adapters.cql.tables import TABLES
from services.adapters.cql.writes import Write


class RowTable(NamedTuple):
    """A table whose rows are wanted as row objects, by their key."""

    rows: dict[Any, Any]
    row_type: type[msgspec.Struct]
    key: tuple[str, ...]


class Cells:
    """The newest write to every row. `tables` follows it, by name; the other tables are kept as they are.

    tie: two writes that say different things of one row and are of one age, which a database would decide by chance.
    """

    def __init__(self, tables: Mapping[str, RowTable]) -> None:
        self._tables: Final = tables
        self.tie: tuple[Write, Write] | None = None
        self._newest: dict[tuple[str, tuple[Any, ...]], Write] = {}

    @property
    def is_empty(self) -> bool:
        return not self._newest

    def land(self, write: Write) -> None:
        """Take one write: of two to one row the higher timestamp wins, of equal ones the deletion."""
        place = (write.table, write.key)
        held = self._newest.get(place)
        if held is not None and not self._is_newer(write, held):
            return
        self._newest[place] = write
        if write.table in self._tables:
            self._show(self._tables[write.table], write)

    def _is_newer(self, write: Write, held: Write) -> bool:
        if write.timestamp != held.timestamp:
            return write.timestamp > held.timestamp
        if write.values is None or held.values is None:
            return write.values is None
        if write.values != held.values:
            self.tie = (write, held)
        return False

    def _show(self, table: RowTable, write: Write) -> None:
        columns = dict(zip(TABLES[write.table].columns, (*write.key, *(write.values or ())), strict=False))
        key = tuple(columns[name] for name in table.key)
        if write.values is None:
            table.rows.pop(key, None)
        else:
            table.rows[key] = table.row_type(**{name: columns[name] for name in table.row_type.__struct_fields__})

    def contents(self) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
        """Every table by name: key -> other columns."""
        found: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {}
        for (table, key), write in self._newest.items():
            if write.values is not None:
                found.setdefault(table, {})[key] = write.values
        return found
