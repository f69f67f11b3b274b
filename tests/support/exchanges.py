"""A real local exchange in this process, for tests that speak to it below HTTP."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.adapters.logs.logs import Logs
from services.config import Settings
from services.domain.messages import CancelOrder, PlaceOrder, TransferIn
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.gateway.outcomes import Outcome
from services.runtime.local import LocalExchange

_CIDS = itertools.count(1)


@asynccontextmanager
async def running(data_dir: Path, settings: Settings | None = None, logs: Logs | None = None) -> AsyncIterator["Venue"]:
    """A started demo exchange; stopped in order at the end."""
    exchange = LocalExchange(settings or Settings(), data_dir, demo=True, logs=logs)
    try:
        await exchange.start()
        yield Venue(exchange)
    finally:
        await exchange.stop()


class Venue:
    """Commands to an exchange, as one line each."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.exchange = exchange
        self._dispatcher = exchange.gateway.dispatcher

    async def send(self, make: Any, user_id: int, *fields: Any) -> Outcome:
        """`make(request_id, time_ms, *fields)`, answered."""
        command = make(self._dispatcher.next_request_id(), self.exchange.clock.time_ms(), *fields)
        return await self._dispatcher.execute(command, user_id)

    async def place(self, user_id: int, side: Side, price_ticks: int, quantity_lots: int, cid: str = "") -> Outcome:
        """A GTC limit order on BTC_USDT."""
        return await self.send(
            PlaceOrder,
            user_id,
            user_id,
            cid or f"test-order-{next(_CIDS)}-{self.exchange.gateway.dispatcher.next_request_id()}",
            "BTC_USDT",
            side,
            OrderType.Limit,
            TimeInForce.GTC,
            SelfTradePrevention.ExpireTaker,
            price_ticks,
            quantity_lots,
        )

    async def cancel(self, user_id: int, order_id: int) -> Outcome:
        return await self.send(CancelOrder, user_id, user_id, order_id)

    async def deposit(self, user_id: int, transfer_id: str, asset: str, amount: int) -> Outcome:
        return await self.send(TransferIn, user_id, transfer_id, user_id, asset, amount)

    async def trade_a_little(self) -> None:
        """Thirty orders of two users: some rest, some trade, one is cancelled."""
        for n in range(10):
            await self.place(1001, Side.Buy, 5_000_000 - n, 1_000)
            await self.place(1002, Side.Sell, 5_000_000 - n % 3, 700)
            await self.place(1002, Side.Sell, 5_100_000 + n, 500)
        resting = await self.exchange.balance_reads.open_orders(1001)
        await self.cancel(1001, resting[0].order_id)
