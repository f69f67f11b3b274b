"""Users and administrators: random, forgetful about nothing, and stubborn where an API client would be.

What a client was told it keeps as a Promise for the auditor. After an answer that says "unknown" it sends the same
transfer or order again under the same id, as the API asks, until it knows.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from services.domain.errors import InvariantError
from services.domain.instruments import SymbolSettings, SymbolStatus
from services.domain.messages import (
    CancelAccepted,
    CancelAll,
    CancelOrder,
    CreateUser,
    OrderAccepted,
    PlaceOrder,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    TransferCompleted,
    TransferIn,
    TransferOut,
)
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.gateway.dispatcher import Dispatcher
from services.gateway.errors import ApiError, ExecutionUnknown
from services.simulation.audit.accounts import Contradiction
from services.simulation.audit.auditor import Promise
from services.simulation.faults import MILLISECOND
from services.simulation.programs import GatewayProgram
from services.simulation.world import World

ASSETS: Final = {"BTC": 6, "ETH": 4, "USDT": 4}
_STEPS: Final = {"BTC_USDT": ("0.1", "0.001"), "ETH_USDT": ("0.01", "0.01"), "ETH_BTC": ("0.0001", "0.01")}
"""Tick and lot size: one tick × one lot is one smallest unit of the quote asset."""
FIRST_USER: Final = 1001
_DAY_MS: Final = 86_400_000

Make = Callable[[int, int], Any]
"""A command, given its request id and time."""
Send = Callable[[Dispatcher, Any, int], Coroutine[Any, Any, Any]]


class Unknown(Exception):
    """No answer, or one that says nothing: the command may have been done."""


class NotDone(Exception):
    """Refused at the door, or the gateway was down: certainly nothing was done."""


class Client:
    """Somebody who sends commands through whichever gateway.

    promises: what all clients were told. haste: how often a command may not be written later than a few milliseconds.
    """

    haste = 0.03

    def __init__(self, world: World, promises: list[Promise]) -> None:
        self.world = world
        self.dice = world.faults.dice
        self.promises = promises

    async def ask(self, make: Make, send: Send, shards: list[int]) -> Any:
        """Send a command once; returns what the gateway answered. Raises Unknown or NotDone."""
        node = self.dice.choice(self.world.gateways)
        if node.run is None:
            raise NotDone
        gateway: GatewayProgram = node.run.program
        now_ms = gateway.clock.time_ms()
        command = make(gateway.dispatcher.next_request_id(), now_ms)
        not_after_ms = now_ms + self.dice.randint(0, 4) if self.dice.random() < self.haste else 0
        self.world.faults.counts.commands += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = gateway.call(send(gateway.dispatcher, command, not_after_ms))
        task.add_done_callback(lambda _: _ring(done))
        await done
        return self._answer(task, command, shards)

    def _answer(self, task: "asyncio.Task[Any]", command: Any, shards: list[int]) -> Any:
        counts = self.world.faults.counts
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            counts.acknowledged += 1
            answer = task.result()
            events, results = getattr(answer, "events", {}), getattr(answer, "results", {})
            self.promises.append(Promise(command, shards, True, events, results))
            return answer
        if isinstance(error, ExecutionUnknown | asyncio.CancelledError):
            counts.unknown += 1
            raise Unknown
        if isinstance(error, ApiError):
            counts.refused += 1
            self.promises.append(Promise(command, shards, False, {}, {}))
            raise NotDone
        raise InvariantError(f"a gateway answered {command} with {type(error).__name__}: {error}") from error

    async def insist(self, make: Make, send: Send, shards: list[int]) -> Any:
        """Send a command under the same ids until there is an answer."""
        while True:
            try:
                return await self.ask(make, send, shards)
            except (Unknown, NotDone):
                await self.pause(5, 60)

    async def pause(self, least_ms: float, most_ms: float) -> None:
        await asyncio.sleep(self.dice.uniform(least_ms, most_ms) * MILLISECOND)


class Administrator(Client):
    """Declares assets, symbols and users, and then changes its mind at times."""

    haste = 0.2

    async def prepare(self) -> None:
        """Everything that users need."""
        for name, scale in ASSETS.items():
            await self._announce(_made(SetAsset, name, scale))
        for symbol in _STEPS:
            await self._set_symbol(symbol)
        for user_id in range(FIRST_USER, FIRST_USER + self.world.shape.users):
            await self._tell(user_id, _made(CreateUser, user_id))

    async def run(self) -> None:
        while not self.world.closing:
            await self.pause(20, 300)
            await self.dice.choice((self._halt, self._change_fees, self._suspend, self._limit, self._err))()
        for symbol in _STEPS:
            await self._set_symbol(symbol)

    async def _announce(self, make: Make) -> None:
        def send(dispatcher: Dispatcher, command: Any, not_after_ms: int) -> Coroutine[Any, Any, Any]:
            return dispatcher.announce(command, not_after_ms)

        await self.insist(make, send, list(range(self.world.shape.account_shards)))

    async def _tell(self, user_id: int, make: Make) -> None:
        await self.insist(make, _executes(user_id), [user_id % self.world.shape.account_shards])

    async def _set_symbol(self, name: str, status: SymbolStatus = SymbolStatus.Trading, tick: str = "") -> None:
        base, quote = name.split("_")
        fees = (self.dice.choice((0, 500, 1_000)), self.dice.choice((0, 1_000, 3_000, 100_001 if tick else 3_000)))
        band = self.dice.choice((0, 0, 50_000))
        shard = list(_STEPS).index(name) % self.world.shape.matcher_shards
        settings = SymbolSettings(
            name, base, quote, tick or _STEPS[name][0], _STEPS[name][1], "0.01", *fees, band, shard, status
        )
        await self._announce(_made(SetSymbol, settings))

    async def _halt(self) -> None:
        symbol = self.dice.choice(list(_STEPS))
        await self._set_symbol(symbol, self.dice.choice((SymbolStatus.Halted, SymbolStatus.CancelOnly)))
        await self.pause(5, 50)
        await self._set_symbol(symbol)

    async def _change_fees(self) -> None:
        await self._set_symbol(self.dice.choice(list(_STEPS)))

    async def _suspend(self) -> None:
        user_id = FIRST_USER + self.dice.randrange(self.world.shape.users)
        await self._tell(user_id, _made(SetUserStatus, user_id, True))
        await self.pause(5, 50)
        await self._tell(user_id, _made(SetUserStatus, user_id, False))

    async def _limit(self) -> None:
        order_window_ms, transfer_window_ms = self.dice.choice(((3_600_000, 30 * _DAY_MS), (1_000, 1_000)))
        most = self.dice.choice((0, 3, 20, 10_000))
        await self._announce(_made(SetPolicy, order_window_ms, transfer_window_ms, most))

    async def _err(self) -> None:
        """What an administrator gets wrong."""
        if self.dice.random() < 0.5:
            await self._set_symbol(self.dice.choice(list(_STEPS)), tick="1")
        else:
            await self._announce(_made(SetAsset, "BTC", 7))


class User(Client):
    """Trades on one account. name: tells several clients of one user apart."""

    def __init__(self, world: World, promises: list[Promise], user_id: int, name: str) -> None:
        super().__init__(world, promises)
        self.user_id = user_id
        self._name = name
        self._count = 0
        self._orders: list[int] = []
        self._cids: list[str] = []
        self._transfers: list[str] = []
        self._shards = [user_id % world.shape.account_shards]

    async def run(self) -> None:
        for asset in ASSETS:
            await self._transfer(TransferIn, asset, self.dice.randint(20_000, 200_000))
        while not self.world.closing:
            await self.pause(0, 40)
            acts = (self._place, self._cancel, self._cancel_all, self._move_money, self._repeat_transfer, self._err)
            (act,) = self.dice.choices(acts, (60, 15, 2, 12, 4, 4))
            await act()

    def _next(self, what: str) -> str:
        self._count += 1
        return f"{what}-{self._name}-{self._count}"

    async def _do(self, make: Make, *, stubborn: bool) -> Any:
        """Returns the outcome; None when the client gave up without knowing."""
        if stubborn:
            outcome = await self.insist(make, _executes(self.user_id), self._shards)
        else:
            try:
                outcome = await self.ask(make, _executes(self.user_id), self._shards)
            except (Unknown, NotDone):
                return None
        self._check_reads(outcome)
        return outcome

    async def _transfer(self, kind: type[TransferIn] | type[TransferOut], asset: str, amount: int) -> None:
        transfer_id = self._next("t")
        self._transfers.append(transfer_id)
        await self._do(_made(kind, transfer_id, self.user_id, asset, amount), stubborn=True)

    async def _move_money(self) -> None:
        kind = self.dice.choice((TransferIn, TransferOut))
        await self._transfer(kind, self.dice.choice(list(ASSETS)), self.dice.choice((1, 500, 20_000, 500_000)))

    async def _repeat_transfer(self) -> None:
        """The id of an earlier transfer, of whichever kind and amount: it must never move money again."""
        if self._transfers:
            transfer_id, amount = self.dice.choice(self._transfers), self.dice.choice((500, 20_000))
            kind = self.dice.choice((TransferIn, TransferOut))
            await self._do(_made(kind, transfer_id, self.user_id, "USDT", amount), stubborn=False)

    async def _place(self) -> None:
        order = self._order()
        outcome = await self._do(order, stubborn=self.dice.random() < 0.7)
        if outcome is not None and isinstance(outcome.event, OrderAccepted):
            self._orders.append(outcome.event.order_id)

    def _order(self) -> Make:
        """A random order. Most are sensible and near the middle; prices are ticks, quantities lots."""
        dice = self.dice
        cid = self._next("c") if not self._cids or dice.random() < 0.95 else dice.choice(self._cids)
        self._cids.append(cid)
        symbol, side = dice.choice(list(_STEPS)), dice.choice(list(Side))
        order_type = dice.choices(list(OrderType), (70, 18, 12))[0]
        time_in_force = dice.choices(list(TimeInForce), (70, 15, 15))[0]
        if order_type != OrderType.Limit and dice.random() < 0.9:
            time_in_force = TimeInForce.GTC
        prevention = dice.choice(list(SelfTradePrevention))
        towards = 8 if side == Side.Buy else -8
        price = 100 + dice.randint(-6, 6) + (towards if order_type == OrderType.Market else 0)
        lots, amount = dice.choice((1, 2, 3, 5, 8, 20)), 0
        if order_type == OrderType.Market and dice.random() < 0.5:
            lots, amount = 0, dice.randint(90, 3_000)
        reference = dice.choice((0, 100))

        def make(request_id: int, now_ms: int) -> PlaceOrder:
            return PlaceOrder(
                request_id, now_ms, self.user_id, cid, symbol, side, order_type, time_in_force, prevention, price, lots,
                amount, reference,
            )  # fmt: skip

        return make

    async def _cancel(self) -> None:
        if self._cids and self.dice.random() < 0.3:
            cid = self.dice.choice(self._cids[-10:])
            await self._do(_made(CancelOrder, self.user_id, 0, cid), stubborn=False)
        elif self._orders:
            order_id = self.dice.choice(self._orders[-10:])
            await self._do(_made(CancelOrder, self.user_id, order_id), stubborn=False)

    async def _cancel_all(self) -> None:
        symbol = self.dice.choice(("", *_STEPS))
        await self._do(_made(CancelAll, self.user_id, symbol), stubborn=False)

    async def _err(self) -> None:
        """Commands that a gateway would mostly stop, and a core must survive."""
        dice, user_id = self.dice, self.user_id
        wrong = (
            user_id,
            "bad cid!",
            "NO_SUCH",
            Side.Buy,
            OrderType.Limit,
            TimeInForce.GTC,
            SelfTradePrevention.ExpireTaker,
        )
        large = (user_id, self._next("c"), "BTC_USDT", *wrong[3:])
        mistakes: list[Make] = [
            _made(PlaceOrder, *wrong, 100, 1),
            _made(PlaceOrder, *large, 2**62, 2**62),
            _made(PlaceOrder, *large, -1, 1),
            _made(PlaceOrder, user_id, "bad cid!", "BTC_USDT", *wrong[3:], 100, 1),
            _made(CancelOrder, user_id, 2**60),
            _made(CancelAll, user_id, "NO_SUCH"),
            _made(TransferIn, "t", user_id, "DOGE", 1),
            _made(TransferIn, self._next("t"), user_id, "BTC", 2**63 - 1),
            _made(TransferOut, self._next("t"), user_id, "BTC", 0),
        ]
        await self._do(dice.choice(mistakes), stubborn=False)

    def _check_reads(self, outcome: Any) -> None:
        """Who was answered and reads ubscore then, sees the answer's effects."""
        node = self.world.cores[self._shards[0]]
        if not self.world.shows_answers(node):
            return
        account = self.world.core_of(node).state.accounts.get(self.user_id)
        if isinstance(outcome.event, TransferCompleted | OrderAccepted):
            change = outcome.event.change
            if account is None or account.balances[change.asset].version < change.version:
                raise Contradiction(f"user {self.user_id} does not see the effect of {outcome.event}")
        if isinstance(outcome.event, OrderAccepted | CancelAccepted):
            for body in outcome.results.values():
                for update in body.updates:
                    closed = update.status not in (OrderStatus.New, OrderStatus.PartiallyFilled)
                    if closed and update.user_id == self.user_id and update.order_id in account.orders:
                        raise Contradiction(f"user {self.user_id} still sees order {update.order_id} after {update}")


def _executes(user_id: int) -> Send:
    def send(dispatcher: Dispatcher, command: Any, not_after_ms: int) -> Coroutine[Any, Any, Any]:
        return dispatcher.execute(command, user_id, not_after_ms)

    return send


def _made(kind: Callable[..., Any], *fields: Any) -> Make:
    """A command of this kind, but for its request id and time."""
    return lambda request_id, time_ms: kind(request_id, time_ms, *fields)


def _ring(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
