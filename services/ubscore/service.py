"""ubscore's internal read interface: what the gateway may ask, answered from memory.

It sees the state after the newest frame that was journaled and applied, so who got an answer and asks then finds the
answer's effects.
"""

from collections.abc import Callable

from services.adapters.ports import BalanceView, Instruments, OpenOrderView, PolicyView
from services.ubscore.accounts import OpenOrder
from services.ubscore.state import State


class LocalBalanceReads:
    """`ports.BalanceReads` on the core of the same process. state: gives the state as it is at that moment."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    async def next_offset(self) -> int:
        return self._state().next_offset

    async def policy(self) -> PolicyView:
        return PolicyView(*self._state().policy)

    async def instruments(self) -> Instruments:
        state = self._state()
        return Instruments(dict(state.assets), dict(state.symbols))

    async def user_status(self, user_id: int) -> bool | None:
        account = self._state().accounts.get(user_id)
        return account.suspended if account is not None else None

    async def balances(self, user_id: int) -> list[BalanceView]:
        account = self._state().accounts.get(user_id)
        if account is None:
            return []
        return [BalanceView(name, b.available, b.reserved, b.version) for name, b in sorted(account.balances.items())]

    async def open_orders(self, user_id: int, symbol: str | None = None) -> list[OpenOrderView]:
        account = self._state().accounts.get(user_id)
        if account is None:
            return []
        return [_view(order) for order in account.orders.values() if symbol in (None, order.symbol.name)]

    async def open_order(self, user_id: int, order_id: int, cid: str = "") -> OpenOrderView | None:
        order = self._state().find_open(user_id, order_id, cid)
        return _view(order) if order is not None else None


def _view(order: OpenOrder) -> OpenOrderView:
    return OpenOrderView(
        order.order_id,
        order.user_id,
        order.cid,
        order.symbol.name,
        order.side,
        order.order_type,
        order.time_in_force,
        order.price_ticks,
        order.quantity_lots,
        order.quote_amount,
        order.filled_lots,
        order.filled_tick_lots,
        order.created_ms,
    )
