"""Price-time priority in plain lists: what a matcher must say to every order and cancel.

An order is found by looking at all of them; the best maker is the first of a list that is sorted again each time.
"""

from collections import Counter
from dataclasses import dataclass, replace

from services.domain.messages import CancelRequest, Closed, MatchBody, NewOrder, OrderUpdate, Trade
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject


@dataclass
class Resting:
    """An order and what became of it. arrival: its place in time."""

    terms: NewOrder
    arrival: int
    filled: int = 0
    tick_lots: int = 0

    @property
    def left(self) -> int:
        return self.terms.quantity_lots - self.filled if self.terms.quantity_lots else 0


class Answer:
    """What one command must cause. Level changes are not part of it: see `NaiveMatcher.depth`."""

    def __init__(self, command: NewOrder | CancelRequest) -> None:
        self.command = command
        self.symbol = ""
        self.code = Reject.NONE
        self.updates: list[OrderUpdate] = []
        self.trades: list[Trade] = []
        self.closes: list[Closed] = []

    def tell(self, order: Resting, status: OrderStatus, trade: Trade | None = None, code: Reject = Reject.NONE) -> None:
        terms = order.terms
        last = (trade.price_ticks, trade.quantity_lots, trade.trade_id) if trade else (0, 0, 0)
        is_maker = trade is not None and trade.maker_order_id == terms.order_id
        self.updates.append(
            OrderUpdate(
                terms.order_id, terms.user_id, terms.cid, terms.time_ms, terms.side, terms.order_type,
                terms.time_in_force, status, terms.price_ticks, terms.quantity_lots, order.filled, order.tick_lots,
                *last, is_maker, code,
            )
        )  # fmt: skip

    def end(self, order: Resting, status: OrderStatus, code: Reject = Reject.NONE) -> None:
        """An order leaves for good without a trade that filled it."""
        self.tell(order, status, code=code)
        self.close(order, status, code)

    def close(self, order: Resting, status: OrderStatus, code: Reject = Reject.NONE) -> None:
        self.closes.append(Closed(order.terms.order_id, order.terms.user_id, status, order.left, code))

    def matches(self, body: MatchBody) -> bool:
        """Whether the matcher said this."""
        command = self.command
        said = (body.request_id, body.time_ms, body.order_id, body.user_id, body.symbol, body.code)
        expected = (command.request_id, command.time_ms, command.order_id, command.user_id, self.symbol, self.code)
        return said == expected and body.updates == self.updates and body.trades == self.trades


class NaiveMatcher:
    """All symbols of one matcher shard."""

    def __init__(self) -> None:
        self.resting: list[Resting] = []
        self._arrivals = 0
        self._trades: Counter[str] = Counter()

    def apply(self, command: NewOrder | CancelRequest) -> Answer:
        answer = Answer(command)
        if isinstance(command, NewOrder):
            self._arrivals += 1
            answer.symbol = command.symbol
            self._place(Resting(command, self._arrivals), answer)
            return answer
        wanted = (command.order_id, command.user_id)
        for order in self.resting:
            if (order.terms.order_id, order.terms.user_id) == wanted:
                self.resting.remove(order)
                answer.symbol = order.terms.symbol
                answer.end(order, OrderStatus.Cancelled)
                return answer
        answer.code = Reject.UNKNOWN_ORDER
        return answer

    def depth(self, symbol: str) -> dict[tuple[Side, int], int]:
        """The quantity at every price of a book."""
        totals: Counter[tuple[Side, int]] = Counter()
        for order in self.resting:
            if order.terms.symbol == symbol:
                totals[order.terms.side, order.terms.price_ticks] += order.left
        return dict(totals)

    def _makers(self, taker: NewOrder) -> list[Resting]:
        """Who the taker may trade with, first in line first."""
        sign = 1 if taker.side == Side.Buy else -1
        makers = [
            order
            for order in self.resting
            if order.terms.symbol == taker.symbol
            and order.terms.side != taker.side
            and sign * order.terms.price_ticks <= sign * taker.price_ticks
        ]
        return sorted(makers, key=lambda order: (sign * order.terms.price_ticks, order.arrival))

    def _place(self, order: Resting, answer: Answer) -> None:
        terms = order.terms
        if terms.order_type == OrderType.LimitMaker and self._makers(terms):
            answer.end(order, OrderStatus.Rejected, Reject.WOULD_TAKE_LIQUIDITY)
            return
        answer.tell(order, OrderStatus.New)
        if terms.time_in_force == TimeInForce.FOK and not self._would_fill(order):
            answer.end(order, OrderStatus.Expired)
            return
        filled, prevented = self._take(order, answer)
        if filled:
            answer.close(order, OrderStatus.Filled)
        elif prevented or terms.order_type == OrderType.Market or terms.time_in_force != TimeInForce.GTC:
            answer.end(order, OrderStatus.Expired)
        else:
            self.resting.append(order)

    def _would_fill(self, order: Resting) -> bool:
        """Try it on a copy of everything."""
        trial = NaiveMatcher()
        trial.resting = [replace(other) for other in self.resting]
        return trial._take(replace(order), Answer(order.terms))[0]

    def _take(self, taker: Resting, answer: Answer) -> tuple[bool, bool]:
        """Trade on and on; returns whether the taker filled, and whether self-trade prevention ended it."""
        while True:
            makers = self._makers(taker.terms)
            if not makers or not self._pays(taker, makers[0]):
                return False, False
            maker = makers[0]
            if maker.terms.user_id == taker.terms.user_id:
                mode = taker.terms.self_trade_prevention
                if mode != SelfTradePrevention.ExpireTaker:
                    self.resting.remove(maker)
                    answer.end(maker, OrderStatus.Expired)
                if mode != SelfTradePrevention.ExpireMaker:
                    return False, True
            elif self._trade(taker, maker, answer):
                return True, False

    def _pays(self, taker: Resting, maker: Resting) -> bool:
        """Whether the taker's budget pays for one lot of the maker's."""
        budget = taker.terms.quote_budget
        return not budget or budget - taker.tick_lots >= maker.terms.price_ticks

    def _trade(self, taker: Resting, maker: Resting, answer: Answer) -> bool:
        """One trade; returns whether it filled the taker."""
        terms, price = taker.terms, maker.terms.price_ticks
        lots = maker.left
        if terms.quantity_lots:
            lots = min(lots, taker.left)
        if terms.quote_budget:
            lots = min(lots, (terms.quote_budget - taker.tick_lots) // price)
        self._trades[taker.terms.symbol] += 1
        trade = Trade(
            self._trades[taker.terms.symbol], price, lots, taker.terms.side, maker.terms.order_id, taker.terms.order_id,
            maker.terms.user_id, taker.terms.user_id, maker.terms.maker_fee_micros, taker.terms.taker_fee_micros,
        )  # fmt: skip
        for order in (taker, maker):
            order.filled += lots
            order.tick_lots += lots * price
        if not maker.left:
            self.resting.remove(maker)
        filled = self._is_filled(taker)
        answer.trades.append(trade)
        answer.tell(taker, OrderStatus.Filled if filled else OrderStatus.PartiallyFilled, trade)
        answer.tell(maker, OrderStatus.PartiallyFilled if maker.left else OrderStatus.Filled, trade)
        if not maker.left:
            answer.close(maker, OrderStatus.Filled)
        return filled

    def _is_filled(self, taker: Resting) -> bool:
        terms = taker.terms
        if (terms.quantity_lots and not taker.left) or (terms.quote_budget and terms.quote_budget == taker.tick_lots):
            return True
        makers = self._makers(terms)
        return bool(makers) and not self._pays(taker, makers[0])
