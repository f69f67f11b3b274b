"""What ubscore knows of a user: balances, and open orders with what they reserve.

Every function that moves money returns the BalanceChange that tells of it; none leaves a balance negative.
"""

from typing import Final

import msgspec

from services.domain.errors import InvariantError
from services.domain.instruments import Symbol
from services.domain.messages import BalanceChange, ChangeKind
from services.domain.orders import OrderType, Side, TimeInForce

_SELL: Final = Side.Sell


class Balance(msgspec.Struct, gc=False):
    """One user's balance of one asset, in its smallest units. version: +1 at every change."""

    available: int = 0
    reserved: int = 0
    version: int = 0


class OpenOrder(msgspec.Struct, gc=False):
    """An accepted order that is not closed. There may be millions: a struct that the garbage collector need not visit.

    reserved: what is still set aside for it, in smallest units: of quote for a Buy, of base for a Sell.
    filled_tick_lots: Σ price × quantity of its settled trades.
    """

    order_id: int
    user_id: int
    cid: str
    symbol: Symbol
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    created_ms: int
    reserved: int
    filled_lots: int = 0
    filled_tick_lots: int = 0

    @property
    def reserved_asset(self) -> str:
        """The asset that it reserves."""
        return self.symbol.base.name if self.side is _SELL else self.symbol.quote.name

    def reserved_for(self, remaining_lots: int) -> int:
        """What `remaining_lots` of this order must still reserve; of an order by quote amount, whatever is left."""
        if self.side is _SELL:
            return remaining_lots * self.symbol.base_units_per_lot
        if self.quote_amount:
            return self.reserved
        return self.symbol.notional_units(self.price_ticks, remaining_lots)

    def take(self, amount: int, trade_lots: int, trade_price_ticks: int) -> None:
        """Count one trade that used `amount` of what is reserved."""
        self.reserved -= amount
        self.filled_lots += trade_lots
        self.filled_tick_lots += trade_lots * trade_price_ticks
        if self.reserved < 0:
            raise InvariantError(f"order {self.order_id}: traded for {-self.reserved} units more than it reserved")


class Account:
    """A user. balances by asset name; orders by order id, oldest first."""

    __slots__ = ("balances", "orders", "suspended", "user_id")

    def __init__(self, user_id: int, suspended: bool = False) -> None:
        self.user_id = user_id
        self.suspended = suspended
        self.balances: dict[str, Balance] = {}
        self.orders: dict[int, OpenOrder] = {}

    def available(self, asset: str) -> int:
        """Smallest units of `asset` that are free to use."""
        balance = self.balances.get(asset)
        return balance.available if balance is not None else 0

    def change(self, asset: str, kind: ChangeKind, available_delta: int, reserved_delta: int) -> BalanceChange:
        """Move a balance by the two deltas (smallest units, of either sign).

        Raises InvariantError when either part would become negative: callers have checked.
        """
        balance = self.balances.get(asset)
        if balance is None:
            balance = self.balances[asset] = Balance()
        available = balance.available + available_delta
        reserved = balance.reserved + reserved_delta
        if available < 0 or reserved < 0:
            raise InvariantError(
                f"user {self.user_id}: {kind.name} would leave {available} available and {reserved} reserved {asset}"
            )
        balance.available = available
        balance.reserved = reserved
        balance.version += 1
        return BalanceChange(
            self.user_id, asset, kind, available_delta, reserved_delta, available, reserved, balance.version
        )
