"""The matcher alone, on one core: operations of a bare book, commands through the whole engine, bytes a resting order.

Run it with `python -m benchmarks.bench_matcher`. It prints, and judges nothing.
"""

import gc
import random
import tracemalloc
from time import perf_counter
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from services.domain.core import Output
from services.domain.messages import CancelRequest, NewOrder, decode_frame, encode_frame
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_OPERATIONS, ORDERS
from services.matcher.book import Book, Order, Terms
from services.matcher.engine import MatcherEngine

_TERMS: Final = Terms(OrderType.Limit, TimeInForce.GTC, 1000, 2000)
_MIDDLE_TICKS: Final = 50_000
_FRAME_RECORDS: Final = 500

Command = NewOrder | CancelRequest


class Measurement(NamedTuple):
    """One line of the table."""

    what: str
    value: float
    unit: str


def book_operations(count: int) -> Measurement:
    """Half adds around the touch, a third cancels anywhere in the queues, the rest trades with the best of a side."""
    chance = random.Random(1)
    book = Book("BTC_USDT")
    plan = [
        (chance.random(), chance.choice((Side.Buy, Side.Sell)), chance.randint(1, 200), chance.randint(1, 100))
        for _ in range(count)
    ]
    recent: list[Order] = []
    done = 0
    started = perf_counter()
    for number, (kind, side, distance, lots) in enumerate(plan):
        if kind < 0.5 or len(recent) < 100:
            order = Order(number, 1001, "cid", 0, _TERMS, lots, lots, 0)
            book.add(side, order, _MIDDLE_TICKS - distance if side is Side.Buy else _MIDDLE_TICKS + distance)
            recent.append(order)
        elif kind < 0.83:
            order = recent.pop(-lots)
            if order.remaining_lots == 0:
                continue
            book.cancel(order)
        else:
            best = book.opposite(side).best
            if best is None or best.head is None:
                continue
            best.book_side.fill(best.head, min(lots, best.head.remaining_lots))
        done += 1
    return Measurement("book: add, cancel, trade", done / (perf_counter() - started), "operations/s")


def engine_commands(count: int) -> list[Measurement]:
    """Frames of mixed orders as bytes in, encoded frames of results and reports out."""
    commands = _mixed_commands(count)
    frames = [
        encode_frame("ubscore-0", start + 1, commands[start : start + _FRAME_RECORDS])
        for start in range(0, count, _FRAME_RECORDS)
    ]
    applied, encoded = MatcherEngine(0, 1), MatcherEngine(0, 1)
    decoded = [decode_frame(ORDERS, data) for data in frames]
    started = perf_counter()
    for offset, frame in enumerate(decoded):
        applied.apply(frame, offset)
    apply_seconds = perf_counter() - started
    started = perf_counter()
    for offset, data in enumerate(frames):
        for output in encoded.apply(decode_frame(ORDERS, data), offset):
            encode_frame(encoded.source, output.first_sequence, output.records)
    whole_seconds = perf_counter() - started
    return [
        Measurement("engine: apply", count / apply_seconds, "commands/s"),
        Measurement("engine: decode, apply, encode", count / whole_seconds, "commands/s"),
        Measurement("engine: trades per 100 commands", 100 * _trades(frames) / count, ""),
        Measurement("engine: orders resting at the end", applied.open_orders, ""),
    ]


def resting_memory(count: int) -> list[Measurement]:
    """What tracemalloc sees for `count` orders with client order ids of 20 characters, ten to a level."""
    frames = [
        encode_frame("ubscore-0", start + 1, [_resting_order(start + number) for number in range(_FRAME_RECORDS)])
        for start in range(0, count, _FRAME_RECORDS)
    ]
    engine = MatcherEngine(0, 1)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for offset, data in enumerate(frames):
        engine.apply(decode_frame(ORDERS, data), offset)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    started = perf_counter()
    data = engine.snapshot()
    snapshot_seconds = perf_counter() - started
    started = perf_counter()
    MatcherEngine.restore(data)
    return [
        Measurement(f"memory of {count:,} resting orders", used / count, "bytes/order"),
        Measurement("snapshot", count / snapshot_seconds, "orders/s"),
        Measurement("restore", count / (perf_counter() - started), "orders/s"),
    ]


def run(operations: int = 400_000, commands: int = 200_000, resting: int = 100_000) -> list[Measurement]:
    """All of it."""
    return [book_operations(operations), *engine_commands(commands), *resting_memory(resting)]


def _trades(frames: list[bytes]) -> int:
    """How many trades the frames give: says how much matching is in the rates."""
    engine = MatcherEngine(0, 1)
    outputs: list[Output] = []
    for offset, data in enumerate(frames):
        outputs += engine.apply(decode_frame(ORDERS, data), offset)
    reports = [output.records for output in outputs if output.partition.topic == BALANCE_OPERATIONS]
    return sum(len(report.trades) for records in reports for report in records)


def _order(order_id: int, side: Side, price: int, lots: int, **changes: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "user_id": 1001,
        "cid": f"bench-{order_id:014d}",
        "symbol": "BTC_USDT",
        "order_type": OrderType.Limit,
        "time_in_force": TimeInForce.GTC,
        **changes,
    }
    return NewOrder(
        request_id=order_id,
        time_ms=1_700_000_000_000 + order_id,
        order_id=order_id,
        side=side,
        self_trade_prevention=SelfTradePrevention.ExpireTaker,
        price_ticks=price,
        quantity_lots=lots,
        quote_budget=0,
        maker_fee_micros=1000,
        taker_fee_micros=2000,
        **fields,
    )


def _resting_order(number: int) -> NewOrder:
    side = Side.Buy if number % 2 else Side.Sell
    distance = 1 + number // 2 % (5_000)
    price = _MIDDLE_TICKS + distance if side is Side.Sell else _MIDDLE_TICKS - distance
    return _order(number + 1, side, price, 1_000 + number, user_id=1_000_000 + number)


def _mixed_commands(count: int) -> list[Command]:
    """Of 100 commands about 30 cancel, 5 are market orders, the rest are limit orders around a fixed middle."""
    chance = random.Random(2)
    commands: list[Command] = []
    for order_id in range(1, count + 1):
        if order_id > 100 and chance.random() < 0.3:
            target = order_id - chance.randint(1, 100)
            commands.append(CancelRequest(order_id, 1_700_000_000_000, target, 1000 + target % 1000))
            continue
        side = chance.choice((Side.Buy, Side.Sell))
        away = chance.randint(-60, 100)
        price = _MIDDLE_TICKS - away if side is Side.Buy else _MIDDLE_TICKS + away
        user: dict[str, Any] = {"user_id": 1000 + order_id % 1000, "symbol": f"S{order_id % 4}_USDT"}
        if chance.random() < 0.05:
            user["order_type"] = OrderType.Market
        commands.append(_order(order_id, side, price, chance.randint(1, 100), **user))
    return commands


def show(measurements: list[Measurement]) -> None:
    """Print them as a table."""
    table = Table(title="matcher")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for measurement in measurements:
        table.add_row(measurement.what, f"{measurement.value:,.0f}", measurement.unit)
    Console().print(table)


def main() -> None:
    show(run())


if __name__ == "__main__":
    main()
