"""One order, wherever it is: open in ubscore's memory, or closed in the store."""

from typing import Final

from services.domain.rows import OrderRow
from services.gateway.answers import OrderAnswer
from services.gateway.errors import ExecutionUnknown
from services.gateway.gateway import Gateway
from services.gateway.rendering import order_from_row, order_from_view

PATIENCE_MS: Final = 1_000
"""How long the store may be behind what was already answered."""
POLL_MS: Final = 50


class OrderFinder:
    """Finds orders so that whoever was told of one finds it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def find(self, user_id: int, order_id: int, cid: str = "") -> OrderAnswer | None:
        """The newest state of an order of this user, by id, or by client order id when `order_id` is 0.

        None only when ubscore knew every command that was durable at the time of the call. Raises ExecutionUnknown
        when it does not come so far within PATIENCE_MS: the order may be among those that it has yet to see.
        """
        reads = self._gateway.balances_of(user_id)
        end = await self._gateway.commands_end(user_id)
        row: OrderRow | None = None
        knows_all = False
        for _ in range(PATIENCE_MS // POLL_MS):
            knows_all = await reads.next_offset() >= end
            view = await reads.open_order(user_id, order_id, cid)
            if view is not None:
                return order_from_view(view, await self._gateway.catalogue.symbol(view.symbol))
            row = await self._stored(user_id, order_id, cid)
            if row is not None and not row.status.is_open:
                break
            if knows_all and self._gateway.clock.time_ms() - self._gateway.tracker.newest_ms >= PATIENCE_MS:
                break
            # ubscore does not have it (any more, or yet), but the store may be about to say how it ended.
            await self._gateway.clock.sleep(POLL_MS / 1000)
        if row is None and not knows_all:
            raise ExecutionUnknown
        return None if row is None else order_from_row(row, await self._gateway.catalogue.symbol(row.symbol))

    async def _stored(self, user_id: int, order_id: int, cid: str) -> OrderRow | None:
        if order_id:
            return await self._gateway.queries.order(user_id, order_id)
        return await self._gateway.queries.order_by_cid(user_id, cid)
