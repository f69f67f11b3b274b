"""What a dashboard is made of: rows that ask a question, and panels that answer it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypedDict, Unpack

COLUMNS: Final = 24
"""Of Grafana's grid."""

DISTRIBUTED: Final = "Distributed form only."
"""The end of the description of a panel that has nothing to show in the local form."""


class Kind(StrEnum):
    """How a panel looks. STAT: the newest value, large. TIMELINE: one coloured bar for each series."""

    GRAPH = "timeseries"
    STAT = "stat"
    TABLE = "table"
    TIMELINE = "state-timeline"
    HEATMAP = "heatmap"


class Unit(StrEnum):
    """As Grafana calls them."""

    SECONDS = "s"
    BYTES = "bytes"
    COUNT = "short"
    SHARE = "percentunit"
    PER_SECOND = "cps"
    REQUESTS = "reqps"
    CORES = "suffix: cores"
    FRAMES = "suffix: frames"
    RECORDS = "suffix: records"
    ROWS = "suffix: rows"


@dataclass(frozen=True)
class Query:
    """expr: PromQL. legend: with {{label}} for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """limits: from the first on it is worth a look, from the second on it is bad; if one, bad from there on.

    low_is_bad: below the only limit it is bad. words: for the values 0 and 1. leads_to: the name of the page that knows
    more. traces: whether it leads to traces, too. distributed: the local form has nothing to show here.
    whole: no decimals, of what is counted. from_zero: whether the axis begins there. value: what a table calls it.
    """

    kind: Kind
    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    width: int
    height: int
    limits: tuple[float, ...] = ()
    low_is_bad: bool = False
    stacked: bool = False
    words: tuple[str, str] | None = None
    leads_to: str = ""
    traces: bool = False
    distributed: bool = False
    whole: bool = False
    from_zero: bool = True
    value: str = "value"


@dataclass(frozen=True)
class Row:
    """A question, and what answers it. The panels fill whole lines of the grid."""

    question: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard: the values that a label has in the series of a metric."""

    name: str
    title: str
    label: str
    metric: str


@dataclass(frozen=True)
class Page:
    """A dashboard. name: of its file."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...]

    @property
    def uid(self) -> str:
        """By which other dashboards lead to this one."""
        return uid(self.name)


def uid(name: str) -> str:
    """Of the dashboard with this file name."""
    return f"exchange-{name}"


class Look(TypedDict, total=False):
    """More of a panel; see there."""

    limits: tuple[float, ...]
    low_is_bad: bool
    stacked: bool
    leads_to: str
    traces: bool
    distributed: bool
    whole: bool
    from_zero: bool
    value: str


def graph(title: str, description: str, unit: Unit, *queries: Query, width: int = 12, **look: Unpack[Look]) -> Panel:
    """Lines over time."""
    return Panel(Kind.GRAPH, title, description, unit, queries, width, 8, **look)


def stat(title: str, description: str, unit: Unit, expr: str, *, width: int = 4, **look: Unpack[Look]) -> Panel:
    """One number."""
    return Panel(Kind.STAT, title, description, unit, (Query(expr, title),), width, 4, **look)


def table(title: str, description: str, unit: Unit, expr: str, *, width: int = 12, **look: Unpack[Look]) -> Panel:
    """A line for each series: its labels and its newest value."""
    return Panel(Kind.TABLE, title, description, unit, (Query(expr),), width, 8, **look)


def timeline(
    title: str, description: str, query: Query, words: tuple[str, str], *, width: int = 24, **look: Unpack[Look]
) -> Panel:
    """A bar for each series, red while it is 0 and green while it is 1. words: for these two."""
    return Panel(Kind.TIMELINE, title, description, Unit.COUNT, (query,), width, 6, words=words, **look)


def heatmap(title: str, description: str, expr: str, *, width: int = 12, **look: Unpack[Look]) -> Panel:
    """How many were how slow. expr: rates of the buckets of a histogram of seconds, by le."""
    return Panel(Kind.HEATMAP, title, description, Unit.SECONDS, (Query(expr, "{{le}}"),), width, 8, **look)
