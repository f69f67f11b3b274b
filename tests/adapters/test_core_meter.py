"""What is measured of a core: records, refusals, volume, ages, and the stages of a batch."""

import time

from services.adapters.metrics.core_meter import AGES, CoreMeter, observe_ages
from services.adapters.metrics.prometheus import Distribution, Metrics
from services.adapters.ports import StoredFrame
from services.domain.core import Output
from services.domain.messages import CreateUser, Frame, MatchReport, OrderRejected, Trade, TradeSettled, UserUpdated
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_EVENTS, TopicPartition

EVENTS = TopicPartition(BALANCE_EVENTS, 0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"exchange_{name}", labels)


def rejected(code: Reject) -> OrderRejected:
    return OrderRejected(1, 2, 3, 1001, "c", "A_B", Side.Buy, OrderType.Limit, TimeInForce.GTC, 1, 1, 0, code)


def settled(symbol: str, base_amount: int, taker: int) -> TradeSettled:
    trade = Trade(1, 1, 1, Side.Buy, 1, 2, 3, taker, 0, 0)
    return TradeSettled(0, 1, 2, symbol, trade, base_amount, 10 * base_amount, 0, 0, [])


def test_core_meter_counts_records_and_refusals() -> None:
    metrics = Metrics("1")
    frame = Frame(1, "gateway-a", 0, [CreateUser(1, 2, 3), CreateUser(1, 2, 4)])
    records = [UserUpdated(1, 2, 3, False), rejected(Reject.PRICE_BAND), rejected(Reject.PRICE_BAND)]
    meter = CoreMeter(metrics, "ubscore-0", 0, 1)
    meter.applied(frame, 0, [Output(EVENTS, 1, records)])
    meter.passed("apply")
    at = {"source": "ubscore-0"}
    assert value(metrics, "records_total", direction="in", type="CreateUser", **at) == 2
    assert value(metrics, "records_total", direction="out", type="OrderRejected", **at) == 2
    assert value(metrics, "frame_records_sum", **at) == 2
    assert value(metrics, "rejected_total", code="PRICE_BAND") == 2


def test_core_meter_volume_of_a_trade_between_shards_is_counted_once() -> None:
    metrics = Metrics("1")
    records = [settled("A_B", 5, taker=1000), settled("A_B", 6, taker=1001), settled("C_D", 7, taker=1002)]
    for shard in (0, 1):
        meter = CoreMeter(metrics, f"ubscore-{shard}", shard, 2)
        meter.applied(Frame(1, "matcher-0", 1, []), 0, [Output(EVENTS, 1, list(records))])
        meter.passed("apply")
    assert value(metrics, "traded_base_units_total", symbol="A_B") == 11
    assert value(metrics, "traded_quote_units_total", symbol="A_B") == 110
    assert value(metrics, "traded_base_units_total", symbol="C_D") == 7


def test_core_meter_tells_commands_from_reports() -> None:
    metrics = Metrics("1")
    meter = CoreMeter(metrics, "ubscore-0", 0, 1)
    now_ms = time.time_ns() // 1_000_000
    meter.applied(Frame(1, "gateway-a", 0, [CreateUser(1, now_ms - 700, 3)] * 2), 0, [])
    meter.applied(Frame(1, "matcher-0", 1, [MatchReport(0, 1, 1, now_ms - 3_000, "A_B", [], [])]), 1, [])
    matcher = CoreMeter(metrics, "matcher-0", 0)
    matcher.applied(Frame(1, "ubscore-0", 1, [CreateUser(1, now_ms, 3)]), 0, [])
    counts = {stage: value(metrics, "order_stage_seconds_count", stage=stage) for stage in ("accepted", "settled")}
    assert counts == {"accepted": 2, "settled": 1}
    assert 1.4 <= (value(metrics, "order_stage_seconds_sum", stage="accepted") or 0) < 2.4
    assert 3.0 <= (value(metrics, "order_stage_seconds_sum", stage="settled") or 0) < 4.0
    assert value(metrics, "order_stage_seconds_count", stage="matched") == 1


def test_observe_ages_of_a_clock_that_is_ahead_counts_as_now() -> None:
    one = Distribution((0.1,))
    later_ms = time.time_ns() // 1_000_000 + 60_000
    assert observe_ages(one, [CreateUser(1, time_ms, 3) for time_ms in (later_ms, later_ms, 5)]) == later_ms
    assert one.counts == [2, 1]
    assert observe_ages(one, []) == 0


def test_observe_ages_of_many_counts_all_of_them() -> None:
    one = Distribution((60.0,))
    now_ms = time.time_ns() // 1_000_000
    half = [CreateUser(1, 5, 3)] * (10 * AGES + 5)
    observe_ages(one, [*half, *[CreateUser(1, now_ms, 3)] * (10 * AGES)])
    assert sum(one.counts) == 20 * AGES + 5
    assert abs(one.counts[0] - 10 * AGES) <= sum(one.counts) / AGES


def test_core_meter_batch_stages_follow_each_other() -> None:
    metrics = Metrics("1")
    meter = CoreMeter(metrics, "matcher-0", 0)
    meter.began([StoredFrame(0, b"x" * 300), StoredFrame(1, b"y" * 100)])
    time.sleep(0.02)
    meter.passed("journal")
    meter.applied(Frame(1, "ubscore-0", 1, [CreateUser(1, 2, 3)] * 4), 0, [])
    meter.passed("apply")
    meter.passed("publish")
    meter.flushed(0.003)
    at = {"source": "matcher-0"}
    assert (value(metrics, "batch_frames_sum", **at), value(metrics, "batch_bytes_sum", **at)) == (2, 400)
    assert (value(metrics, "core_stage_seconds_sum", stage="journal", **at) or 0) >= 0.02
    assert (value(metrics, "core_stage_seconds_sum", stage="publish", **at) or 1) < 0.02
    assert value(metrics, "core_record_seconds_count", **at) == 4
    apply = value(metrics, "core_stage_seconds_sum", stage="apply", **at)
    assert apply is not None
    assert abs((value(metrics, "core_record_seconds_sum", **at) or 0) - apply) < 1e-9
    assert value(metrics, "journal_flush_seconds_sum", **at) == 0.003
