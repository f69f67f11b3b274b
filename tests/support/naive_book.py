"""The matcher's oracle: plain lists, sorted again at every step, sharing nothing with the fast book but messages.

Slow and obviously right: a fill-or-kill order is tried on a deep copy, level changes are the difference of the depth
before and after, an order is found by looking at all of them.
"""

import copy
from collections import Counter
from dataclasses import dataclass, field

from services.domain.messages import CancelRequest, Closed, LevelChange, MatchBody, NewOrder, OrderUpdate, Trade
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject


@dataclass
class NaiveOrder:
    """An order and what it has traded. arrival: its place in time among all orders of the book."""

    command: NewOrder
    arrival: int
    filled: int = 0
    tick_lots: int = 0

    @property
    def remaining(self) -> int:
        return self.command.quantity_lots - self.filled if self.command.quantity_lots else 0

    def update(self, status: OrderStatus, trade: Trade | None = None, code: Reject = Reject.NONE) -> OrderUpdate:
        command = self.command
        return OrderUpdate(
            order_id=command.order_id,
            user_id=command.user_id,
            cid=command.cid,
            created_ms=command.time_ms,
            side=command.side,
            order_type=command.order_type,
            time_in_force=command.time_in_force,
            status=status,
            price_ticks=command.price_ticks,
            quantity_lots=command.quantity_lots,
            filled_lots=self.filled,
            filled_tick_lots=self.tick_lots,
            last_price_ticks=trade.price_ticks if trade else 0,
            last_quantity_lots=trade.quantity_lots if trade else 0,
            trade_id=trade.trade_id if trade else 0,
            is_maker=trade is not None and trade.maker_order_id == command.order_id,
            code=code,
        )


@dataclass
class NaiveResult:
    """What one command did."""

    updates: list[OrderUpdate] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    closes: list[Closed] = field(default_factory=list)
    levels: list[LevelChange] = field(default_factory=list)

    def close(self, order: NaiveOrder, status: OrderStatus, code: Reject = Reject.NONE) -> None:
        command = order.command
        self.closes.append(Closed(command.order_id, command.user_id, status, order.remaining, code))

    def drop(self, order: NaiveOrder, status: OrderStatus, code: Reject = Reject.NONE) -> None:
        """End an order that did not fill."""
        self.updates.append(order.update(status, code=code))
        self.close(order, status, code)


