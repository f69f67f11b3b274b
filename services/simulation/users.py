"""Users, who trade, move money, repeat themselves and make mistakes."""

from typing import Any

from services.domain.messages import (
    CancelAccepted,
    CancelAll,
    CancelOrder,
    OrderAccepted,
    PlaceOrder,
    TransferCompleted,
    TransferIn,
    TransferOut,
)
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.simulation.audit.accounts import Contradiction
from services.simulation.audit.auditor import Promise
from services.simulation.clients import ASSETS, STEPS, Client, Make, NotDone, Unknown, executes, made
from services.simulation.world import World


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
            outcome = await self.insist(make, executes(self.user_id), self._shards)
        else:
            try:
                outcome = await self.ask(make, executes(self.user_id), self._shards)
            except (Unknown, NotDone):
                return None
        await self._check_reads(outcome)
        return outcome

    async def _transfer(self, kind: type[TransferIn] | type[TransferOut], asset: str, amount: int) -> None:
        transfer_id = self._next("t")
        self._transfers.append(transfer_id)
        await self._do(made(kind, transfer_id, self.user_id, asset, amount), stubborn=True)

    async def _move_money(self) -> None:
        kind = self.dice.choice((TransferIn, TransferOut))
        await self._transfer(kind, self.dice.choice(list(ASSETS)), self.dice.choice((1, 500, 20_000, 500_000)))

    async def _repeat_transfer(self) -> None:
        """The id of an earlier transfer, of whichever kind and amount: it must never move money again."""
        if self._transfers:
            transfer_id, amount = self.dice.choice(self._transfers), self.dice.choice((500, 20_000))
            kind = self.dice.choice((TransferIn, TransferOut))
            await self._do(made(kind, transfer_id, self.user_id, "USDT", amount), stubborn=False)

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
        symbol, side = dice.choice(list(STEPS)), dice.choice(list(Side))
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
            await self._do(made(CancelOrder, self.user_id, 0, cid), stubborn=False)
        elif self._orders:
            order_id = self.dice.choice(self._orders[-10:])
            await self._do(made(CancelOrder, self.user_id, order_id), stubborn=False)

    async def _cancel_all(self) -> None:
        symbol = self.dice.choice(("", *STEPS))
        await self._do(made(CancelAll, self.user_id, symbol), stubborn=False)

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
            made(PlaceOrder, *wrong, 100, 1),
            made(PlaceOrder, *large, 2**62, 2**62),
            made(PlaceOrder, *large, -1, 1),
            made(PlaceOrder, user_id, "bad cid!", "BTC_USDT", *wrong[3:], 100, 1),
            made(CancelOrder, user_id, 2**60),
            made(CancelAll, user_id, "NO_SUCH"),
            made(TransferIn, "t", user_id, "DOGE", 1),
            made(TransferIn, self._next("t"), user_id, "BTC", 2**63 - 1),
            made(TransferOut, self._next("t"), user_id, "BTC", 0),
        ]
        await self._do(dice.choice(mistakes), stubborn=False)

    async def _check_reads(self, outcome: Any) -> None:
        """Who was answered and reads any instance of ubscore then, sees the answer's effects."""
        core = await self.world.read_core(self._shards[0])
        if core is None:
            return
        account = core.state.accounts.get(self.user_id)
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
