"""What Grafana would get for the panels of a dashboard."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.dashboards.boards import Board, Panel, filled
from tests.real.prometheus import Labels, Points, Prometheus

STEP_S: Final = 1.0


@dataclass(frozen=True)
class Series:
    """name: as the legend has it. points: without those that are not numbers."""

    name: str
    labels: Labels
    points: Points


@dataclass(frozen=True)
class Window:
    """The time that is looked at, in Unix seconds."""

    begin: float
    end: float


Answers = dict[Panel, list[list[Series]]]
"""By panel, for each of its queries."""


def ask(prometheus: Prometheus, board: Board, window: Window, values: Mapping[str, str]) -> Answers:
    """All panels of a dashboard, with these values of its variables."""
    return {panel: [_series(prometheus, target, window, values) for target in panel.targets] for panel in board.panels}


def silent(answers: Answers) -> list[str]:
    """The panels of which a query has no number to show."""
    return [
        str(panel) for panel, found in answers.items() if not all(any(one.points for one in each) for each in found)
    ]


def _series(prometheus: Prometheus, target: dict[str, Any], window: Window, values: Mapping[str, str]) -> list[Series]:
    expr = filled(target["expr"], values)
    if target.get("instant"):
        found = [(labels, [(window.end, value)]) for labels, value in prometheus.query(expr, window.end)]
    else:
        found = prometheus.query_range(expr, window.begin, window.end, STEP_S)
    return [
        Series(_legend(target.get("legendFormat", ""), labels), labels, _numbers(points)) for labels, points in found
    ]


def _numbers(points: Points) -> Points:
    return [(when, value) for when, value in points if math.isfinite(value)]


def _legend(template: str, labels: Labels) -> str:
    for label, value in labels.items():
        template = template.replace(f"{{{{{label}}}}}", value)
    return template
