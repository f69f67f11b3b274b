"""OperatorDown, ReconcileErrors, ExchangeNotReady, ExchangeDegraded."""

from pathlib import Path
from typing import Final

import pytest

from tests.alerts.rules import JOB, Fired, judge

_OF: Final = f'namespace="exchange-system",job="{JOB}"'
_ONE: Final = f'pod="operator-1",{_OF}'
_OTHER: Final = f'pod="operator-2",{_OF}'
_CONDITION: Final = (
    f'exchange_operator_exchange_condition{{namespace="shop",name="demo",type="%s",job="{JOB}",pod="%s"}}'
)
_READY: Final = _CONDITION % ("Ready", "operator-1")
_DEGRADED: Final = _CONDITION % ("Degraded", "operator-1")
_ERRORS: Final = f"exchange_operator_reconcile_errors_total{{{_ONE}}}"
_EXCHANGE: Final = {"namespace": "shop", "name": "demo"}
_FIRED: Final = {
    "OperatorDown": Fired(
        {},
        summary="No operator of exchanges runs.",
        description="No pod of exchange-system/exchange-operator has answered for five minutes. Exchanges go on "
        "trading; changes to them wait, and what breaks is not repaired.",
    ),
    "ReconcileErrors": Fired(
        {},
        summary="The operator fails again and again.",
        description="10 passes over Exchanges failed within ten minutes; events of the Exchanges and the operator's "
        "log say why.",
    ),
    "ExchangeNotReady": Fired(
        _EXCHANGE,
        summary="Exchange shop/demo does not serve its users.",
        description="Something that users need of Exchange shop/demo has been missing for ten minutes: `kubectl -n "
        "shop describe exch demo` says what.",
    ),
    "ExchangeDegraded": Fired(
        _EXCHANGE,
        summary="Exchange shop/demo will not get well by itself.",
        description="Something of Exchange shop/demo is wrong, such as an upgrade that has stopped: `kubectl -n shop "
        "describe exch demo` says what.",
    ),
}


@pytest.mark.parametrize(
    ("series", "minute", "name", "fires"),
    [
        pytest.param({f"up{{{_ONE}}}": "1x5 0x20"}, 9, "OperatorDown", False, id="down for a short while"),
        pytest.param({f"up{{{_ONE}}}": "1x5 0x20"}, 12, "OperatorDown", True, id="down"),
        pytest.param({}, 6, "OperatorDown", True, id="nothing to be scraped"),
        pytest.param({f"up{{{_ONE}}}": "0x20", f"up{{{_OTHER}}}": "1x20"}, 12, "OperatorDown", False, id="one left"),
        pytest.param({'up{namespace="shop",job="demo"}': "1x20"}, 12, "OperatorDown", True, id="another's target"),
        pytest.param({_ERRORS: "0x10 1 2 2x20"}, 16, "ReconcileErrors", False, id="a few errors"),
        pytest.param({_ERRORS: "0+1x30"}, 16, "ReconcileErrors", True, id="errors without end"),
        pytest.param({_ERRORS: "0x10 5x20"}, 13, "ReconcileErrors", False, id="errors just now"),
        pytest.param({_ERRORS: "0+1x10 10x30"}, 35, "ReconcileErrors", False, id="errors that ended"),
        pytest.param({_ERRORS: "7x10 0x20"}, 16, "ReconcileErrors", False, id="a counter that began anew"),
        pytest.param({_READY: "0x9 1x9"}, 12, "ExchangeNotReady", False, id="starting"),
        pytest.param({_READY: "1x5 0x20"}, 17, "ExchangeNotReady", True, id="not ready"),
        pytest.param({_READY: "1x5"}, 17, "ExchangeNotReady", False, id="deleted"),
        pytest.param({_READY: "1x5 0x6 1 0x6"}, 18, "ExchangeNotReady", False, id="it comes and goes"),
        pytest.param(
            {_READY: "1x20", _CONDITION % ("Ready", "operator-2"): "0x20"}, 15, "ExchangeNotReady", True, id="in doubt"
        ),
        pytest.param({_DEGRADED: "0x5 1x20", _READY: "1x25"}, 17, "ExchangeDegraded", True, id="stopped upgrade"),
        pytest.param({_DEGRADED: "0x5 1x20", _READY: "1x25"}, 17, "ExchangeNotReady", False, id="that serves on"),
        pytest.param({_DEGRADED: "0x5 1x4 0x20"}, 17, "ExchangeDegraded", False, id="short trouble"),
    ],
)
def test_alert_on_the_operator(tmp_path: Path, series: dict[str, str], minute: int, name: str, fires: bool) -> None:
    judge(tmp_path, name, series, minute, [_FIRED[name]] if fires else [], step="1m")
