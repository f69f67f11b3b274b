"""Calls of a store, as whoever watches them is told."""

from pathlib import Path

import pytest

from services.adapters.metrics.prometheus import Metrics
from services.adapters.sqlite.store import SqliteStore
from services.adapters.store_calls import calls_meter, reads_meter
from services.domain.errors import StoreError
from tests.support.aio import run_async


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"exchange_{name}", labels)


@run_async
async def test_calls_of_a_store_are_timed_by_name_and_failures_counted_by_error(tmp_path: Path) -> None:
    metrics, store = Metrics("1"), SqliteStore(tmp_path / "store.db")
    assert await store.get_key("before") is None
    store.on_call = calls_meter(metrics)
    assert await store.get_key("k") is None
    assert await store.active_orders(1, None) == []
    assert value(metrics, "store_call_seconds_count", call="get_key") == 1
    assert value(metrics, "store_call_seconds_count", call="active_orders") == 1
    await store.close()
    with pytest.raises(StoreError):
        await store.get_key("k")
    assert value(metrics, "store_call_seconds_count", call="get_key") == 1
    assert value(metrics, "store_errors_total", call="get_key", error="StoreError") == 1


def test_reads_of_cores_are_told_apart_by_core_and_read() -> None:
    metrics = Metrics("1")
    on_read = reads_meter(metrics, "ubscore-0")
    on_read("balances", 0.2)
    on_read("balances", 0.3, "CoreUnavailable")
    reads_meter(metrics, "ubscore-1")("balances", 0.4)
    assert value(metrics, "core_read_seconds_sum", source="ubscore-0", read="balances") == 0.2
    assert value(metrics, "core_read_seconds_sum", source="ubscore-1", read="balances") == 0.4
    assert value(metrics, "core_read_errors_total", source="ubscore-0", read="balances") == 1
