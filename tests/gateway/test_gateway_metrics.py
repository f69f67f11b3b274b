"""The gateway's numbers: what became of commands, and who was refused and why."""

import pytest

from services.adapters.metrics.prometheus import Metrics
from services.domain.messages import CancelOrder, CommandRejected, CreateUser, UserUpdated
from services.domain.rejects import Reject
from services.gateway.deps import RateLimit
from services.gateway.errors import ApiError, Overloaded, rejected
from services.gateway.limits import RateLimiter
from services.gateway.metrics import GatewayMetrics
from services.gateway.outcomes import Outcome
from tests.support.clock import ManualClock


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"exchange_gateway_{name}", labels)


def test_commands_are_counted_by_what_became_of_them_and_timed_when_there_was_an_outcome() -> None:
    metrics = Metrics("1")
    gateway = GatewayMetrics(metrics)
    cancel = CancelOrder(1, 2, 3, 4)
    gateway.ended(CreateUser(1, 2, 3), 0.1, Outcome({0: UserUpdated(1, 2, 3, False)}, {}))
    gateway.ended(cancel, 0.2, Outcome({0: CommandRejected(1, 2, 3, Reject.UNKNOWN_ORDER)}, {}))
    gateway.ended(cancel, 10.0, None)
    assert value(metrics, "commands_total", command="CreateUser", result="accepted") == 1
    assert value(metrics, "commands_total", command="CancelOrder", result="rejected") == 1
    assert value(metrics, "commands_total", command="CancelOrder", result="failed") == 1
    assert value(metrics, "command_seconds_sum", command="CancelOrder") == 0.2


def test_refusals_are_counted_by_code_and_reject() -> None:
    metrics = Metrics("1")
    gateway = GatewayMetrics(metrics)
    gateway.refused(rejected(Reject.PRICE_BAND))
    gateway.refused(rejected(Reject.PRICE_BAND, cid="a"))
    gateway.refused(Overloaded())
    assert value(metrics, "refused_total", code="-1013", reject="PRICE_BAND") == 2
    assert value(metrics, "refused_total", code="-1008", reject="") == 1


def test_requests_over_the_rate_are_counted_by_who_made_them() -> None:
    metrics = Metrics("1")
    gateway = GatewayMetrics(metrics)
    limiter = RateLimiter(ManualClock(), RateLimit(1, 1), RateLimit(1, 2), gateway.limited)
    limiter.take_caller(1001)
    limiter.take_anonymous("::1")
    limiter.take_anonymous("::1")
    for take in (lambda: limiter.take_caller(1001), lambda: limiter.take_anonymous("::1")):
        with pytest.raises(ApiError, match="Too many requests"):
            take()
    assert value(metrics, "rate_limited_total", caller="user") == 1
    assert value(metrics, "rate_limited_total", caller="address") == 1


def test_frames_are_counted_with_their_commands_bytes_and_time() -> None:
    metrics = Metrics("1")
    GatewayMetrics(metrics).written(7, 900, 0.004)
    sums = {name: value(metrics, f"{name}_sum") for name in ("frame_records", "frame_bytes", "append_seconds")}
    assert sums == {"frame_records": 7, "frame_bytes": 900, "append_seconds": 0.004}
