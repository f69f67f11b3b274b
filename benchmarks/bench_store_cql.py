"""Order history into a real database that speaks CQL, beside what the bare driver reaches on the same kind of rows.

First at a steady rate, batches as the shell makes them (what came while one was written is the next), while two clients
query; then as fast as it goes; then the bare driver: the same batches, encoded before, without our store between; and
one row a statement. The database runs on this machine, and every figure is shared with it.

Run it with `python -m benchmarks.bench_store_cql [SECONDS] [EVENTS_A_SECOND]`. It prints, and judges nothing.
"""

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter, process_time, time
from typing import Any, Final, NamedTuple

import uvloop
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import BatchStatement, BatchType
from rich.console import Console
from rich.table import Table

from benchmarks.order_rows import USERS, OrderRows
from services.adapters.cql.batches import Batch, batches
from services.adapters.cql.driver import make_cluster
from services.adapters.cql.encoding import delete_text, insert_text
from services.adapters.cql.migrations import apply_schema
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from services.adapters.cql.tables import TABLES
from services.adapters.cql.writes import history_phases
from services.adapters.ports import HistoryBatch
from services.domain.errors import StoreError
from services.shell.projection_shell import LINGER_SECONDS, MAX_RECORDS
from tests.real.database import Database

SECONDS: Final = 120.0
RATE: Final = 10_000
WARM_UP_S: Final = 5.0
AS_FAST_AS_IT_GOES: Final = 1e6
BARE_BATCHES: Final = 6
"""Of MAX_RECORDS events; they are encoded before, and take memory."""
QUERIES_EVERY_S: Final = 0.05
ROW_SECONDS: Final = 3.0
"""How long single statements are tried: their rate does not change."""


class Written(NamedTuple):
    """What a run of the store did. Times in seconds, of each write_history, and of each batch's oldest event."""

    events: int
    rows: int
    seconds: float
    cpu: float
    writes: list[float]
    freshness: list[float]


async def _write(store: CqlStore, rows: OrderRows, seconds: float, rate: float) -> Written:
    """Events come at `rate`; each batch takes those that are there, up to a shell's limit."""
    start, cpu = perf_counter(), process_time()
    taken, written, writes, fresh = 0, 0, list[float](), list[float]()
    writing: asyncio.Task[None] | None = None

    async def write(batch: HistoryBatch, oldest: float) -> None:
        began = perf_counter()
        await store.write_history(batch)
        writes.append(perf_counter() - began)
        fresh.append(perf_counter() - oldest)

    while (now := perf_counter() - start) < seconds:
        count = min(int(now * rate) - taken, MAX_RECORDS)
        if count < 1:
            await asyncio.sleep(LINGER_SECONDS)
            continue
        oldest = start + (taken + 1) / rate
        batch = rows.batch(count)
        written += sum(len(part) for part in batch[:-1])
        taken += count
        # As the shell does: the next batch is made while this one is written.
        if writing is not None:
            await writing
        writing = asyncio.create_task(write(batch, oldest))
        await asyncio.sleep(LINGER_SECONDS if count < MAX_RECORDS else 0)
    if writing is not None:
        await writing
    return Written(taken, written, perf_counter() - start, process_time() - cpu, writes, fresh)


async def _ask(ask: Callable[[int], Awaitable[Sequence[Any]]], times: list[float]) -> None:
    """A client's query every now and then, about one user after the other, until cancelled."""
    user = 0
    while True:
        user += 1
        began = perf_counter()
        await ask(1 + user % USERS)
        times.append(perf_counter() - began)
        await asyncio.sleep(QUERIES_EVERY_S)


def _encoded(rows: OrderRows, count: int, settings: CqlSettings) -> list[list[Batch]]:
    """The requests of so many batches of MAX_RECORDS events, ready to be sent."""
    made = []
    for _ in range(count):
        phases = history_phases(rows.batch(MAX_RECORDS))
        made.append([batch for phase in phases for batch in batches(phase, settings.max_batch_bytes)])
    return made


def _bare_batches(session: Session, ids: dict[tuple[str, bool], bytes], requests: Iterable[Batch], ahead: int) -> float:
    """Seconds that the driver alone takes to have them all durable, `ahead` of them under way."""
    slots, failed = threading.Semaphore(ahead), list[BaseException]()

    def fail(error: BaseException) -> None:
        failed.append(error)
        slots.release()

    start = perf_counter()
    for request in requests:
        statement = BatchStatement(BatchType.LOGGED if request.atomic else BatchType.UNLOGGED)
        statement._statements_and_parameters = [(True, ids[one.table, one.deletes], one.values) for one in request[0]]
        slots.acquire()
        session.execute_async(statement).add_callbacks(lambda _: slots.release(), fail)
    for _ in range(ahead):
        slots.acquire()
    if failed:
        raise StoreError(f"the bare driver failed: {failed[0]}") from failed[0]
    return perf_counter() - start


