"""What the metrics cost where every order passes: cores and projections with and without them. The goal is below 3 %.

First the whole local pipeline, from the log to the store, by the CPU time of its process. Then its parts alone, without
a disk and a log: frames are decoded and applied, what is said is encoded, rows are folded; there the share is larger.
Both ways run in turn, and of each the fastest round counts, so that what else the machine does falls out.

Run it with `python -m benchmarks.bench_metrics [COMMANDS]`. It prints, and judges nothing.
"""

import gc
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import uvloop
from prometheus_client import generate_latest
from rich.console import Console
from rich.table import Table

from benchmarks.bench_pipeline import MIXES, SETTINGS, USERS, fund, make_frames, measure
from services.adapters.metrics.core_meter import CoreMeter
from services.adapters.metrics.projection_meter import ProjectionMeter
from services.adapters.metrics.prometheus import Metrics
from services.adapters.ports import StoredFrame
from services.domain.core import Core, Output
from services.domain.instruments import SymbolSettings
from services.domain.messages import (
    CreateUser,
    SetAsset,
    SetPolicy,
    SetSymbol,
    TransferIn,
    UserUpdated,
    decode_frame,
    encode_frame,
)
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS
from services.gateway.metrics import GatewayMetrics
from services.gateway.outcomes import Outcome
from services.matcher.engine import MatcherEngine
from services.order_history.projection import OrderHistory
from services.runtime.local import LocalExchange
from services.settlement.postings import Postings
from services.shell.batch_watch import NobodyWatches
from services.ubscore.core import UbsCore

ROUNDS: Final = 7
PIPELINES: Final = 4
SIZES: Final = (500, 50, 5)
"""Commands a frame: what a busy gateway writes, and less busy ones."""
BATCH_FRAMES: Final = 4
_CALLS: Final = 50_000
_SYMBOL: Final = SymbolSettings("BTC_USDT", "BTC", "USDT", "0.01", "0.00001", "0", 1_000, 1_000)

Streams = dict[str, list[bytes]]
"""The frames of one exchange, by topic."""


class Cost(NamedTuple):
    """CPU seconds of one stage, and the records that went through it."""

    stage: str
    records: int
    without: float
    metered: float


def main() -> None:
    commands = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    console = Console()
    show_pipeline(console, commands)
    for size in SIZES:
        streams = make_streams(commands, size)
        show(console, size, commands, [compare(streams, *stage) for stage in STAGES])
    show_calls(console)


# The whole pipeline


def show_pipeline(console: Console, commands: int) -> None:
    frames = make_frames(commands, MIXES[1])
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * PIPELINES):
        metered = bool(number % 2)
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-metrics-"))
            if not metered:
                stack.enter_context(switched_off())
            seconds[metered].append(uvloop.run(_pipeline(frames, Path(folder))))
    table = Table(title=f"local pipeline: {commands:,} commands", title_justify="left")
    for column in ("CPU µs a command", "fastest", "slowest", "cost"):
        table.add_column(column, justify="left" if column.startswith("CPU") else "right")
    for metered, name in ((False, "without metrics"), (True, "with metrics")):
        fastest, slowest = min(seconds[metered]), max(seconds[metered])
        cost = f"{fastest / min(seconds[False]) - 1:+.1%}" if metered else ""
        table.add_row(name, f"{fastest / commands * 1e6:.1f}", f"{slowest / commands * 1e6:.1f}", cost)
    console.print(table)


async def _pipeline(frames: list[bytes], folder: Path) -> float:
    """CPU seconds of the process until all is stored."""
    exchange = LocalExchange(SETTINGS, folder)
    await exchange.start()
    try:
        await fund(exchange)
        return (await measure(exchange, frames)).process
    finally:
        await exchange.stop()


@contextmanager
def switched_off() -> Iterator[None]:
    """Nothing is counted while it lasts."""
    with ExitStack() as stack:
        for meter, names in (
            (CoreMeter, ("began", "passed", "flushed", "applied")),
            (ProjectionMeter, ("settlement_written", "history_written")),
        ):
            for name in names:
                stack.enter_context(patch.object(meter, name, _nothing))
        yield


def _nothing(*_: object) -> None:
    pass


# What goes through


def make_streams(commands: int, size: int) -> Streams:
    """What everybody reads while a gateway writes frames of `size` commands, each gone through before the next."""
    streams: Streams = defaultdict(list)
    ubscore, matcher = UbsCore(0, 1), MatcherEngine(0, 1)
    for records in (*_declarations(), *_commands(commands, size)):
        waiting = [encode_frame("gateway-bench", 0, records)]
        while waiting:
            for topic, frame in _said(ubscore, waiting.pop(0), streams):
                if topic == ORDERS:
                    reports = [data for to, data in _said(matcher, frame, streams) if to == BALANCE_OPERATIONS]
                    waiting += reports
    return streams


def _said(core: Core, data: bytes, streams: Streams) -> list[tuple[str, bytes]]:
    """Apply the next frame of a core's input; what it says to those who only read goes to the streams."""
    topic = core.input.topic
    offset = len(streams[topic])
    streams[topic].append(data)
    said = []
    for output in core.apply(decode_frame(topic, data), offset):
        frame = encode_frame(core.source, output.first_sequence, output.records)
        said.append((output.partition.topic, frame))
        if output.partition.topic in (BALANCE_EVENTS, ENGINE_OUTPUTS):
            streams[output.partition.topic].append(frame)
    return said


