"""The trace of one order through the local form, a real process, received as real OTLP."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from services.runtime.layout import STORE_FILE
from tests.support.exchange_process import ExchangeProcess
from tests.support.otlp import Receiver
from tests.tracing.one_order import TRACE_ID, UNSAMPLED, check, place, trade, whole_tree

SETTINGS = "EXCHANGE_TELEMETRY__"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    process = ExchangeProcess(tmp_path / "data")
    try:
        yield process
    finally:
        process.end()


def start(exchange: ExchangeProcess, receiver: Receiver, protocol: str = "grpc") -> None:
    exchange.start(
        **{
            f"{SETTINGS}OTLP_ENDPOINT": receiver.url,
            f"{SETTINGS}OTLP_PROTOCOL": protocol,
            f"{SETTINGS}TRACE_SAMPLE_RATIO": "0",
            f"{SETTINGS}SLOW_ORDER": "60s",
        }
    )
    exchange.wait_ready()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_local_order_is_one_tree_from_the_request_to_the_database(
    exchange: ExchangeProcess, protocol: Literal["grpc", "http"]
) -> None:
    with Receiver(protocol) as receiver:
        start(exchange, receiver, protocol)
        trade(exchange.url, exchange.data_dir)
        spans = whole_tree(receiver)
        check(receiver, spans, "sqlite", "sqlite", STORE_FILE)
        assert exchange.stop() == 0
    lines = [json.loads(line) for path in exchange.log_dir.iterdir() for line in path.read_text().splitlines()]
    answered = {line["cid"]: line["trace_id"] for line in lines if line["event"] == "order_answered"}
    assert answered == {"made": UNSAMPLED[3:35], "taken": TRACE_ID}
    traced = {(line["service"], line["event"]) for line in lines if line.get("trace_id") == TRACE_ID}
    assert traced == {
        ("gateway", "order_answered"),
        ("ubscore", "order_accepted"),
        ("ubscore", "trade_settled"),
        ("ubscore", "order_closed"),
        ("matcher", "command_matched"),
        ("settlement", "ledger_entry_stored"),
        ("order_history", "order_update_stored"),
    }


def test_local_killed_and_started_again_tells_nothing_twice(exchange: ExchangeProcess) -> None:
    with Receiver("grpc") as receiver:
        start(exchange, receiver)
        trade(exchange.url, exchange.data_dir)
        before = whole_tree(receiver)
        exchange.kill()
        start(exchange, receiver)
        place(exchange.url, exchange.data_dir, 1001, "Sell", "after", UNSAMPLED)
        assert exchange.stop() == 0
        assert receiver.trace(TRACE_ID) == before


def test_local_collector_away_trading_goes_on_and_the_end_is_soon(exchange: ExchangeProcess) -> None:
    with Receiver("grpc") as receiver:
        pass
    start(exchange, receiver)
    trade(exchange.url, exchange.data_dir)
    began = time.monotonic()
    assert exchange.stop() == 0
    assert time.monotonic() - began < 20
    told = [path.read_text() for path in exchange.log_dir.glob("traces.log.*")]
    assert [json.loads(line)["reason"] for text in told for line in text.splitlines()] == [
        f"{receiver.url} takes no spans: they are lost until it does"
    ]


def test_local_without_endpoint_loads_no_exporter(exchange: ExchangeProcess) -> None:
    exchange.start()
    exchange.wait_ready()
    maps = Path(f"/proc/{exchange.process.pid}/maps").read_text()
    assert "sqlite" in maps
    assert "grpc" not in maps
