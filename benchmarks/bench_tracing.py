"""What traces cost: the processor time of the whole local exchange for one order over HTTP, without traces and with.

Processor time, because other work on the machine disturbs it less than the clock. One exchange for each share of
sampled requests, all at once, each idle while another one is under load; rounds take turns, so that slow moments hit
all. A receiver of OTLP in this process takes the spans.

Run it with `python -m benchmarks.bench_tracing [REQUESTS]`. It prints, and judges nothing.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.bench_http import BUYER, SELLER, orders
from benchmarks.http_load import Load, drive
from services.demo.client import Api
from tests.support.exchange_process import ExchangeProcess
from tests.support.otlp import Receiver

CONNECTIONS: Final = 64
ROUNDS: Final = 5
RATIOS: Final = (None, "0", "0.01", "0.1", "1")
_SETTLE_SECONDS: Final = 3.0
"""At most, after a round, until rows are written and spans are sent: that is work too."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Target(NamedTuple):
    """An exchange. ratio: of sampled requests; None: no traces."""

    ratio: str | None
    process: ExchangeProcess
    tokens: dict[int, str]


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    each = max(CONNECTIONS, requests // ROUNDS)
    cost: dict[str | None, list[float]] = {ratio: [] for ratio in RATIOS}
    loads: dict[str | None, list[Load]] = {ratio: [] for ratio in RATIOS}
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver("grpc"))
        targets = [stack.enter_context(exchange(ratio, receiver.url)) for ratio in RATIOS]
        for target in targets:
            _round(target, each)
        for number in range(ROUNDS):
            for target in targets[number % 2 * 4 :: 1 - number % 2 * 2]:
                microseconds, load = _round(target, each)
                cost[target.ratio].append(microseconds)
                loads[target.ratio].append(load)
        show(cost, loads, len(receiver.spans))


def _round(target: Target, requests: int) -> tuple[float, Load]:
    """Microseconds of processor time for each order, and what the sender saw."""
    before = _processor_seconds(target.process.process.pid)
    load = uvloop.run(drive(target.process.port, CONNECTIONS, requests, orders(target.tokens, "RESULT")))
    time.sleep(min(_SETTLE_SECONDS, requests / 1_000))
    return (_processor_seconds(target.process.process.pid) - before) / requests * 1e6, load


@contextmanager
def exchange(ratio: str | None, url: str) -> Iterator[Target]:
    """A fresh demo exchange."""
    with tempfile.TemporaryDirectory(prefix="bench-tracing-") as folder:
        process = ExchangeProcess(Path(folder) / "data")
        telemetry = "EXCHANGE_TELEMETRY__"
        traced = {
            f"{telemetry}OTLP_ENDPOINT": url,
            f"{telemetry}TRACE_SAMPLE_RATIO": ratio or "",
            f"{telemetry}SLOW_ORDER": "60s",
        }
        process.start(**({} if ratio is None else traced))
        try:
            process.wait_ready()
            api = Api(process.url, process.data_dir)
            yield Target(ratio, process, {user: api.token(user) for user in (BUYER, SELLER)})
            api.close()
        finally:
            process.end()


def _processor_seconds(pid: int) -> float:
    """User and system time of a process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def show(cost: dict[str | None, list[float]], loads: dict[str | None, list[Load]], spans: int) -> None:
    """The table."""
    table = Table(title=f"Traces: the local exchange, {CONNECTIONS} connections, {spans} spans received")
    for heading in ("sampled", "processor µs/order", "more", "orders/s", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    off = statistics.median(cost[None])
    for ratio, microseconds in cost.items():
        median = statistics.median(microseconds)
        table.add_row(
            "no traces" if ratio is None else ratio,
            f"{median:.0f}",
            f"{100 * (median / off - 1):+.1f} %",
            f"{statistics.median(load.rate for load in loads[ratio]):.0f}",
            f"{statistics.median(load.percentile(0.5) for load in loads[ratio]):.1f}",
            f"{statistics.median(load.percentile(0.99) for load in loads[ratio]):.1f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
