"""What ubscore knows of a user: balances, and open orders with what they reserve.

Every function that moves money returns the BalanceChange that tells of it; none leaves a balance negative.
"""

from services.domain.errors import InvariantError
from services.domain.instruments import Symbol
from services.domain.messages import BalanceChange, ChangeKind, PlaceOrder
from services.domain.orders import OrderType, Side, TimeInForce


class Balance:
    """One user's balance of one asset, in its smallest units. version: +1 at every change."""

    __slots__ = ("available", "reserved", "version")

    def __init__(self, available: int = 0, reserved: int = 0, version: int = 0) -> None:
        self.available = available
        self.reserved = reserved
        self.version = version


class OpenOrder:
    """An accepted order that is not closed.

    reserved: what is still set aside for it, in smallest units: of quote for a Buy, of base for a Sell.
    filled_tick_lots: Σ price × quantity of its settled trades.
    """

    __slots__ = (
        "cid",
        "created_ms",
        "filled_lots",
        "filled_tick_lots",
        "order_id",
        "order_type",
        "price_ticks",
        "quantity_lots",
        "quote_amount",
        "reserved",
        "side",
        "symbol",
        "time_in_force",
        "user_id",
    )

    def __init__(self, order_id: int, op: PlaceOrder, symbol: Symbol, quantity_lots: int, reserved: int) -> None:
        self.order_id: int = order_id
        self.user_id: int = op.user_id
        self.cid: str = op.cid
        self.symbol: Symbol = symbol
        self.side: Side = op.side
        self.order_type: OrderType = op.order_type
        self.time_in_force: TimeInForce = op.time_in_force
        self.price_ticks: int = op.price_ticks
        self.quantity_lots: int = quantity_lots
        self.quote_amount: int = op.quote_amount
        self.reserved: int = reserved
        self.filled_lots = 0
        self.filled_tick_lots = 0
        self.created_ms: int = op.time_ms

    def reserved_for(self, remaining_lots: int) -> int:
        """What `remaining_lots` of this order must still reserve; of an order by quote amount, whatever is left."""
        if self.side == Side.Sell:
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
