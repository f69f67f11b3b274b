"""What is counted of batches that a projection has written."""

import time

from services.adapters.metrics.projection_meter import ProjectionMeter
from services.adapters.metrics.prometheus import Metrics
from services.adapters.ports import HistoryBatch
from services.domain.orders import OrderStatus
from services.domain.rejects import Reject
from services.domain.rows import OrderUpdateRow, ProgressRow
from services.domain.topics import ENGINE_OUTPUTS


def update(sequence: int, status: OrderStatus, time_ms: int) -> OrderUpdateRow:
    return OrderUpdateRow(
        "matcher-0", sequence, 0, 1001, sequence, "A_B", status, 0, 0, 0, 0, False, Reject.NONE, time_ms
    )


def test_history_written_counts_statuses_rows_and_ages() -> None:
    metrics = Metrics("1")
    meter = ProjectionMeter(metrics)
    now_ms = time.time_ns() // 1_000_000
    rows = [
        update(1, OrderStatus.New, now_ms - 40_000),
        update(2, OrderStatus.New, now_ms - 40_000),
        update(3, OrderStatus.Filled, now_ms - 20_000),
    ]
    meter.history_written(HistoryBatch([], [], [], rows, [], ProgressRow("order_history", ENGINE_OUTPUTS, 1, 9, {})))
    meter.history_written(HistoryBatch([], [], [], [], [], ProgressRow("order_history", ENGINE_OUTPUTS, 1, 10, {})))
    value = metrics.registry.get_sample_value
    at = {"reader": "order_history", "topic": ENGINE_OUTPUTS}
    assert value("exchange_order_events_total", {"status": "New"}) == 2
    assert value("exchange_order_events_total", {"status": "Filled"}) == 1
    assert value("exchange_projection_batch_rows_sum", {"reader": "order_history"}) == 3
    assert value("exchange_freshness_seconds_count", at) == 3
    assert value("exchange_freshness_seconds_bucket", at | {"le": "30.0"}) == 1
    newest = value("exchange_newest_stored_timestamp_seconds", at | {"partition": "1"})
    assert newest == (now_ms - 20_000) / 1000
