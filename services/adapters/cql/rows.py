"""Rows of the CQL store, as they come from the driver, back into rows of the exchange."""

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from services.adapters.cql.tables import TABLES
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.rows import (
    ApiKeyRow,
    BalanceRow,
    LedgerRow,
    OrderRow,
    OrderUpdateRow,
    ProgressRow,
    SettledTradeRow,
    StatisticsRow,
)

R = TypeVar("R")

_KINDS: Final[dict[str, Callable[[Any], Any]]] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "status": OrderStatus,
    "code": Reject,
    "sequences": dict,
    "scopes": lambda scopes: list(scopes or ()),
}
"""What a column's value is made into; the others stay as they are."""


class RowType(Generic[R]):
    """How rows of one type are selected from a table, and made."""

    def __init__(self, table: str, row_type: Callable[..., R], columns: tuple[str, ...]) -> None:
        """columns: the fields of `row_type`, in its order."""
        missing = set(columns) - set(TABLES[table].columns)
        assert not missing, f"{table} has no {missing}"
        self.table = table
        self.select = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - names are ours
        self._row_type = row_type
        self._kinds = [(place, _KINDS[column]) for place, column in enumerate(columns) if column in _KINDS]

    def make(self, values: tuple[Any, ...]) -> R:
        """A row of the driver's values."""
        if not self._kinds:
            return self._row_type(*values)
        changed = list(values)
        for place, kind in self._kinds:
            changed[place] = kind(changed[place])
        return self._row_type(*changed)


TRADES: Final = RowType("settled_trades", SettledTradeRow, SettledTradeRow.__struct_fields__)
TRADES_BY_USER: Final = RowType("settled_trades_by_user", SettledTradeRow, SettledTradeRow.__struct_fields__)
BALANCES: Final = RowType("user_balances", BalanceRow, BalanceRow.__struct_fields__)
LEDGER: Final = RowType("balance_ledger", LedgerRow, LedgerRow.__struct_fields__)
ACTIVE: Final = RowType("active_orders", OrderRow, OrderRow.__struct_fields__)
ORDERS: Final = RowType("order_history", OrderRow, OrderRow.__struct_fields__)
UPDATES: Final = RowType("order_updates_stream", OrderUpdateRow, OrderUpdateRow.__struct_fields__)
STATISTICS: Final = RowType("order_statistics", StatisticsRow, StatisticsRow.__struct_fields__)
PROGRESS: Final = RowType("settlement_progress", ProgressRow, ProgressRow.__struct_fields__)
KEYS: Final = RowType("api_keys", ApiKeyRow, ApiKeyRow.__struct_fields__)
