"""The chart's alerts, on made-up series, as Prometheus judges them."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.operator.chart import named, render
from tests.real.fetched import require_programs
from tests.support.processes import ROOT

_OPTIONS: Final = ("--set", "prometheusRule.enabled=true,metrics.serviceMonitor.enabled=true")
_OF: Final = 'namespace="exchange-system",job="exchange-operator-metrics"'
_ONE: Final = f'pod="operator-1",{_OF}'
_OTHER: Final = f'pod="operator-2",{_OF}'
_CONDITION: Final = (
    'exchange_operator_exchange_condition{namespace="shop",name="demo",'
    'type="%s",job="exchange-operator-metrics",pod="%s"}'
)
_READY: Final = _CONDITION % ("Ready", "operator-1")
_DEGRADED: Final = _CONDITION % ("Degraded", "operator-1")
_ERRORS: Final = f"exchange_operator_reconcile_errors_total{{{_ONE}}}"

Series = dict[str, str]


@cache
def _rules() -> list[dict[str, Any]]:
    (group,) = named(render(*_OPTIONS), "PrometheusRule")["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def _promtool(folder: Path, case: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    require_programs(("promtool",), ("prometheus",))
    groups = [{"name": "operator", "rules": _rules()}]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [{"interval": "1m"} | case]}
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    command = ["promtool", "test", "rules", "test.yaml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def _case(series: Series, minute: int, name: str, expected: list[dict[str, Any]]) -> dict[str, Any]:
    alerts = [{"exp_labels": one["labels"], "exp_annotations": one["annotations"]} for one in expected]
    return {
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": alerts}],
    }


def _rule(name: str) -> dict[str, Any]:
    (found,) = (rule for rule in _rules() if rule["alert"] == name)
    return found


def _expected(name: str, labels: dict[str, str], texts: dict[str, str]) -> dict[str, Any]:
    """The alert, with its texts' variables filled in."""
    rule = _rule(name)
    annotations = dict(rule["annotations"])
    for key, text in annotations.items():
        for variable, value in texts.items():
            text = text.replace(f"{{{{ {variable} }}}}", value)
        annotations[key] = text
    return {"labels": rule["labels"] | labels, "annotations": annotations}


@pytest.mark.parametrize(
    ("series", "minute", "name", "fires"),
    [
        pytest.param({f"up{{{_ONE}}}": "1x5 0x20"}, 9, "OperatorDown", False, id="down for a short while"),
        pytest.param({f"up{{{_ONE}}}": "1x5 0x20"}, 12, "OperatorDown", True, id="down"),
        pytest.param({}, 6, "OperatorDown", True, id="nothing to be scraped"),
        pytest.param({f"up{{{_ONE}}}": "0x20", f"up{{{_OTHER}}}": "1x20"}, 12, "OperatorDown", False, id="one left"),
        pytest.param({'up{namespace="shop",job="demo"}': "1x20"}, 12, "OperatorDown", True, id="another's target"),
        pytest.param({_ERRORS: "0x10 1 2 2x20"}, 16, "ReconcileErrors", False, id="a few errors"),
        pytest.param({_ERRORS: "0+1x30"}, 25, "ReconcileErrors", True, id="errors without end"),
        pytest.param({_ERRORS: "0+1x10 10x30"}, 35, "ReconcileErrors", False, id="errors that ended"),
        pytest.param({_READY: "0x9 1x9"}, 12, "ExchangeNotReady", False, id="starting"),
        pytest.param({_READY: "1x5 0x20"}, 17, "ExchangeNotReady", True, id="not ready"),
        pytest.param({_READY: "1x5"}, 17, "ExchangeNotReady", False, id="deleted"),
        pytest.param(
            {_READY: "1x20", _CONDITION % ("Ready", "operator-2"): "0x20"}, 15, "ExchangeNotReady", True, id="in doubt"
        ),
        pytest.param({_DEGRADED: "0x5 1x20", _READY: "1x25"}, 17, "ExchangeDegraded", True, id="stopped upgrade"),
        pytest.param({_DEGRADED: "0x5 1x20", _READY: "1x25"}, 17, "ExchangeNotReady", False, id="that serves on"),
        pytest.param({_DEGRADED: "0x5 1x4 0x20"}, 17, "ExchangeDegraded", False, id="short trouble"),
    ],
)
def test_alert_fires_when_it_should(tmp_path: Path, series: Series, minute: int, name: str, fires: bool) -> None:
    about = {"namespace": "shop", "name": "demo"} if name.startswith("Exchange") else {}
    texts = {"$labels.namespace": "shop", "$labels.name": "demo", "$value | humanize": "10"}
    expected = [_expected(name, about, texts)] if fires else []
    done = _promtool(tmp_path, _case(series, minute, name, expected))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    for rule in _rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        runbook = ROOT / rule["annotations"]["runbook_url"]
        assert runbook.read_text().startswith(f"# {rule['alert']}\n")
