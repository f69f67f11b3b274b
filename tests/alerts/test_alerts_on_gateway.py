"""ErrorRateHigh."""

from pathlib import Path

import pytest

from tests.alerts.rules import Fired, judge
from tests.alerts.series import absent, flat, gone, metric, rise, then

_EXCHANGE = {"namespace": "shop", "name": "demo"}


def requests(
    status: str, pod: str = "demo-gateway-a", name: str = "demo", route: str = "/api/orders", namespace: str = "shop"
) -> str:
    place = {"method": "POST", "route": route, "status": status}
    return metric("exchange_gateway_requests_total", "gateway", pod, name, namespace, **place)


_GOOD, _BAD = requests("200"), requests("503")


def test_error_rate_high_counts_all_gateways_together(tmp_path: Path) -> None:
    series = {
        _GOOD: rise(90, 20),
        requests("200", "demo-gateway-b"): rise(90, 20),
        _BAD: rise(10, 20),
        requests("500", "demo-gateway-b"): rise(10, 20),
    }
    fired = Fired(
        _EXCHANGE,
        summary="Exchange shop/demo fails 10% of requests.",
        description="10% of the answers of Exchange shop/demo in the last five minutes were errors of its own (status "
        "5xx), for five minutes now.",
    )
    judge(tmp_path, "ErrorRateHigh", series, 10, [fired])


def test_error_rate_high_when_every_answer_is_one(tmp_path: Path) -> None:
    series = {_GOOD: then(rise(90, 5), gone(10)), _BAD: rise(30, 20)}
    judge(
        tmp_path, "ErrorRateHigh", series, 12, [Fired(_EXCHANGE, summary="Exchange shop/demo fails 100% of requests.")]
    )


@pytest.mark.parametrize(
    ("series", "minute"),
    [
        pytest.param({_GOOD: rise(96, 20), _BAD: rise(4, 20)}, 15, id="four of a hundred"),
        pytest.param({_GOOD: rise(90, 20), _BAD: rise(10, 20)}, 4, id="not yet"),
        pytest.param({_GOOD: rise(90, 20), requests("429"): rise(90, 20)}, 15, id="refusals are the caller's"),
        pytest.param({_GOOD: rise(0.2, 20), _BAD: rise(0.2, 20)}, 15, id="hardly anybody asks"),
        pytest.param({_GOOD: rise(90, 20)}, 15, id="no error was ever counted"),
        pytest.param({_BAD: then(absent(5), flat(3, 15)), _GOOD: rise(90, 20)}, 15, id="errors that a restart forgot"),
        pytest.param({_GOOD: rise(90, 30), _BAD: then(rise(10, 3), flat(120, 27))}, 15, id="errors that ended"),
        pytest.param(
            {_GOOD: rise(90, 20), _BAD: then(flat(100_000, 5), flat(0, 15))}, 12, id="a counter that began anew"
        ),
        pytest.param({requests("503", route="/health/ready"): rise(30, 20)}, 15, id="who asks whether it is ready"),
        pytest.param({}, 15, id="no series"),
    ],
)
def test_error_rate_high_is_silent(tmp_path: Path, series: dict[str, str], minute: float) -> None:
    judge(tmp_path, "ErrorRateHigh", series, minute, [])


def test_error_rate_high_is_not_diluted_by_another_exchange(tmp_path: Path) -> None:
    series = {
        requests("200", name="other"): rise(9_000, 20),
        requests("200", namespace="market"): rise(9_000, 20),
        _GOOD: rise(90, 20),
        _BAD: rise(10, 20),
    }
    judge(tmp_path, "ErrorRateHigh", series, 15, [Fired(_EXCHANGE)])
