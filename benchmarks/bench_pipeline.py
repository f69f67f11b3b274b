"""The whole local pipeline, durable, in frames: log, ubscore, matcher, settlement, order_history in one process.

Frames of commands, encoded before, are appended to balance.operations as a gateway would. Measured are the time until
ubscore has settled everything, the time until the store has it too, what the event loop's thread was busy with, and
how fast a start replays the same commands from the journals after a crash.

Run it with `python -m benchmarks.bench_pipeline [COMMANDS]`. It prints, and judges nothing.
"""

import asyncio
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any, Final, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from services.adapters.ports import Append
from services.config import AssetEntry, JournalSettings, Settings, SymbolEntry, UbscoreSettings
from services.domain.messages import CancelOrder, CreateUser, PlaceOrder, TransferIn, encode_frame
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, TopicPartition
from services.runtime.local import LocalExchange
from services.runtime.process import tune_process
from services.shell import core_shell, output_frames
from services.shell.projection_shell import ProjectionShell

FRAME_RECORDS: Final = 500
USERS: Final = 1_000
AHEAD_FRAMES: Final = 16
"""How far the generator may be ahead of ubscore: a gateway's bound on what is in flight."""
_OPERATIONS: Final = TopicPartition(BALANCE_OPERATIONS, 0)
_POLL_SECONDS: Final = 0.001
_MIDDLE_TICKS: Final = 5_000_000
_DEPTH_TICKS: Final = 2_000
_WEEK_MS: Final = 7 * 86_400_000
SETTINGS: Final = Settings(
    # A crash right before the first snapshot: a start has to replay everything.
    journal=JournalSettings(snapshot_interval_ms=_WEEK_MS),
    ubscore=UbscoreSettings(max_open_orders=1_000_000),
    assets=[AssetEntry("BTC", 8), AssetEntry("USDT", 8)],
    symbols=[SymbolEntry("BTC_USDT", "BTC", "USDT", "0.01", "0.00001", "0", 1_000, 1_000)],
)


class Mix(NamedTuple):
    """Shares of commands that cancel and that take liquidity; the others come to rest. taker_lots: a taker's most."""

    name: str
    cancels: float
    takers: float
    taker_lots: int


MIXES: Final = (
    Mix("mixed as NASDAQ's sample file: 39 % cancels, 10 % takers", 0.39, 0.10, 300),
    Mix("heavy trading: 20 % cancels, 30 % takers of whole queues", 0.20, 0.30, 1_000),
)


class Live(NamedTuple):
    """Seconds since the first append. trades: how much matching there was. busy: CPU of the loop's thread by stage."""

    settled: float
    stored: float
    trades: int
    busy: dict[str, float]
    process: float
    """CPU seconds of the whole process: this thread and those that write log, journals and store."""


class Restart(NamedTuple):
    """Seconds of the replay, and what it replayed."""

    ubscore: float
    ubscore_frames: int
    matcher: float
    matcher_frames: int


def main() -> None:
    tune_process()
    commands = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for mix in MIXES:
        frames = make_frames(commands, mix)
        with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as folder:
            live, restart = uvloop.run(_run(frames, Path(folder)))
        show(commands, mix, live, restart)


async def _run(frames: list[bytes], folder: Path) -> tuple[Live, Restart]:
    data, crashed = folder / "data", folder / "crashed"
    data.mkdir()
    exchange = LocalExchange(SETTINGS, data)
    await exchange.start()
    try:
        await fund(exchange)
        live = await measure(exchange, frames)
        # Nothing is being written: the files are now what a crash would leave.
        await asyncio.to_thread(shutil.copytree, data, crashed)
    finally:
        await exchange.stop()
    return live, await _restart(crashed)