def _bare_rows(session: Session, prepared: dict[tuple[str, bool], Any], rows: OrderRows, seconds: float) -> float:
    """Events a second when every row is a statement of its own, as a program would first be written."""
    start, events = perf_counter(), 0
    while perf_counter() - start < seconds:
        for phase in history_phases(rows.batch(500)):
            for table in {write.table for write in phase}:
                for deletes in (False, True):
                    values = [
                        (write.timestamp, *write.key)
                        if deletes
                        else (*write.key, *(write.values or ()), write.timestamp)
                        for write in phase
                        if write.table == table and (write.values is None) == deletes
                    ]
                    if values:
                        execute_concurrent_with_args(session, prepared[table, deletes], values, concurrency=100)
        events += 500
    return events / (perf_counter() - start)


class _Bare:
    """What the driver does without us."""

    def __init__(self, settings: CqlSettings) -> None:
        self._cluster = make_cluster(settings)
        self._settings = settings
        self._session = self._cluster.connect(settings.keyspace)
        texts = {(table, deletes): make(table) for table in TABLES for deletes, make in _TEXTS}
        self._prepared = {key: self._session.prepare(text) for key, text in texts.items()}

    def batches_per_second(self, rows: OrderRows, count: int) -> float:
        """Events a second, of batches that were encoded before."""
        requests = [request for batch in _encoded(rows, count, self._settings) for request in batch]
        ids = {key: prepared.query_id for key, prepared in self._prepared.items()}
        took = _bare_batches(self._session, ids, requests, self._settings.max_writes)
        return count * MAX_RECORDS / took

    def rows_per_second(self, rows: OrderRows) -> float:
        return _bare_rows(self._session, self._prepared, rows, ROW_SECONDS)

    def close(self) -> None:
        self._cluster.shutdown()


_TEXTS: Final = ((False, insert_text), (True, delete_text))


def _cpu_of(database: Database) -> float:
    """Seconds that its process has used."""
    fields = Path(f"/proc/{database.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(database: Database, settings: CqlSettings, seconds: float, rate: float) -> None:
    await apply_schema(settings)
    now_ms = int(time() * 1000)
    store = CqlStore(settings)
    # A server that has just started is slow: its compiler has seen nothing yet.
    await _write(store, OrderRows(1 + 9 * USERS, now_ms), WARM_UP_S, rate)

    active, history = list[float](), list[float]()
    asking = [
        asyncio.create_task(_ask(lambda user: store.active_orders(user, None), active)),
        asyncio.create_task(_ask(lambda user: store.order_history(user, None, 0, 2 * now_ms, 100, None), history)),
    ]
    used = _cpu_of(database)
    steady = await _write(store, OrderRows(1, now_ms), seconds, rate)
    used = _cpu_of(database) - used
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    fastest = await _write(store, OrderRows(1 + USERS, now_ms), seconds / 2, AS_FAST_AS_IT_GOES)
    await store.close()

    bare = _Bare(settings)
    bare_batches = bare.batches_per_second(OrderRows(1 + 2 * USERS, now_ms), BARE_BATCHES)
    bare_rows = bare.rows_per_second(OrderRows(1 + 3 * USERS, now_ms))
    bare.close()
    _print_steady(steady, active, history, rate, used)
    _print_ratios(fastest.events / fastest.seconds, bare_batches, bare_rows)


def _milliseconds(times: list[float]) -> tuple[str, str]:
    """The middle one, and the one that 99 of 100 do not exceed."""
    ordered = sorted(times)
    return tuple(f"{ordered[int(len(ordered) * share)] * 1000:,.1f}" for share in (0.5, 0.99))  # type: ignore[return-value]


def _print_steady(run: Written, active: list[float], history: list[float], rate: float, database_s: float) -> None:
    speed = run.events / run.seconds
    title = (
        f"{speed:,.0f} order events/s for {run.seconds:.0f} s ({speed / rate:.0%} of the {rate:,.0f} asked), "
        f"{USERS:,} users, {run.rows / run.events:.1f} rows an event\n"
        f"CPU an event: database {1e6 * database_s / run.events:.0f} µs, store {1e6 * run.cpu / run.events:.0f} µs"
    )
    table = Table(title=title)
    for column in ("", "times", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if not column else "right")
    for name, times in (
        (f"write_history, {run.events / len(run.writes):,.0f} events on average", run.writes),
        ("from an event to its rows being durable (the oldest of each batch)", run.freshness),
        ("active orders of a user, meanwhile", active),
        ("history of 100 orders of a user, meanwhile", history),
    ):
        table.add_row(name, f"{len(times):,}", *_milliseconds(times))
    Console(width=120).print(table)


def _print_ratios(ours: float, bare_batches: float, bare_rows: float) -> None:
    table = Table(title="as fast as it goes")
    for column in ("", "order events/s", "ours to it"):
        table.add_column(column, justify="left" if not column else "right")
    for name, speed in (
        ("write_history, batches made as it goes", ours),
        ("bare driver, the same requests made before", bare_batches),
        ("bare driver, one row a statement, 100 at one time", bare_rows),
    ):
        table.add_row(name, f"{speed:,.0f}", f"{ours / speed:.2f}")
    Console(width=120).print(table)


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else RATE
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder))
        try:
            database.start()
            settings = CqlSettings(contact_points=(database.host,), port=database.port, request_timeout_s=20.0)
            uvloop.run(_measure(database, settings, seconds, rate))
        finally:
            database.end()


if __name__ == "__main__":
    main()