def _declarations() -> Iterator[list[Any]]:
    yield [
        SetPolicy(0, 1, 86_400_000, 86_400_000, 1_000_000),
        SetAsset(0, 1, "BTC", 8),
        SetAsset(0, 1, "USDT", 8),
        SetSymbol(0, 1, _SYMBOL),
        *(CreateUser(0, 1, user) for user in range(1, USERS + 1)),
    ]
    for asset, amount in (("BTC", 10**13), ("USDT", 10**15)):
        yield [TransferIn(0, 1, f"{asset}-{user}", user, asset, amount) for user in range(1, USERS + 1)]


def _commands(commands: int, size: int) -> Iterator[list[Any]]:
    for data in make_frames(commands, MIXES[1]):
        records = decode_frame(BALANCE_OPERATIONS, data).records
        for start in range(0, len(records), size):
            yield records[start : start + size]


# The stages: each does all of its work once, metered or not, and returns how many records that was


def _core(make: Callable[[], Core], streams: Streams, metered: bool) -> int:
    core, count = make(), 0
    frames = streams[core.input.topic]
    meter = CoreMeter(Metrics("bench"), core.source, 0, int(core.source.startswith("ubscore")))
    watch = meter if metered else NobodyWatches()
    for start in range(0, len(frames), BATCH_FRAMES):
        batch = [StoredFrame(start + at, data) for at, data in enumerate(frames[start : start + BATCH_FRAMES])]
        watch.began(batch)
        watch.passed("journal")
        said: list[Output] = []
        for stored in batch:
            frame = decode_frame(core.input.topic, stored.data)
            outputs = core.apply(frame, stored.offset)
            said += outputs
            if metered:
                meter.applied(frame, stored.offset, outputs)
            count += len(frame.records)
        watch.passed("apply")
        for output in said:
            encode_frame(core.source, output.first_sequence, output.records)
        watch.passed("publish")
    return count


def _settlement(streams: Streams, metered: bool) -> int:
    meter, postings, count = ProjectionMeter(Metrics("bench")), Postings(), 0
    for offset, data in enumerate(streams[BALANCE_EVENTS], 1):
        frame = decode_frame(BALANCE_EVENTS, data)
        postings.add(frame.source, frame.first_sequence, frame.records)
        count += len(frame.records)
        if offset % BATCH_FRAMES == 0:
            batch = postings.finish({}, ProgressRow("settlement", BALANCE_EVENTS, 0, offset, {}))
            if metered:
                meter.settlement_written(batch)
    return count


def _history(streams: Streams, metered: bool) -> int:
    meter, history, count = ProjectionMeter(Metrics("bench")), OrderHistory(0), 0
    for offset, data in enumerate(streams[ENGINE_OUTPUTS], 1):
        frame = decode_frame(ENGINE_OUTPUTS, data)
        history.add(frame.source, frame.first_sequence, frame.records)
        count += len(frame.records)
        if offset % BATCH_FRAMES == 0:
            batch = history.finish({}, ProgressRow("order_history", ENGINE_OUTPUTS, 0, offset, {}))
            if metered:
                meter.history_written(batch)
    return count


Stage = tuple[str, Callable[[Streams, bool], int]]
STAGES: Final[tuple[Stage, ...]] = (
    ("ubscore", lambda streams, metered: _core(lambda: UbsCore(0, 1), streams, metered)),
    ("matcher", lambda streams, metered: _core(lambda: MatcherEngine(0, 1), streams, metered)),
    ("settlement", _settlement),
    ("order history", _history),
)


def compare(streams: Streams, name: str, work: Callable[[Streams, bool], int]) -> Cost:
    """The fastest round of each way."""
    best = {False: float("inf"), True: float("inf")}
    records = 0
    for number in range(2 * ROUNDS):
        metered = bool(number % 2)
        gc.collect()
        gc.disable()
        begin = thread_time()
        records = work(streams, metered)
        best[metered] = min(best[metered], thread_time() - begin)
        gc.enable()
    return Cost(name, records, best[False], best[True])


def show(console: Console, size: int, commands: int, costs: list[Cost]) -> None:
    table = Table(
        title=f"{commands:,} commands in frames of {size}, {BATCH_FRAMES} frames a batch", title_justify="left"
    )
    table.add_column("stage")
    for column in ("records", "µs a record without", "with metrics", "cost"):
        table.add_column(column, justify="right")
    without, metered = sum(cost.without for cost in costs), sum(cost.metered for cost in costs)
    whole = Cost("all of it", sum(cost.records for cost in costs), without, metered)
    for cost in (*costs, whole):
        per_record = 1e6 / cost.records
        table.add_row(
            cost.stage,
            f"{cost.records:,}",
            f"{cost.without * per_record:.2f}",
            f"{cost.metered * per_record:.2f}",
            f"{cost.metered / cost.without - 1:+.1%}",
        )
    console.print(table)


# Calls that come once a request or a scrape


def show_calls(console: Console) -> None:
    metrics = Metrics("bench")
    gateway = GatewayMetrics(metrics)
    command, outcome = CreateUser(1, 2, 3), Outcome({0: UserUpdated(1, 2, 3, False)}, {})

    def request() -> None:
        gateway.answered("POST", "/api/orders", 200, 0.01)
        gateway.ended(command, 0.01, outcome)
        gateway.written(1, 200, 0.001)

    table = Table(title="once a request, and once a scrape", title_justify="left")
    table.add_column("what")
    table.add_column("µs", justify="right")
    table.add_row("a gateway's request with a command, alone in its frame", f"{_seconds(request, _CALLS) * 1e6:.2f}")
    scrape = _seconds(lambda: generate_latest(metrics.registry), 200)
    table.add_row("a scrape of a gateway that had one route", f"{scrape * 1e6:,.0f}")
    console.print(table)


def _seconds(call: Callable[[], object], times: int) -> float:
    begin = perf_counter()
    for _ in range(times):
        call()
    return (perf_counter() - begin) / times


if __name__ == "__main__":
    main()
