"""First answers, kept for a span of log time, so that a repeated command gets the same answer again.

An answer that is still in use (its order is open) is never forgotten: when its time comes, it is kept another span.
"""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

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

    @property
    def key(self) -> tuple[int, str]:
        return (self.user_id, self.cid)

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

    @property
    def key(self) -> str:
        return self.transfer_id

    def answers(self, op: TransferIn | TransferOut) -> bool:
        """Whether `op` is the same transfer again."""
        return (
            self.user_id == op.user_id
            and self.asset == op.asset
            and self.amount == op.amount
            and self.incoming == isinstance(op, TransferIn)
        )


class _Answer(Protocol):
    time_ms: int

    @property
    def key(self) -> Hashable: ...


A = TypeVar("A", bound=_Answer)


class AnswerMemory(Generic[A]):
    """Answers by key, forgotten in the order of their time."""

    __slots__ = ("_by_key", "_queue")

    def __init__(self, answers: list[A] | None = None) -> None:
        self._queue: deque[A] = deque(answers or [])
        self._by_key: dict[Hashable, A] = {answer.key: answer for answer in self._queue}

    def __len__(self) -> int:
        return len(self._queue)

    def get(self, key: Hashable) -> A | None:
        return self._by_key.get(key)

    def add(self, answer: A) -> None:
        """Remember an answer; its key must not be remembered already, its time not be before another's."""
        self._by_key[answer.key] = answer
        self._queue.append(answer)

    def forget_before(self, time_ms: int, now_ms: int, in_use: Callable[[A], bool]) -> None:
        """Forget every answer older than `time_ms`; one that is in use begins anew at `now_ms`."""
        queue = self._queue
        while queue and queue[0].time_ms < time_ms:
            answer = queue.popleft()
            if in_use(answer):
                answer.time_ms = now_ms
                queue.append(answer)
            else:
                del self._by_key[answer.key]

    def in_order(self) -> list[A]:
        """All answers, oldest first."""
        return list(self._queue)
