"""The rows of the operations view, from what processes say, and how often they are asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.adapters.internal.neighbours import Told
from services.gateway.operations import KEPT_S, WINDOW_S, Rounds
from services.gateway.operations_rows import CoreRow, LagRow, LatencyRow, OperationsAnswer, look, rows
from tests.support.aio import run_async

GATEWAY = """
# HELP exchange_build_info 1.
# TYPE exchange_build_info gauge
exchange_build_info{python="3.11.2",version="0.1.0"} 1.0
exchange_gateway_requests_total{method="GET",route="/api/depth",status="200"} %d
exchange_gateway_requests_total{method="POST",route="/api/orders",status="200"} 10
exchange_gateway_refused_total{code="-1002",reject=""} 3.0
exchange_gateway_refused_total{code="-2010",reject="INSUFFICIENT_BALANCE"} 7.0
exchange_gateway_commands_in_flight 2.0
exchange_lag_frames{partition="0",reader="gateway",topic="balance.events"} 1.0
process_start_time_seconds 1.5e+09
process_resident_memory_bytes 1.048576e+06
"""
CORE = """
exchange_core_active{source="matcher-0"} %d
exchange_snapshot_age_seconds{source="matcher-0"} 12.5
exchange_journal_bytes{source="matcher-0"} 4096.0
exchange_journal_flush_seconds_bucket{le="0.001",source="matcher-0"} %d
exchange_journal_flush_seconds_bucket{le="0.01",source="matcher-0"} 100.0
exchange_journal_flush_seconds_bucket{le="+Inf",source="matcher-0"} 100.0
exchange_journal_flush_seconds_count{source="matcher-0"} 100.0
exchange_lag_frames{partition="0",reader="matcher-0",topic="orders"} 4.0
exchange_trades_total{symbol="BTC_USDT"} 5.0
"""
HISTORY = """
exchange_freshness_seconds_bucket{le="0.1",reader="order_history",topic="engine.outputs"} 10.0
exchange_freshness_seconds_bucket{le="+Inf",reader="order_history",topic="engine.outputs"} 10.0
exchange_freshness_seconds_count{reader="order_history",topic="engine.outputs"} 10.0
exchange_lag_frames{partition="0",reader="order_history",topic="engine.outputs"} 0.0
exchange_lag_frames{partition="0",reader="order_history",topic="balance.events"} 2000.0
"""

RUNS = {"gateway-0": "running"}
TOLD = [
    Told("gateway-0", "", ready=True, components=RUNS, metrics=GATEWAY % 90),
    Told(
        "matcher-0",
        "http://m:1",
        ready=True,
        components={"matcher-0": "running", "role": "active"},
        metrics=CORE % (1, 100),
    ),
    Told("matcher-0-standby", "http://s:1", ready=True, components={"role": "standby"}, metrics=CORE % (0, 0)),
    Told("settlement-0", "http://t:1", silent="Connection refused"),
    Told(
        "order-history-0",
        "http://o:1",
        ready=False,
        components={"order-history-0": "waiting for the store", "role": "x", "other": "running"},
        metrics=HISTORY,
    ),
]


def made(told: Sequence[Told] = TOLD, before: Sequence[Told] = (), seconds: float = 10) -> OperationsAnswer:
    return rows(True, told, [look(one, 0) for one in before], [look(one, seconds) for one in told])


def test_every_process_has_a_row_and_says_why_it_is_not_well() -> None:
    found = {row.name: (row.state, row.says) for row in made().processes}
    assert found == {
        "gateway-0": ("ready", ""),
        "matcher-0": ("ready", ""),
        "matcher-0-standby": ("ready", ""),
        "settlement-0": ("does not answer", "Connection refused"),
        "order-history-0": ("not ready", "order-history-0: waiting for the store"),
    }
    gateway = made().processes[0]
    assert (gateway.version, gateway.memory_bytes, gateway.started_ms) == ("0.1.0", 1 << 20, 1_500_000_000_000)
    silent = made().processes[3]
    assert (silent.version, silent.memory_bytes, silent.started_ms) == (None, None, None)


def test_cores_are_listed_by_instance_with_their_own_figures() -> None:
    active, standby = made().cores
    assert active == CoreRow("matcher-0", "matcher-0", "active", 12.5, 4096, 0.00099)
    assert (standby.process, standby.role) == ("matcher-0-standby", "standby")
    assert standby.flush_p99_seconds is not None
    assert standby.flush_p99_seconds > 0.009


def test_lag_has_a_row_for_every_reader_and_partition() -> None:
    assert made().lag == [
        LagRow("gateway-0", "gateway", "balance.events", 0, 1),
        LagRow("matcher-0", "matcher-0", "orders", 0, 4),
        LagRow("matcher-0-standby", "matcher-0", "orders", 0, 4),
        LagRow("order-history-0", "order_history", "engine.outputs", 0, 0),
        LagRow("order-history-0", "order_history", "balance.events", 0, 2000),
    ]


def test_what_a_standby_repeats_is_counted_once() -> None:
    assert made().trades == {"BTC_USDT": 5}


def test_refusals_are_the_most_frequent_first() -> None:
    assert [(row.code, row.reject, row.count) for row in made().refused] == [
        (-2010, "INSUFFICIENT_BALANCE", 7),
        (-1002, "", 3),
    ]


def test_rates_and_latencies_are_of_the_time_between_two_looks() -> None:
    first = made()
    assert (first.flow.requests_per_second, first.flow.requests, first.flow.commands_in_flight) == (None, 100, 2)
    (fresh,) = first.latencies
    assert fresh == LatencyRow("in the store: order_history", 0.05, 0.099)
    again = [Told("gateway-0", "", ready=True, components=RUNS, metrics=GATEWAY % 140), *TOLD[1:]]
    second = made(again, TOLD)
    assert second.flow.requests_per_second == 5
    # Nothing became of orders between the two.
    assert second.latencies == [LatencyRow("in the store: order_history", None, None)]


@dataclass
class Exchange:
    """Who is asked."""

    now_s: float = 100.0
    asked: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: str = ""

    async def ask(self) -> list[Told]:
        self.asked += 1
        await self.let_go.wait()
        return [Told("gateway-0", "", ready=True, metrics=self.metrics or GATEWAY % (self.now_s - 100))]

    def rounds(self) -> Rounds:
        return Rounds(self.ask, whole=True, now_s=lambda: self.now_s)


@run_async
async def test_many_who_look_at_once_cost_one_round() -> None:
    exchange = Exchange()
    rounds = exchange.rounds()
    lookers = [asyncio.create_task(rounds.newest()) for _ in range(50)]
    await asyncio.sleep(0)
    lookers[0].cancel()
    exchange.let_go.set()
    answers = await asyncio.gather(*lookers[1:])
    assert all(one is answers[0] for one in answers)
    assert await rounds.newest() is answers[0]
    assert exchange.asked == 1
    exchange.now_s += KEPT_S + 0.1
    assert await rounds.newest() is not answers[0]
    assert exchange.asked == 2


@run_async
async def test_rates_are_of_the_last_minute() -> None:
    exchange = Exchange()
    exchange.let_go.set()
    rounds = exchange.rounds()
    for _ in range(100):
        exchange.now_s += 2
        newest = await rounds.newest()
    # A request a second is what it counts.
    assert newest.flow.requests_per_second == 1
    exchange.now_s += WINDOW_S * 2
    assert (await rounds.newest()).flow.requests_per_second is None


@run_async
async def test_who_says_what_is_no_metrics_is_silent() -> None:
    exchange = Exchange(metrics="process_start_time_seconds one two three\n")
    exchange.let_go.set()
    (row,) = (await exchange.rounds().newest()).processes
    assert row.state == "does not answer"
    assert "cannot be read" in row.says


@run_async
async def test_round_that_failed_is_not_the_answer_for_ever() -> None:
    exchange = Exchange()
    failures = [ValueError("once")]

    async def ask() -> list[Told]:
        if failures:
            raise failures.pop()
        return await exchange.ask()

    exchange.let_go.set()
    rounds = Rounds(ask, whole=True, now_s=lambda: exchange.now_s)
    with pytest.raises(ValueError, match="once"):
        await rounds.newest()
    exchange.now_s += KEPT_S + 0.1
    assert (await rounds.newest()).processes[0].state == "ready"
