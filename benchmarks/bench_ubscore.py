"""How fast the ubscore core is, alone and with the bytes on both sides of it, and what an open order costs in memory.

    python -m benchmarks.bench_ubscore

`core` applies frames that are decoded already; `with bytes` also decodes every input frame and encodes every output
frame, as the shell does. Orders come in frames of FRAME records, from USERS users in turn. The best of ROUNDS counts:
on a shared machine the slower ones tell of its other work.
"""

import time
import tracemalloc
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from services.domain.instruments import SymbolSettings
from services.domain.messages import (
    CancelOrder,
    CreateUser,
    MatchReport,
    PlaceOrder,
    SetAsset,
    SetSymbol,
    TransferIn,
    decode_frame,
    encode_frame,
)
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_OPERATIONS, ORDERS
from services.matcher.engine import MatcherEngine
from services.ubscore.core import UbsCore

ORDERS_PLACED: Final = 60_000
FRAME: Final = 500
USERS: Final = 1_000
ROUNDS: Final = 3
T0: Final = 1_700_000_000_000


def _place(number: int, side: Side, price: int) -> PlaceOrder:
    return PlaceOrder(
        number,
        T0 + number // 100,
        1 + number % USERS,
        f"bench-order-{number}",
        "BTC_USDT",
        side,
        OrderType.Limit,
        TimeInForce.GTC,
        SelfTradePrevention.ExpireTaker,
        price,
        10,
    )


def _frames(records: Sequence[Any], source: str = "gateway-1", first: int = 0) -> list[bytes]:
    return [
        encode_frame(source, first + start if first else 0, list(records[start : start + FRAME]))
        for start in range(0, len(records), FRAME)
    ]


def _funded_core() -> UbsCore:
    core = UbsCore(0, 1)
    commands: list[Any] = [SetAsset(1, T0, "BTC", 8), SetAsset(1, T0, "USDT", 6)]
    commands.append(SetSymbol(1, T0, SymbolSettings("BTC_USDT", "BTC", "USDT", "0.1", "0.001", "1", 1000, 2000)))
    for user in range(1, USERS + 1):
        commands.append(CreateUser(1, T0, user))
        commands += [TransferIn(1, T0, f"{asset}-{user}", user, asset, 10**15) for asset in ("BTC", "USDT")]
    core.apply(decode_frame(BALANCE_OPERATIONS, encode_frame("gateway-1", 0, commands)), 0)
    return core


def _apply_core(core: UbsCore, frames: list[bytes]) -> float:
    decoded = [decode_frame(BALANCE_OPERATIONS, data) for data in frames]
    start = time.perf_counter()
    for frame in decoded:
        core.apply(frame, core.next_offset)
    return time.perf_counter() - start


def _apply_bytes(core: UbsCore, frames: list[bytes]) -> float:
    start = time.perf_counter()
    for data in frames:
        for output in core.apply(decode_frame(BALANCE_OPERATIONS, data), core.next_offset):
            encode_frame(core.source, output.first_sequence, output.records)
    return time.perf_counter() - start


def _best(snapshot: bytes, frames: list[bytes], with_bytes: bool) -> float:
    """Seconds of the fastest round, each on a core of its own."""
    run = _apply_bytes if with_bytes else _apply_core
    return min(run(UbsCore.restore(snapshot), frames) for _ in range(ROUNDS))


def _reports(core: UbsCore, orders: list[bytes]) -> list[MatchReport]:
    """What a matcher reports on these orders; leaves the core with all of them open."""
    engine, reports = MatcherEngine(0, 1), []
    for data in orders:
        for output in core.apply(decode_frame(BALANCE_OPERATIONS, data), core.next_offset):
            if output.partition.topic == ORDERS:
                forwarded = decode_frame(ORDERS, encode_frame(core.source, output.first_sequence, output.records))
                for back in engine.apply(forwarded, engine.next_offset):
                    reports += back.records if back.partition.topic == BALANCE_OPERATIONS else []
    return reports


def _bytes_per_open_order(snapshot: bytes, orders: list[bytes]) -> float:
    core = UbsCore.restore(snapshot)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    _apply_bytes(core, orders)
    core.state.events, core.state.forwards = [], {}
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / ORDERS_PLACED


def main() -> None:
    """Measure and print."""
    funded = _funded_core().snapshot()
    numbers = range(1, ORDERS_PLACED + 1)
    resting = _frames([_place(n, Side.Buy, 1000 + n % 50) for n in numbers])
    crossing = _frames([_place(n, Side.Buy if n % 2 else Side.Sell, 1000) for n in numbers])

    core = UbsCore.restore(funded)
    _apply_bytes(core, resting)
    all_open = core.snapshot()
    cancels = _frames([CancelOrder(n, T0, 1 + n % USERS, n) for n in numbers])

    core = UbsCore.restore(funded)
    matched = _reports(core, crossing)
    all_crossed, reports = core.snapshot(), _frames(matched, "matcher-0", 1)
    trades = sum(len(report.trades) for report in matched)

    table = Table(title=f"ubscore, one shard, frames of {FRAME} records")
    for column in ("", "records", "core /s", "with bytes /s"):
        table.add_column(column, justify="left" if not column else "right")
    for name, snapshot, frames, count in (
        ("place orders that rest", funded, resting, ORDERS_PLACED),
        ("settle trades (two sides, both closed)", all_crossed, reports, trades),
        ("accept cancels", all_open, cancels, ORDERS_PLACED),
    ):
        speeds = [f"{count / _best(snapshot, frames, with_bytes):,.0f}" for with_bytes in (False, True)]
        table.add_row(name, f"{count:,}", *speeds)
    console = Console()
    console.print(table)
    memory = _bytes_per_open_order(funded, resting)
    console.print(f"{memory:,.0f} bytes an open order, with its client order id remembered")
    console.print(f"{len(all_open) / ORDERS_PLACED:,.0f} bytes an open order in a snapshot")


if __name__ == "__main__":
    main()
