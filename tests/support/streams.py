"""Streams of balance events and match results as the cores would write them, made from a few decisions."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import msgspec

from services.adapters.ports import Append
from services.domain.messages import (
    BalanceChange,
    ChangeKind,
    MatchBody,
    MatchResult,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderUpdate,
    Trade,
    TradeSettled,
    TransferCompleted,
    encode_frame,
)
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import TopicPartition

LIMIT = (OrderType.Limit, TimeInForce.GTC)


class Balances:
    """Makes balance events whose versions and amounts follow each other."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str], list[int]] = {}
        self._numbers = count(1)

    def change(self, user_id: int, asset: str, kind: ChangeKind, available: int, reserved: int) -> BalanceChange:
        held = self._held.setdefault((user_id, asset), [0, 0, 0])
        held[0] += available
        held[1] += reserved
        held[2] += 1
        return BalanceChange(user_id, asset, kind, available, reserved, *held)

    def deposit(self, user_id: int = 1001, asset: str = "BTC", amount: int = 1_000) -> TransferCompleted:
        number = next(self._numbers)
        change = self.change(user_id, asset, ChangeKind.Deposit, amount, 0)
        return TransferCompleted(number, 1_000 + number, f"t-{number}", change)

    def accept(self, user_id: int = 1001, asset: str = "USDT", amount: int = 100) -> OrderAccepted:
        number = next(self._numbers)
        change = self.change(user_id, asset, ChangeKind.Reserve, -amount, amount)
        return OrderAccepted(
            number, 1_000 + number, number, user_id, f"cid-{number}", "BTC_USDT", Side.Buy, *LIMIT, 100, 1, 0, change
        )

    def close(self, user_id: int = 1001, asset: str = "USDT", amount: int = 100, order_id: int = 1) -> OrderClosed:
        number = next(self._numbers)
        change = self.change(user_id, asset, ChangeKind.Release, amount, -amount) if amount else None
        return OrderClosed(0, number, number, 1_000 + number, order_id, user_id, OrderStatus.Cancelled, change)

    def trade(self, buyer: int = 1001, seller: int = 1002, taker_side: Side = Side.Buy) -> TradeSettled:
        """One lot (10 BTC units) at 50 USDT units; the fees, 1 and 2, go to the fee account."""
        number = next(self._numbers)
        maker, taker = (seller, buyer) if taker_side is Side.Buy else (buyer, seller)
        changes = [
            self.change(buyer, "USDT", ChangeKind.Trade, 0, -50),
            self.change(buyer, "BTC", ChangeKind.Trade, 9, 0),
            self.change(seller, "BTC", ChangeKind.Trade, 0, -10),
            self.change(seller, "USDT", ChangeKind.Trade, 48, 0),
            self.change(-1, "BTC", ChangeKind.Fee, 1, 0),
            self.change(-1, "USDT", ChangeKind.Fee, 2, 0),
        ]
        trade = Trade(number, 5, 1, taker_side, number * 10, number * 10 + 1, maker, taker, 1_000, 2_000)
        return TradeSettled(0, number, 1_000 + number, "BTC_USDT", trade, 10, 50, 1, 2, changes)


def rejected(order_id: int = 1, user_id: int = 1001, code: Reject = Reject.INSUFFICIENT_BALANCE) -> OrderRejected:
    return OrderRejected(
        order_id, 1_000 + order_id, order_id, user_id, f"cid-{order_id}", "BTC_USDT", Side.Buy, *LIMIT, 100, 1, 0, code
    )


def update(status: OrderStatus, order_id: int = 1, user_id: int = 1001, **fields: Any) -> OrderUpdate:
    values: dict[str, Any] = {
        "price_ticks": 100,
        "quantity_lots": 10,
        "filled_lots": 0,
        "filled_tick_lots": 0,
    }
    values |= {"side": Side.Buy, "order_type": OrderType.Limit, "time_in_force": TimeInForce.GTC}
    return OrderUpdate(
        order_id=order_id,
        user_id=user_id,
        cid=f"cid-{order_id}",
        created_ms=order_id,
        status=status,
        **(values | fields),
    )


def match_result(sequence: int, updates: Sequence[OrderUpdate], symbol: str = "BTC_USDT") -> MatchResult:
    """The hashes are none: a projection takes the chain as it is."""
    body = MatchBody(sequence, 1_000 + sequence, symbol, 0, 0, Reject.NONE, list(updates), [], [])
    return MatchResult(sequence, 0, b"", b"", msgspec.Raw(msgspec.msgpack.encode(body)))


def frames(partition: TopicPartition, source: str, records: Sequence[Any], sizes: Iterable[int]) -> list[Append]:
    """All records, cut into frames of these sizes; the last frame takes the rest."""
    appends, start = [], 0
    for size in (*sizes, len(records)):
        part = list(records[start : start + size])
        if part:
            appends.append(Append(partition, encode_frame(source, start + 1, part)))
        start += len(part)
    return appends