class NaiveBook:
    """One symbol. orders: all resting orders, in no particular order."""

    def __init__(self) -> None:
        self.orders: list[NaiveOrder] = []
        self.arrivals = 0
        self.trades = 0
        self.last_price = 0

    def queue(self, side: Side) -> list[NaiveOrder]:
        """Resting orders of a side, first to match first."""
        sign = -1 if side is Side.Buy else 1
        mine = [order for order in self.orders if order.command.side is side]
        return sorted(mine, key=lambda order: (sign * order.command.price_ticks, order.arrival))

    def depth(self, side: Side) -> list[tuple[int, int]]:
        totals: Counter[int] = Counter()
        for order in self.orders:
            if order.command.side is side:
                totals[order.command.price_ticks] += order.remaining
        return sorted(totals.items(), reverse=side is Side.Buy)

    def place(self, command: NewOrder) -> NaiveResult:
        before = {side: dict(self.depth(side)) for side in Side}
        result = NaiveResult()
        self._place(command, result)
        other = Side.Sell if command.side is Side.Buy else Side.Buy
        result.levels = self._changes(before, [other, command.side])
        return result

    def cancel(self, order: NaiveOrder) -> NaiveResult:
        before = {side: dict(self.depth(side)) for side in Side}
        result = NaiveResult()
        self.orders.remove(order)
        result.drop(order, OrderStatus.Cancelled)
        result.levels = self._changes(before, list(Side))
        return result

    def _place(self, command: NewOrder, result: NaiveResult) -> None:
        self.arrivals += 1
        taker = NaiveOrder(command, self.arrivals)
        if command.order_type is OrderType.LimitMaker and self._matchable(command):
            result.drop(taker, OrderStatus.Rejected, Reject.WOULD_TAKE_LIQUIDITY)
            return
        result.updates.append(taker.update(OrderStatus.New))
        if command.order_type is OrderType.LimitMaker:
            self.orders.append(taker)
            return
        if command.time_in_force is TimeInForce.FOK:
            trial = NaiveResult()
            trial_book = copy.deepcopy(self)
            if trial_book._take(NaiveOrder(command, 0), trial) != "filled":
                result.drop(taker, OrderStatus.Expired)
                return
        ending = self._take(taker, result)
        rests = command.order_type is OrderType.Limit and command.time_in_force is TimeInForce.GTC
        if ending == "filled":
            result.close(taker, OrderStatus.Filled)
        elif ending == "prevented" or not rests:
            result.drop(taker, OrderStatus.Expired)
        else:
            self.orders.append(taker)

    def _matchable(self, command: NewOrder) -> list[NaiveOrder]:
        """Resting orders that this one may trade with, first to match first."""
        if command.side is Side.Buy:
            return [maker for maker in self.queue(Side.Sell) if maker.command.price_ticks <= command.price_ticks]
        return [maker for maker in self.queue(Side.Buy) if maker.command.price_ticks >= command.price_ticks]

    def _affordable(self, taker: NaiveOrder, price: int) -> bool:
        budget = taker.command.quote_budget
        return budget == 0 or budget - taker.tick_lots >= price

    def _take(self, taker: NaiveOrder, result: NaiveResult) -> str:
        """Trade until "filled", "prevented" from a self-trade, or there is "nothing" left to trade with."""
        command = taker.command
        while True:
            makers = self._matchable(command)
            if not makers or not self._affordable(taker, makers[0].command.price_ticks):
                return "nothing"
            maker = makers[0]
            if maker.command.user_id == command.user_id:
                if command.self_trade_prevention is not SelfTradePrevention.ExpireTaker:
                    self.orders.remove(maker)
                    result.drop(maker, OrderStatus.Expired)
                if command.self_trade_prevention is not SelfTradePrevention.ExpireMaker:
                    return "prevented"
                continue
            self._trade(taker, maker, result)
            if result.updates[-2].status is OrderStatus.Filled:
                return "filled"

    def _trade(self, taker: NaiveOrder, maker: NaiveOrder, result: NaiveResult) -> None:
        price = maker.command.price_ticks
        bounds = [maker.remaining]
        if taker.command.quantity_lots:
            bounds.append(taker.remaining)
        if taker.command.quote_budget:
            bounds.append((taker.command.quote_budget - taker.tick_lots) // price)
        lots = min(bounds)
        self.trades += 1
        self.last_price = price
        for order in (taker, maker):
            order.filled += lots
            order.tick_lots += lots * price
        trade = Trade(
            trade_id=self.trades,
            price_ticks=price,
            quantity_lots=lots,
            taker_side=taker.command.side,
            maker_order_id=maker.command.order_id,
            taker_order_id=taker.command.order_id,
            maker_user_id=maker.command.user_id,
            taker_user_id=taker.command.user_id,
            maker_fee_micros=maker.command.maker_fee_micros,
            taker_fee_micros=taker.command.taker_fee_micros,
        )
        if maker.remaining == 0:
            self.orders.remove(maker)
        result.trades.append(trade)
        status = OrderStatus.Filled if self._is_filled(taker) else OrderStatus.PartiallyFilled
        result.updates.append(taker.update(status, trade))
        if maker.remaining == 0:
            result.updates.append(maker.update(OrderStatus.Filled, trade))
            result.close(maker, OrderStatus.Filled)
        else:
            result.updates.append(maker.update(OrderStatus.PartiallyFilled, trade))

    def _is_filled(self, taker: NaiveOrder) -> bool:
        command = taker.command
        if command.quantity_lots and taker.remaining == 0:
            return True
        if command.quote_budget and command.quote_budget == taker.tick_lots:
            return True
        makers = self._matchable(command)
        return bool(makers) and not self._affordable(taker, makers[0].command.price_ticks)

    def _changes(self, before: dict[Side, dict[int, int]], sides: list[Side]) -> list[LevelChange]:
        changes = []
        for side in sides:
            after = dict(self.depth(side))
            prices = sorted(before[side].keys() | after.keys(), reverse=side is Side.Buy)
            changes += [
                LevelChange(side, price, after.get(price, 0))
                for price in prices
                if before[side].get(price, 0) != after.get(price, 0)
            ]
        return changes


class NaiveMatcher:
    """All symbols: the oracle of MatcherEngine, command by command."""

    def __init__(self) -> None:
        self.books: dict[str, NaiveBook] = {}

    def handle(self, command: NewOrder | CancelRequest) -> tuple[MatchBody, list[Closed]]:
        """What the command's MatchResult must hold, and the closes of its MatchReport."""
        if isinstance(command, NewOrder):
            symbol, code = command.symbol, Reject.NONE
            result = self.books.setdefault(symbol, NaiveBook()).place(command)
        else:
            symbol, code, result = self._cancel(command)
        body = MatchBody(
            command.request_id,
            command.time_ms,
            symbol,
            command.order_id,
            command.user_id,
            code,
            result.updates,
            result.trades,
            result.levels,
        )
        return body, result.closes

    def _cancel(self, request: CancelRequest) -> tuple[str, Reject, NaiveResult]:
        for symbol, book in self.books.items():
            for order in book.orders:
                if (order.command.order_id, order.command.user_id) == (request.order_id, request.user_id):
                    return symbol, Reject.NONE, book.cancel(order)
        return "", Reject.UNKNOWN_ORDER, NaiveResult()