async def fund(exchange: LocalExchange) -> None:
    for first in range(1, USERS + 1, 100):
        users = range(first, first + 100)
        records: list[Any] = [CreateUser(0, 1, user) for user in users]
        for asset, amount in (("BTC", 10**13), ("USDT", 10**15)):
            records += [TransferIn(0, 1, f"{asset}-{user}", user, asset, amount) for user in users]
        await exchange.log.append([Append(_OPERATIONS, encode_frame("gateway-bench", 0, records))])
    await _until(lambda: _is_stored(exchange))


async def measure(exchange: LocalExchange, frames: list[bytes]) -> Live:
    busy = Stopwatch()
    busy.watch(exchange)
    begin, begin_thread, begin_process = perf_counter(), thread_time(), process_time()
    for frame in frames:
        await exchange.log.append([Append(_OPERATIONS, frame)])
        await _until(lambda: _is_near(exchange))
    await _until(lambda: _is_settled(exchange))
    settled = perf_counter() - begin
    await _until(lambda: _is_stored(exchange))
    stored = perf_counter() - begin
    process = process_time() - begin_process
    busy.seconds["everything else (event loop, asyncio, log and journal calls)"] = (
        thread_time() - begin_thread - sum(busy.seconds.values())
    )
    trades = await _count_trades(exchange)
    busy.release()
    return Live(settled, stored, trades, dict(busy.seconds), process)


async def _count_trades(exchange: LocalExchange) -> int:
    newest = await exchange.store.trades_by_symbol("BTC_USDT", 1, None)
    return newest[0].trade_id if newest else 0


async def _restart(folder: Path) -> Restart:
    """What `LocalExchange.start` does first, timed."""
    exchange = LocalExchange(SETTINGS, folder)
    begin = perf_counter()
    await exchange.ubscore.recover()
    ubscore = perf_counter() - begin
    begin = perf_counter()
    await exchange.matcher.recover()
    matcher = perf_counter() - begin
    await exchange.stop()
    return Restart(ubscore, exchange.ubscore.replayed_frames, matcher, exchange.matcher.replayed_frames)


async def _is_near(exchange: LocalExchange) -> bool:
    """Whether ubscore is so near to the generator that this may go on."""
    return await exchange.log.end(_OPERATIONS) - exchange.ubscore.core.next_offset <= AHEAD_FRAMES


async def _is_settled(exchange: LocalExchange) -> bool:
    shells = (exchange.ubscore, exchange.matcher)
    return all([shell.core.next_offset == await exchange.log.end(shell.core.input) for shell in shells])


async def _is_stored(exchange: LocalExchange) -> bool:
    stored = [shell.next_offset == await exchange.log.end(shell.partition) for shell in _projections(exchange)]
    return await _is_settled(exchange) and all(stored)


def _projections(exchange: LocalExchange) -> list[ProjectionShell[Any]]:
    return list(exchange.projections.values())


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110  (nobody announces it)
        await asyncio.sleep(_POLL_SECONDS)


