"""What is forgotten when, in log time."""

import pytest

from services.domain.messages import (
    CancelOrder,
    OrderAccepted,
    OrderRepeated,
    PolicyUpdated,
    SetPolicy,
    TransferIn,
    TransferRepeated,
)
from services.domain.orders import OrderStatus
from services.ubscore.policy import DEFAULT_POLICY
from tests.support.balance_shard import (
    HOUR_MS,
    T0,
    buy,
    closed,
    match,
    venue,
)

LATER = T0 + DEFAULT_POLICY.order_window_ms


@pytest.mark.parametrize(("after", "repeated"), [(0, True), (1, False)])
def test_client_order_id_of_a_refused_order_is_free_after_its_window(after: int, repeated: bool) -> None:
    shard = venue(1)
    shard.send(buy(1, 1, 1))
    shard.send(CancelOrder(1, LATER + after, 1, 77))
    assert isinstance(shard.send(buy(1, 1, 1)).event, OrderRepeated) == repeated


def test_client_order_id_of_an_open_order_is_never_forgotten() -> None:
    shard = venue(1)
    order = shard.send(buy(1, 1000, 10)).forward
    for hours in range(1, 60, 7):
        shard.send(CancelOrder(1, T0 + hours * HOUR_MS, 1, 77))
        assert isinstance(shard.send(buy(1, 1000, 10)).event, OrderRepeated)
        assert shard.send(CancelOrder(1, T0, 1, 0, "c-1")).event.order_ids == [order.order_id]
    shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))
    shard.send(CancelOrder(1, T0 + 70 * HOUR_MS, 1, 77))
    assert len(shard.core.state.order_answers) == 0
    assert isinstance(shard.send(buy(1, 1000, 10)).event, OrderAccepted)


def test_log_time_never_runs_backwards() -> None:
    shard = venue(1)
    shard.send(buy(1, 1000, 10, "a", time_ms=LATER))
    shard.send(buy(1, 1, 1, "b", time_ms=T0))
    assert shard.core.state.now_ms == LATER
    shard.send(CancelOrder(1, LATER + HOUR_MS, 1, 77))
    assert isinstance(shard.send(buy(1, 1, 1, "b")).event, OrderRepeated), "its span began when the log was at LATER"


def test_windows_follow_the_policy() -> None:
    shard = venue(1)
    shard.send(buy(1, 1, 1), TransferIn(1, T0, "t", 1, "BTC", 0))
    said = shard.send(SetPolicy(3, T0 + 1_001, 1_000, 2_000, 5))
    assert said.event == PolicyUpdated(3, T0 + 1_001, 1_000, 2_000, 5)
    assert len(shard.core.state.order_answers) == 0
    assert isinstance(shard.send(TransferIn(1, T0, "t", 1, "BTC", 0)).event, TransferRepeated)
    shard.send(CancelOrder(1, T0 + 2_001, 1, 77))
    assert shard.send(TransferIn(1, T0, "t", 1, "BTC", 1)).event.change.available_delta == 1


def test_answer_in_use_begins_anew_at_now_and_no_later() -> None:
    shard = venue(1)
    order = shard.send(buy(1, 1000, 10)).forward
    renewed = LATER + 1
    shard.send(CancelOrder(1, renewed, 1, 77))
    shard.report(match(closes=[closed(order, 10, OrderStatus.Cancelled)]))
    shard.send(CancelOrder(1, renewed + DEFAULT_POLICY.order_window_ms, 1, 77))
    assert len(shard.core.state.order_answers) == 1
    shard.send(CancelOrder(1, renewed + DEFAULT_POLICY.order_window_ms + 1, 1, 77))
    assert len(shard.core.state.order_answers) == 0
