"""An administrator, who declares what there is and then changes his mind."""

from collections.abc import Coroutine
from typing import Any, Final

from services.domain.instruments import SymbolSettings, SymbolStatus
from services.domain.messages import CreateUser, SetAsset, SetPolicy, SetSymbol, SetUserStatus
from services.gateway.dispatcher import Dispatcher
from services.simulation.clients import ASSETS, FIRST_USER, STEPS, Client, Make, executes, made

_DAY_MS: Final = 86_400_000


class Administrator(Client):
    """Declares assets, symbols and users, and then changes its mind at times."""

    haste = 0.2

    async def prepare(self) -> None:
        """Everything that users need."""
        for name, scale in ASSETS.items():
            await self._announce(made(SetAsset, name, scale))
        for symbol in STEPS:
            await self._set_symbol(symbol)
        for user_id in range(FIRST_USER, FIRST_USER + self.world.shape.users):
            await self._tell(user_id, made(CreateUser, user_id))

    async def run(self) -> None:
        while not self.world.closing:
            await self.pause(20, 300)
            await self.dice.choice((self._halt, self._change_fees, self._suspend, self._limit, self._err))()
        for symbol in STEPS:
            await self._set_symbol(symbol)

    async def _announce(self, make: Make) -> None:
        def send(dispatcher: Dispatcher, command: Any, not_after_ms: int) -> Coroutine[Any, Any, Any]:
            return dispatcher.announce(command, not_after_ms)

        await self.insist(make, send, list(range(self.world.shape.account_shards)))

    async def _tell(self, user_id: int, make: Make) -> None:
        await self.insist(make, executes(user_id), [user_id % self.world.shape.account_shards])

    async def _set_symbol(self, name: str, status: SymbolStatus = SymbolStatus.Trading, tick: str = "") -> None:
        base, quote = name.split("_")
        fees = (self.dice.choice((0, 500, 1_000)), self.dice.choice((0, 1_000, 3_000, 100_001 if tick else 3_000)))
        band = self.dice.choice((0, 0, 50_000))
        shard = list(STEPS).index(name) % self.world.shape.matcher_shards
        settings = SymbolSettings(
            name, base, quote, tick or STEPS[name][0], STEPS[name][1], "0.01", *fees, band, shard, status
        )
        await self._announce(made(SetSymbol, settings))

    async def _halt(self) -> None:
        symbol = self.dice.choice(list(STEPS))
        await self._set_symbol(symbol, self.dice.choice((SymbolStatus.Halted, SymbolStatus.CancelOnly)))
        await self.pause(5, 50)
        await self._set_symbol(symbol)

    async def _change_fees(self) -> None:
        await self._set_symbol(self.dice.choice(list(STEPS)))

    async def _suspend(self) -> None:
        user_id = FIRST_USER + self.dice.randrange(self.world.shape.users)
        await self._tell(user_id, made(SetUserStatus, user_id, True))
        await self.pause(5, 50)
        await self._tell(user_id, made(SetUserStatus, user_id, False))

    async def _limit(self) -> None:
        order_window_ms, transfer_window_ms = self.dice.choice(((3_600_000, 30 * _DAY_MS), (1_000, 1_000)))
        most = self.dice.choice((0, 3, 20, 10_000))
        await self._announce(made(SetPolicy, order_window_ms, transfer_window_ms, most))

    async def _err(self) -> None:
        """What an administrator gets wrong."""
        if self.dice.random() < 0.5:
            await self._set_symbol(self.dice.choice(list(STEPS)), tick="1")
        else:
            await self._announce(made(SetAsset, "BTC", 7))