class Stopwatch:
    """CPU seconds of the event loop's thread, by stage: the functions that do the work are wrapped while it runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._plain: list[tuple[Any, str, Any]] = []

    def watch(self, exchange: LocalExchange) -> None:
        self._wrap(exchange.ubscore.core, "apply", "ubscore: apply")
        self._wrap(exchange.matcher.core, "apply", "matcher: apply")
        self._wrap(core_shell, "decode_frame", "cores: decode")
        self._wrap(output_frames, "encode_frame", "cores: encode")
        for shell in _projections(exchange):
            name = {BALANCE_EVENTS: "balance.events", ENGINE_OUTPUTS: "engine.outputs"}[shell.partition.topic]
            self._wrap(shell._projection, "decode", "projections: decode")
            self._wrap(shell._projection, "add", f"{shell.reader}: fold {name}")

    def release(self) -> None:
        for owner, name, plain in reversed(self._plain):
            setattr(owner, name, plain)

    def _wrap(self, owner: Any, name: str, stage: str) -> None:
        plain = getattr(owner, name)
        seconds = self.seconds

        def timed(*arguments: Any) -> Any:
            begin = thread_time()
            try:
                return plain(*arguments)
            finally:
                seconds[stage] += thread_time() - begin

        self._plain.append((owner, name, plain))
        setattr(owner, name, timed)


def make_frames(commands: int, mix: Mix) -> list[bytes]:
    """Commands of `mix`, in frames as a gateway writes them."""
    chance = random.Random(3)
    records: list[PlaceOrder | CancelOrder] = []
    resting: list[PlaceOrder] = []
    for number in range(commands):
        kind = chance.random()
        if kind < mix.cancels and len(resting) > 1_000:
            # One of the recent orders; it may be gone already.
            target = resting.pop(-chance.randint(1, 1_000))
            records.append(CancelOrder(number + 1, 2 + number // 100, target.user_id, 0, target.cid))
        elif kind < mix.cancels + mix.takers:
            records.append(_order(chance, number, -_DEPTH_TICKS, mix.taker_lots, TimeInForce.IOC))
        else:
            order = _order(chance, number, chance.randint(1, _DEPTH_TICKS), 1_000, TimeInForce.GTC)
            resting.append(order)
            records.append(order)
    return [
        encode_frame("gateway-bench", 0, records[start : start + FRAME_RECORDS])
        for start in range(0, commands, FRAME_RECORDS)
    ]


def _order(chance: random.Random, number: int, away: int, lots: int, time_in_force: TimeInForce) -> PlaceOrder:
    """A limit order `away` ticks from the middle on its own side, of up to `lots`."""
    side = chance.choice((Side.Buy, Side.Sell))
    return PlaceOrder(
        number + 1,
        2 + number // 100,
        chance.randint(1, USERS),
        f"bench-{number:010d}",
        "BTC_USDT",
        side,
        OrderType.Limit,
        time_in_force,
        SelfTradePrevention.ExpireTaker,
        _MIDDLE_TICKS - away if side is Side.Buy else _MIDDLE_TICKS + away,
        chance.randint(1, lots),
    )


def show(commands: int, mix: Mix, live: Live, restart: Restart) -> None:
    """Print it all."""
    console = Console()
    console.rule(f"local pipeline: {commands:,} commands in frames of {FRAME_RECORDS}, {mix.name}")
    table = _table("how fast", "until", "seconds", "commands/s")
    table.add_row("settled in ubscore", f"{live.settled:.2f}", f"{commands / live.settled:,.0f}")
    table.add_row("settlement and order_history have stored it", f"{live.stored:.2f}", f"{commands / live.stored:,.0f}")
    table.caption = f"{live.trades:,} trades; every frame durable on the log and in both journals"
    console.print(table)
    table = _table("the event loop's thread until stored", "stage", "CPU seconds", "µs a command")
    for stage, seconds in sorted(live.busy.items(), key=lambda item: -item[1]):
        table.add_row(stage, f"{seconds:.2f}", f"{seconds / commands * 1e6:.1f}")
    table.add_section()
    loop = sum(live.busy.values())
    table.add_row("this thread", f"{loop:.2f}", f"{loop / commands * 1e6:.1f}")
    table.add_row("the whole process", f"{live.process:.2f}", f"{live.process / commands * 1e6:.1f}")
    console.print(table)
    table = _table("start after a crash, all from the journals", "core", "frames", "seconds", "commands/s", "× live")
    rate = commands / live.settled
    whole = restart.ubscore + restart.matcher
    rows = (("ubscore", restart.ubscore_frames, restart.ubscore), ("matcher", restart.matcher_frames, restart.matcher))
    for core, frames, seconds in (*rows, ("both", restart.ubscore_frames + restart.matcher_frames, whole)):
        replayed = commands / seconds
        table.add_row(core, f"{frames:,}", f"{seconds:.2f}", f"{replayed:,.0f}", f"{replayed / rate:.1f}")
    console.print(table)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


if __name__ == "__main__":
    main()
