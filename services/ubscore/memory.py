"""First answers, kept for a span of log time, so that a repeated command gets the same answer again.

An answer that is still in use (its order is open) is never forgotten: when its time comes, it is kept another span.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from services.domain.messages import BalanceChange, PlaceOrder, TransferIn, TransferOut
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject


class OrderAnswer(msgspec.Struct, array_like=True, gc=False):
    """The first answer to an order, and what tells a repeat from another order with the same client order id."""

    time_ms: int
    user_id: int
    cid: str
    order_id: int
    code: Reject
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    self_trade_prevention: SelfTradePrevention
    price_ticks: int
    """0 for a Market order: gateways stamp its protection price anew at every try."""
    quantity_lots: int
    quote_amount: int

    def answers(self, op: PlaceOrder) -> bool:
        """Whether `op` is the same order again."""
        return (
            self.symbol == op.symbol
            and self.side == op.side
            and self.order_type == op.order_type
            and self.time_in_force == op.time_in_force
            and self.self_trade_prevention == op.self_trade_prevention
            and self.price_ticks == (0 if op.order_type == OrderType.Market else op.price_ticks)
            and self.quantity_lots == op.quantity_lots
            and self.quote_amount == op.quote_amount
        )


class TransferAnswer(msgspec.Struct, array_like=True, gc=False):
    """The first answer to a transfer. change: None when it was refused with `code`."""

    time_ms: int
    transfer_id: str
    user_id: int
    asset: str
    amount: int
    incoming: bool
    code: Reject
    change: BalanceChange | None

    def answers(self, op: TransferIn | TransferOut) -> bool:
        """Whether `op` is the same transfer again."""
        return (
            self.user_id == op.user_id
            and self.asset == op.asset
            and self.amount == op.amount
            and self.incoming == isinstance(op, TransferIn)
        )


A = TypeVar("A", OrderAnswer, TransferAnswer)


class AnswerMemory(ABC, Generic[A]):
    """Answers, forgotten in the order of their time."""

    __slots__ = ("_queue",)

    def __init__(self, answers: Iterable[A] = ()) -> None:
        self._queue: deque[A] = deque()
        for answer in answers:
            self.add(answer)

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, answer: A) -> None:
        """Remember an answer; its key must not be remembered already, its time not be before another's."""
        self._queue.append(answer)
        self._index(answer)

    def forget_before(self, time_ms: int, now_ms: int, in_use: Callable[[A], bool]) -> None:
        """Forget every answer older than `time_ms`; one that is in use begins anew at `now_ms`."""
        queue = self._queue
        while queue and queue[0].time_ms < time_ms:
            answer = queue.popleft()
            if in_use(answer):
                answer.time_ms = now_ms
                queue.append(answer)
            else:
                self._drop(answer)

    def in_order(self) -> list[A]:
        """All answers, oldest first."""
        return list(self._queue)

    @abstractmethod
    def _index(self, answer: A) -> None: ...

    @abstractmethod
    def _drop(self, answer: A) -> None: ...


class OrderMemory(AnswerMemory[OrderAnswer]):
    """First answers to orders, by user and client order id."""

    __slots__ = ("_by_user",)

    def __init__(self, answers: Iterable[OrderAnswer] = ()) -> None:
        self._by_user: dict[int, dict[str, OrderAnswer]] = {}
        super().__init__(answers)

    def get(self, user_id: int, cid: str) -> OrderAnswer | None:
        answers = self._by_user.get(user_id)
        return answers.get(cid) if answers is not None else None

    def _index(self, answer: OrderAnswer) -> None:
        answers = self._by_user.get(answer.user_id)
        if answers is None:
            answers = self._by_user[answer.user_id] = {}
        answers[answer.cid] = answer

    def _drop(self, answer: OrderAnswer) -> None:
        answers = self._by_user[answer.user_id]
        del answers[answer.cid]
        if not answers:
            del self._by_user[answer.user_id]


class TransferMemory(AnswerMemory[TransferAnswer]):
    """First answers to transfers, by transfer id."""

    __slots__ = ("_by_id",)

    def __init__(self, answers: Iterable[TransferAnswer] = ()) -> None:
        self._by_id: dict[str, TransferAnswer] = {}
        super().__init__(answers)

    def get(self, transfer_id: str) -> TransferAnswer | None:
        return self._by_id.get(transfer_id)

    def _index(self, answer: TransferAnswer) -> None:
        self._by_id[answer.transfer_id] = answer

    def _drop(self, answer: TransferAnswer) -> None:
        del self._by_id[answer.transfer_id]
