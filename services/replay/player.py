"""Feeds a plan to a running exchange, through the gateway's way in and with its answers.

Without a recorded book, commands follow each other without waiting, at most WINDOW unanswered. With one, each command
is answered before the next, so that our book stands still while it is compared.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from services.adapters.ports import Clock, DepthView
from services.domain.errors import ExchangeError
from services.domain.instruments import Asset, build_symbol
from services.domain.messages import (
    CancelOrder,
    CommandRejected,
    CreateUser,
    OrderAccepted,
    OrderRejected,
    OrderRepeated,
    PlaceOrder,
    SetAsset,
    SetSymbol,
    TransferIn,
    TransferRejected,
)
from services.domain.orders import TimeInForce
from services.domain.rejects import Reject
from services.gateway.gateway import Gateway
from services.gateway.outcomes import Outcome, Waiter
from services.matcher.service import LocalBookReads
from services.replay.compare import Comparison
from services.replay.lobster import BookRow, Level
from services.replay.plan import DOLLAR_SCALE, SHARE_SCALE, Plan, Step, funds_needed

WINDOW: Final = 2_000
"""Commands that are on their way at one time: several frames, and far below what a gateway takes in."""
PROGRESS_STEPS: Final = 50
"""How often it is told how far it is: more often would cost more than the commands."""
_WHOLE_BOOK: Final = 1_000_000


class Exchange(Protocol):
    """What is needed of an exchange; services.runtime.local.LocalExchange is one."""

    gateway: Gateway
    book_reads: LocalBookReads


class ReplayError(ExchangeError):
    """The exchange refused what every replay needs, such as a deposit."""


@dataclass
class Report:
    """What a replay did. rejects: refused commands by code; messages: by type, from the file.

    executions_met: IOC orders that met exactly the recorded order. crossed: resting orders that traded at once, which
    no recorded one did. seconds: from the first message's command to the last answer.
    """

    messages: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    orders: int = 0
    cancels: int = 0
    trades: int = 0
    shares_traded: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    executions: int = 0
    executions_met: int = 0
    crossed: int = 0
    seeded: int = 0
    late_orders: int = 0
    seconds: float = 0.0
    comparison: Comparison | None = None
    book: DepthView | None = None

    @property
    def rate(self) -> float:
        """Commands a second."""
        return self.commands / self.seconds if self.seconds else 0.0


class Player:
    """One replay. on_progress: told how many messages are done, now and then."""

    def __init__(
        self, exchange: Exchange, clock: Clock, plan: Plan, on_progress: Callable[[int], None] = lambda done: None
    ) -> None:
        self.report = Report(seeded=len(plan.seeds), late_orders=plan.late_orders)
        self._exchange = exchange
        self._clock = clock
        self._plan = plan
        self._on_progress = on_progress
        self._next_request_id = exchange.gateway.dispatcher.next_request_id
        self._waiting: deque[tuple[Any, str, Waiter]] = deque()
        self._order_ids: dict[str, int] = {}
        """Client order id -> order id, of resting orders."""

    async def prepare(self) -> None:
        """Declare the stock, open and fund the accounts, and seed the book. Raises ReplayError when refused."""
        settings = self._plan.symbol
        base, quote = Asset(settings.base, SHARE_SCALE), Asset(settings.quote, DOLLAR_SCALE)
        symbol = build_symbol(settings, base, quote)
        for asset in (base, quote):
            await self._must(SetAsset(0, 0, asset.name, asset.scale))
        await self._must(SetSymbol(0, 0, settings))
        for user_id, needed in funds_needed(self._plan).items():
            await self._must(CreateUser(0, 0, user_id))
            buys = user_id in self._plan.users.buyers
            asset = quote if buys else base
            units = needed * (symbol.quote_units_per_tick_lot if buys else symbol.base_units_per_lot)
            if units:
                await self._must(TransferIn(0, 0, f"replay_{user_id}_{asset.name}_1", user_id, asset.name, units))
        for seed in self._plan.seeds:
            await self._send(seed, "")
        await self._drain(0)
        if self.report.trades or self.report.rejects:
            raise ReplayError("the recorded book cannot be seeded: its sides cross, or an order was refused")
        self.report.orders = 0

    async def play(self, book: Sequence[BookRow] | None) -> Report:
        """Play all messages; compare with `book`, a row for each, when there is one."""
        report = self.report
        report.comparison = Comparison() if book is not None else None
        begin = time.perf_counter()
        for done, step in enumerate(self._plan.steps):
            await self._play_step(step, None if book is None else book[done])
            if done % PROGRESS_STEPS == 0:
                self._on_progress(done)
        await self._drain(0)
        report.seconds = time.perf_counter() - begin
        report.book = await self._exchange.book_reads.depth(self._plan.symbol.name, 10)
        self._on_progress(len(self._plan.steps))
        return report

    async def _play_step(self, step: Step, row: BookRow | None) -> None:
        self.report.messages[step.message.type.name] += 1
        for command in step.commands:
            await self._send(command, step.maker_cid)
            self.report.commands += 1
            if row is not None:
                await self._drain(0)
        if row is not None and self.report.comparison is not None:
            depth = await self._exchange.book_reads.depth(self._plan.symbol.name, _WHOLE_BOOK)
            bids, asks = ([Level(*level) for level in side] for side in (depth.bids, depth.asks))
            self.report.comparison.add(step.message, row, bids, asks)

    async def _must(self, command: Any) -> None:
        event = (await self._dispatch(command).future).event
        if isinstance(event, CommandRejected | TransferRejected):
            raise ReplayError(f"{type(command).__name__} was refused: {event.code.name}")

    async def _send(self, command: Any, maker_cid: str) -> None:
        await self._drain(WINDOW - 1)
        self._waiting.append((command, maker_cid, self._dispatch(command)))

    def _dispatch(self, command: Any) -> Waiter:
        command.request_id = self._next_request_id()
        command.time_ms = self._clock.time_ms()
        waiter = self._exchange.gateway.tracker.expect(command.request_id)
        self._exchange.gateway.bus.enqueue(command, [0])
        return waiter

    async def _drain(self, most: int) -> None:
        """Take answers, in order, until at most `most` commands are on their way."""
        while len(self._waiting) > most:
            command, maker_cid, waiter = self._waiting.popleft()
            self._count(command, maker_cid, await waiter.future)

    def _count(self, command: Any, maker_cid: str, outcome: Outcome) -> None:
        event, report = outcome.event, self.report
        if isinstance(event, OrderRepeated):
            raise ReplayError(f"client order id {event.cid} was used before: replay into a fresh data folder")
        if isinstance(event, OrderRejected | CommandRejected):
            report.rejects[event.code.name] += 1
        elif isinstance(command, CancelOrder):
            self._count_cancel(outcome)
        elif isinstance(event, OrderAccepted):
            self._count_order(command, maker_cid, event.order_id, outcome)

    def _count_cancel(self, outcome: Outcome) -> None:
        for result in outcome.results.values():
            if result.code is Reject.NONE:
                self.report.cancels += 1
            else:
                self.report.rejects[result.code.name] += 1

    def _count_order(self, command: PlaceOrder, maker_cid: str, order_id: int, outcome: Outcome) -> None:
        report, trades = self.report, outcome.results[order_id].trades
        report.orders += 1
        report.trades += len(trades)
        report.shares_traded += sum(trade.quantity_lots for trade in trades)
        if command.time_in_force == TimeInForce.IOC:
            met = [(trade.maker_order_id, trade.quantity_lots) for trade in trades]
            report.executions += 1
            report.executions_met += met == [(self._order_ids.get(maker_cid), command.quantity_lots)]
        else:
            self._order_ids[command.cid] = order_id
            report.crossed += bool(trades)
