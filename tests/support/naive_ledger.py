"""The oracle of ubscore: lists of what happened, and exact fractions summed up anew for every question.

Shares nothing with the core but messages. A balance is what its owner was paid less what was paid out; what is
reserved is what the open orders need; nothing is kept that could be forgotten to update.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from services.domain.instruments import SymbolSettings, SymbolStatus
from services.domain.messages import (
    CancelAll,
    CancelOrder,
    CreateUser,
    MatchReport,
    PlaceOrder,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    TransferIn,
    TransferOut,
)
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject

LIMIT = 2**62
"""More than this many smallest units never come in."""

Answer = tuple[Any, ...]
"""What a command must be answered: a word and what belongs to it."""


@dataclass
class NaiveOrder:
    """An accepted order. lots: 0 when it is bounded by its quote amount alone. fills: (price, quantity), exact."""

    op: PlaceOrder
    lots: int
    settings: SymbolSettings
    quote_amount: Fraction
    fills: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    is_open: bool = True

    @property
    def asset(self) -> str:
        return self.settings.quote if self.op.side is Side.Buy else self.settings.base

    @property
    def need(self) -> Fraction:
        """What it must have reserved."""
        remaining = self.lots * Fraction(self.settings.lot_size) - sum(quantity for _, quantity in self.fills)
        if self.op.side is Side.Sell:
            return remaining
        if self.op.quote_amount:
            return self.quote_amount - sum(price * quantity for price, quantity in self.fills)
        return remaining * self.op.price_ticks * Fraction(self.settings.tick_size)


@dataclass
class NaiveAnswer:
    """A first answer; same: what a repeat must equal."""

    time_ms: int
    key: Any
    same: Any
    order_id: int
    code: Reject


class NaiveLedger:
    """One account shard."""

    def __init__(self, shard: int, shards: int) -> None:
        self.shard, self.shards = shard, shards
        self.now_ms = 0
        self.policy = (3_600_000, 2_592_000_000, 10_000)
        self.suspended: dict[int, bool] = {}
        self.scales: dict[str, int] = {}
        self.symbols: dict[str, SymbolSettings] = {}
        self.paid: list[tuple[int, str, Fraction]] = []
        """(user id, asset, amount): every deposit, withdrawal, trade and fee; fee account: user id 0."""
        self.came_in: list[tuple[str, Fraction]] = []
        self.orders: dict[int, NaiveOrder] = {}
        self.order_answers: list[NaiveAnswer] = []
        self.transfer_answers: list[NaiveAnswer] = []
        self.ids = 0

    # Questions

    def total(self, user_id: int, asset: str) -> Fraction:
        return sum((amount for user, name, amount in self.paid if (user, name) == (user_id, asset)), Fraction(0))

    def reserved(self, user_id: int, asset: str) -> Fraction:
        return sum((order.need for order in self.open_orders(user_id) if order.asset == asset), Fraction(0))

    def available(self, user_id: int, asset: str) -> Fraction:
        return self.total(user_id, asset) - self.reserved(user_id, asset)

    def open_orders(self, user_id: int) -> list[NaiveOrder]:
        return [order for order in self.orders.values() if order.is_open and order.op.user_id == user_id]

    def open_ids(self, user_id: int, symbol: str = "") -> list[int]:
        return [
            order_id
            for order_id, order in self.orders.items()
            if order.is_open and order.op.user_id == user_id and symbol in ("", order.op.symbol)
        ]

    def units(self, amount: Fraction, asset: str) -> int:
        """Smallest units; they are always whole."""
        units = amount * 10 ** self.scales[asset]
        assert units.denominator == 1, (amount, asset)
        return int(units)

    def amount(self, units: int, asset: str) -> Fraction:
        return Fraction(units, 10 ** self.scales[asset])

    # Commands

    def frame(self, operations: Sequence[Any]) -> list[Answer]:
        """What the frame must be answered."""
        answers = []
        for op in operations:
            self.now_ms = max(self.now_ms, op.time_ms)
            answers += self._answer(op)
        self._forget()
        return answers

    def _forget(self) -> None:
        for answers, window in ((self.order_answers, self.policy[0]), (self.transfer_answers, self.policy[1])):
            for answer in list(answers):
                if answer.time_ms >= self.now_ms - window:
                    continue
                if answer.order_id in self.orders and self.orders[answer.order_id].is_open:
                    answer.time_ms = self.now_ms
                else:
                    answers.remove(answer)

    def _answer(self, op: Any) -> list[Answer]:
        match op:
            case PlaceOrder():
                return [self._place(op)]
            case CancelOrder() | CancelAll():
                return [self._cancel(op)]
            case TransferIn() | TransferOut():
                return [self._transfer(op)]
            case MatchReport():
                return self._settle(op)
            case _:
                return self._administer(op)

    def _administer(self, op: Any) -> list[Answer]:
        match op:
            case CreateUser():
                self.suspended.setdefault(op.user_id, False)
            case SetUserStatus():
                self.suspended[op.user_id] = op.suspended
            case SetAsset():
                self.scales[op.name] = op.scale
            case SetSymbol():
                self.symbols[op.settings.name] = op.settings
            case SetPolicy():
                self.policy = (op.order_window_ms, op.transfer_window_ms, op.max_open_orders)
        return [("updated",)]

    def _place(self, op: PlaceOrder) -> Answer:
        price = 0 if op.order_type is OrderType.Market else op.price_ticks
        same = (op.symbol, op.side, op.order_type, op.time_in_force, op.self_trade_prevention, price)
        same = (*same, op.quantity_lots, op.quote_amount)
        first = next((a for a in self.order_answers if a.key == (op.user_id, op.cid)), None)
        if first is not None and first.same == same:
            return ("repeated", first.order_id, first.code)
        self.ids += 1
        order_id = (self.shard << 44) + self.ids
        code = Reject.DUPLICATE_CLIENT_ORDER_ID if first is not None else self._judge(op)
        known = op.user_id in self.suspended and re.fullmatch(r"[A-Za-z0-9._:/-]{1,36}", op.cid, re.ASCII)
        if first is None and known:
            self.order_answers.append(NaiveAnswer(self.now_ms, (op.user_id, op.cid), same, order_id, code))
        if code:
            return ("rejected", order_id, code)
        self.orders[order_id] = self._order(op)
        return ("accepted", order_id)

    def _order(self, op: PlaceOrder) -> NaiveOrder:
        settings = self.symbols[op.symbol]
        quote_amount = self.amount(op.quote_amount, settings.quote)
        lots = op.quantity_lots
        if op.quote_amount and op.side is Side.Sell:
            one_lot = op.price_ticks * Fraction(settings.tick_size) * Fraction(settings.lot_size)
            lots = math.floor(quote_amount / one_lot)
        return NaiveOrder(op, lots, settings, quote_amount)

    def _judge(self, op: PlaceOrder) -> Reject:
        if op.user_id not in self.suspended:
            return Reject.UNKNOWN_USER
        if not re.fullmatch(r"[A-Za-z0-9._:/-]{1,36}", op.cid, re.ASCII):
            return Reject.INVALID_CLIENT_ORDER_ID
        if self.suspended[op.user_id]:
            return Reject.USER_SUSPENDED
        if op.symbol not in self.symbols:
            return Reject.UNKNOWN_SYMBOL
        status = self.symbols[op.symbol].status
        if status is not SymbolStatus.Trading:
            return Reject.SYMBOL_HALTED if status is SymbolStatus.Halted else Reject.SYMBOL_CANCEL_ONLY
        return self._judge_form(op) or self._judge_amounts(op)

    def _judge_form(self, op: PlaceOrder) -> Reject:
        market, maker = op.order_type is OrderType.Market, op.order_type is OrderType.LimitMaker
        if op.price_ticks <= 0:
            return Reject.INVALID_PRICE
        if op.quantity_lots < 0 or op.quote_amount < 0 or (op.quantity_lots == 0) == (op.quote_amount == 0):
            return Reject.INVALID_QUANTITY
        if op.quote_amount and not market:
            return Reject.INVALID_QUANTITY
        if (market and op.time_in_force is TimeInForce.FOK) or (maker and op.time_in_force is not TimeInForce.GTC):
            return Reject.INVALID_ORDER_TYPE
        return Reject.NONE

    def _judge_amounts(self, op: PlaceOrder) -> Reject:
        order = self._order(op)
        settings = order.settings
        one_lot = Fraction(settings.lot_size) * Fraction(settings.tick_size)
        notional = order.quote_amount or op.price_ticks * op.quantity_lots * one_lot
        if notional < Fraction(settings.min_notional):
            return Reject.MIN_NOTIONAL
        if settings.band_micros and op.reference_price_ticks:
            distance = abs(Fraction(op.price_ticks, op.reference_price_ticks) - 1)
            if distance > Fraction(settings.band_micros, 10**6):
                return Reject.PRICE_BAND
        if len(self.open_orders(op.user_id)) >= self.policy[2]:
            return Reject.TOO_MANY_OPEN_ORDERS
        lots = order.lots if op.side is Side.Sell or op.quantity_lots else math.floor(notional / one_lot)
        if lots == 0:
            return Reject.INVALID_QUANTITY
        return Reject.NONE if order.need <= self.available(op.user_id, order.asset) else Reject.INSUFFICIENT_BALANCE

    def _cancel(self, op: CancelOrder | CancelAll) -> Answer:
        if op.user_id not in self.suspended:
            return ("refused", Reject.UNKNOWN_USER)
        if isinstance(op, CancelAll):
            if op.symbol and op.symbol not in self.symbols:
                return ("refused", Reject.UNKNOWN_SYMBOL)
            return ("cancels", self.open_ids(op.user_id, op.symbol))
        ids = self.open_ids(op.user_id)
        wanted = [i for i in ids if (i == op.order_id if op.order_id else self.orders[i].op.cid == op.cid)]
        return ("cancels", wanted) if wanted else ("refused", Reject.UNKNOWN_ORDER)

    def _transfer(self, op: TransferIn | TransferOut) -> Answer:
        same = (type(op), op.user_id, op.asset, op.amount)
        first = next((a for a in self.transfer_answers if a.key == op.transfer_id), None)
        if first is not None and first.same == same:
            return ("transfer repeated", first.code)
        code = Reject.DUPLICATE_TRANSFER_ID if first is not None else self._judge_transfer(op)
        if first is None and op.user_id in self.suspended:
            self.transfer_answers.append(NaiveAnswer(self.now_ms, op.transfer_id, same, 0, code))
        if code:
            return ("transfer rejected", code)
        amount = self.amount(op.amount if isinstance(op, TransferIn) else -op.amount, op.asset)
        self.paid.append((op.user_id, op.asset, amount))
        self.came_in.append((op.asset, amount))
        return ("transferred", op.amount)

    def _judge_transfer(self, op: TransferIn | TransferOut) -> Reject:
        if op.user_id not in self.suspended:
            return Reject.UNKNOWN_USER
        if op.asset not in self.scales:
            return Reject.UNKNOWN_ASSET
        if op.amount <= 0:
            return Reject.INVALID_AMOUNT
        amount = self.amount(op.amount, op.asset)
        if isinstance(op, TransferIn):
            total = sum((came for name, came in self.came_in if name == op.asset), amount)
            return Reject.BALANCE_TOO_LARGE if self.units(total, op.asset) > LIMIT // self.shards else Reject.NONE
        if self.suspended[op.user_id]:
            return Reject.USER_SUSPENDED
        return Reject.NONE if amount <= self.available(op.user_id, op.asset) else Reject.INSUFFICIENT_BALANCE

    def _settle(self, report: MatchReport) -> list[Answer]:
        settings = self.symbols[report.symbol]
        answers: list[Answer] = []
        for trade in report.trades:
            maker = (trade.maker_user_id, trade.maker_order_id, trade.maker_fee_micros)
            taker = (trade.taker_user_id, trade.taker_order_id, trade.taker_fee_micros)
            buyer, seller = (taker, maker) if trade.taker_side is Side.Buy else (maker, taker)
            price = trade.price_ticks * Fraction(settings.tick_size)
            quantity = trade.quantity_lots * Fraction(settings.lot_size)
            for user_id, order_id, _ in (buyer, seller):
                if self._is_mine(user_id):
                    self.orders[order_id].fills.append((price, quantity))
            # The rates are those of the day when each order was accepted, whatever the symbol's are by now.
            if self._is_mine(maker[0]):
                assert maker[2] == self.orders[maker[1]].settings.maker_fee_micros
            if self._is_mine(taker[0]):
                assert taker[2] == self.orders[taker[1]].settings.taker_fee_micros
            fees = (
                self._pay(buyer, settings.base, quantity, settings.quote, price * quantity),
                self._pay(seller, settings.quote, price * quantity, settings.base, quantity),
            )
            if self._is_mine(buyer[0]) or self._is_mine(seller[0]):
                answers.append(("settled", trade.trade_id, *fees))
        for closed in report.closes:
            if self._is_mine(closed.user_id):
                self.orders[closed.order_id].is_open = False
                answers.append(("closed", closed.order_id, closed.status))
        return answers

    def _is_mine(self, user_id: int) -> bool:
        return user_id % self.shards == self.shard

    def _pay(self, side: tuple[int, int, int], got: str, amount: Fraction, gave: str, price: Fraction) -> int:
        """Both halves of one side of a trade, when it is ours; returns its fee in smallest units, ours or not."""
        user_id, _, fee_micros = side
        one = Fraction(1, 10 ** self.scales[got])
        fee = math.ceil(amount * Fraction(fee_micros, 10**6) / one) * one
        if self._is_mine(user_id):
            self.paid += [(user_id, got, amount - fee), (user_id, gave, -price), (0, got, fee)]
        return self.units(fee, got)
