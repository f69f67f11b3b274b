"""Metrics: what a scrape shows, each process for itself."""

import pytest
from prometheus_client import generate_latest

from services.adapters.metrics import Metrics
from services.domain.core import Output
from services.domain.messages import CreateUser, Frame, OrderRejected, Trade, TradeSettled, UserUpdated
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_EVENTS, TopicPartition


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"exchange_{name}", labels)


def rejected(code: Reject) -> OrderRejected:
    return OrderRejected(1, 2, 3, 1001, "c", "A_B", Side.Buy, OrderType.Limit, TimeInForce.GTC, 1, 1, 0, code)


def settled(symbol: str, base_amount: int) -> TradeSettled:
    return TradeSettled(0, 1, 2, symbol, Trade(1, 1, 1, Side.Buy, 1, 2, 3, 4, 0, 0), base_amount, 1, 0, 0, [])


def test_metrics_of_two_instances_are_apart() -> None:
    first, second = Metrics("1.0"), Metrics("2.0")
    first.watch("lag", "Lag.", lambda: 5.0)
    assert value(first, "build_info", version="1.0") == 1
    assert value(second, "build_info", version="1.0") is None
    assert value(second, "lag") is None


def test_metrics_watched_value_is_looked_up_at_each_scrape() -> None:
    metrics, now = Metrics("1"), [3.0]
    metrics.watch("lag_frames", "Lag.", lambda: now[0], service="settlement", partition="0")
    metrics.watch("lag_frames", "Lag.", lambda: 7.0, service="order_history", partition="0")
    assert value(metrics, "lag_frames", service="settlement", partition="0") == 3
    now[0] = 4.0
    assert value(metrics, "lag_frames", service="settlement", partition="0") == 4
    assert value(metrics, "lag_frames", service="order_history", partition="0") == 7


def test_metrics_watched_counter_is_a_counter() -> None:
    metrics = Metrics("1")
    metrics.watch("retries", "Retries.", lambda: 2.0, kind="counter", service="settlement")
    assert b'exchange_retries_total{service="settlement"} 2.0' in generate_latest(metrics.registry)


def test_metrics_name_with_other_labels_is_a_mistake_of_the_program() -> None:
    metrics = Metrics("1")
    metrics.watch("lag", "Lag.", lambda: 1.0, service="a")
    with pytest.raises(AssertionError, match="lag has the labels"):
        metrics.watch("lag", "Lag.", lambda: 1.0, shard="a")


def test_metrics_of_applied_frames_count_records_refusals_and_trades() -> None:
    metrics = Metrics("1")
    count = metrics.applied("ubscore", 0)
    frame = Frame(1, "gateway-a", 0, [CreateUser(1, 2, 3), CreateUser(1, 2, 4)])
    records = [
        UserUpdated(1, 2, 3, False),
        rejected(Reject.PRICE_BAND),
        rejected(Reject.PRICE_BAND),
        settled("A_B", 5),
        settled("A_B", 6),
        settled("C_D", 7),
    ]
    count(frame, 0, [Output(TopicPartition(BALANCE_EVENTS, 0), 1, records)])
    at = {"service": "ubscore", "shard": "0"}
    assert value(metrics, "records_total", direction="in", type="CreateUser", **at) == 2
    assert value(metrics, "records_total", direction="out", type="OrderRejected", **at) == 2
    assert value(metrics, "frame_records_sum", **at) == 2
    assert value(metrics, "rejected_total", code="PRICE_BAND") == 2
    assert value(metrics, "trades_total", symbol="A_B") == 2
    assert value(metrics, "traded_base_units_total", symbol="A_B") == 11
    assert value(metrics, "trades_total", symbol="C_D") == 1
