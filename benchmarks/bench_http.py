"""POST /api/orders over real HTTP, against an empty FastAPI endpoint with the same body in the same run.

Both servers are processes of their own with the same settings (uvicorn, uvloop, httptools, keep-alive); this process is
the load. RESULT answers when the order has been matched and settled, after five to seven flushes to disk, one
behind the other; ACK when the command is durable. Each order meets the one before, so that the book stays small.

Run it with `python -m benchmarks.bench_http [REQUESTS]`. It prints, and judges nothing.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.http_load import Load, drive, request
from services.demo.client import Api
from tests.support.exchange_process import ExchangeProcess, free_port

CONNECTIONS: Final = (1, 8, 64, 256)
BUYER: Final = 1001
SELLER: Final = 1002


class Row(NamedTuple):
    """One line of the table. connections: how many requests are being answered at one time."""

    what: str
    connections: int
    load: Load


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    rows: list[Row] = []
    with empty_endpoint() as port, exchange() as (own, tokens):
        for connections in CONNECTIONS:
            # The fewer at a time, the more each waits for the disk: a tenth of the requests says as much.
            number = requests if connections >= 64 else requests // 4 if connections > 1 else requests // 10
            for what, to, response in (
                ("empty", port, "RESULT"),
                ("RESULT", own, "RESULT"),
                ("ACK", own, "ACK"),
            ):
                load = uvloop.run(drive(to, connections, number, orders(tokens, response)))
                rows.append(Row(what, connections, load))
    show(rows)


@contextmanager
def exchange() -> Iterator[tuple[int, dict[int, str]]]:
    """A fresh demo exchange: its port, and the tokens of two users."""
    with tempfile.TemporaryDirectory(prefix="bench-http-") as folder:
        process = ExchangeProcess(Path(folder) / "data")
        process.start()
        try:
            process.wait_ready()
            api = Api(process.url, process.data_dir)
            yield process.port, {user: api.token(user) for user in (BUYER, SELLER)}
            api.close()
        finally:
            process.end()


@contextmanager
def empty_endpoint() -> Iterator[int]:
    """The yardstick's port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.empty_endpoint", str(port)])
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                break
            except httpx.TransportError:
                if process.poll() is not None:
                    raise
                time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


def orders(tokens: dict[int, str], response: str) -> Callable[[], bytes]:
    """Gives the next order: buys and sells at one price in turn, with client order ids that were never used."""
    numbers = count()
    run = time.time_ns() // 1_000_000

    def make() -> bytes:
        number = next(numbers)
        user, side = (BUYER, "Buy") if number % 2 else (SELLER, "Sell")
        body = {
            "cid": f"bench-{run}-{number}",
            "symbol": "BTC_USDT",
            "side": side,
            "order_type": "Limit",
            "price": "50000.00",
            "quantity": "0.001",
            "response": response,
        }
        return request(f"/api/orders?user_id={user}", json.dumps(body).encode(), tokens[user])

    return make


def show(rows: list[Row]) -> None:
    """Print them, with each rate's share of the empty endpoint's at the same number of connections."""
    table = Table(title="POST /api/orders", title_justify="left")
    for column in ("what", "at once", "per s", "p50 ms", "p95 ms", "p99 ms", "of empty", "refused"):
        table.add_column(column, justify="left" if column == "what" else "right")
    empty = {row.connections: row.load.rate for row in rows if row.what == "empty"}
    for what, connections, load in rows:
        if what == "empty":
            table.add_section()
        table.add_row(
            what,
            str(connections),
            f"{load.rate:,.0f}",
            *(f"{load.percentile(share):.2f}" for share in (0.5, 0.95, 0.99)),
            f"{load.rate / empty[connections]:.0%}",
            str(load.refused),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
