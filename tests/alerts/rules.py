"""The chart's rules as helm renders them, and promtool, which judges them on made-up series."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.operator.chart import named, render
from tests.real.fetched import require_programs

JOB: Final = "exchange-operator-metrics"
"""Of the operator, in a release that is called `exchange`."""
_OPTIONS: Final = ("--set", "prometheusRule.enabled=true,metrics.serviceMonitor.enabled=true")
_TEXTS: Final = ("summary", "description")

Rule = dict[str, Any]


@cache
def groups(*options: str) -> list[dict[str, Any]]:
    """The groups of the only PrometheusRule. options: more for helm."""
    found: list[dict[str, Any]] = named(render(*_OPTIONS, *options), "PrometheusRule")["spec"]["groups"]
    return found


def alerts() -> list[Rule]:
    """Every rule that is an alert. One name may have several, of different severities."""
    return [rule for group in groups() for rule in group["rules"] if "alert" in rule]


@dataclass(frozen=True)
class Fired:
    """An alert that is expected. labels: beside its name and what the rule adds. severity: where there are several.

    summary, description: its texts, word for word; None: not looked at.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    severity: str = ""
    summary: str | None = None
    description: str | None = None

    def texts(self) -> dict[str, str]:
        return {key: text for key in _TEXTS if (text := getattr(self, key)) is not None}


def judge(
    folder: Path,
    name: str,
    series: Mapping[str, str],
    minute: float,
    expected: Sequence[Fired],
    *,
    step: str = "15s",
    options: Sequence[str] = (),
) -> None:
    """Have promtool compare what fires under this name with what is expected, and with nothing else.

    series: values by name, in promtool's words, one each `step`. Raises AssertionError with promtool's own words.
    """
    require_programs(("promtool",), ("prometheus",))
    texts = {key for one in expected for key in one.texts()}
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [_bare(group, texts) for group in groups(*options)]}))
    fired = [
        {"exp_labels": dict(one.labels) | {"severity": one.severity or _severity(name)}, "exp_annotations": one.texts()}
        for one in expected
    ]
    case = {
        "interval": step,
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": f"{round(minute * 60)}s", "alertname": name, "exp_alerts": fired}],
    }
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": step,
        # Alerts read what other groups have recorded.
        "group_eval_order": [group["name"] for group in groups(*options)],
        "tests": [case],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _severity(name: str) -> str:
    (severity,) = {rule["labels"]["severity"] for rule in alerts() if rule["alert"] == name}
    return str(severity)


def _bare(group: Mapping[str, Any], texts: set[str]) -> dict[str, Any]:
    """The group with those texts of its alerts that are looked at."""
    rules = [
        rule | {"annotations": {key: rule["annotations"][key] for key in texts}} if "alert" in rule else rule
        for rule in group["rules"]
    ]
    return {"name": group["name"], "rules": rules}
