"""A dashboard as a picture, for people without Grafana: the same grid, titles, units, limits and colours."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from tests.dashboards.answers import Answers, Series, Window
from tests.dashboards.boards import Board, Panel, Place
from tests.dashboards.units import written

COLUMNS: Final = 24
_COLUMN_INCHES: Final = 0.8
_LINE_INCHES: Final = 0.42
_HEAD_LINES: Final = 2
_GAP: Final = 0.1
"""Between panels, in columns and lines."""

_PAGE, _CARD, _EDGE, _TEXT, _FAINT = "#f4f5f5", "#ffffff", "#dcdee0", "#24292e", "#6b7280"
_COLORS: Final = {"green": "#56a64b", "orange": "#ff9830", "red": "#e02f44"}
_LINES: Final = (
    *("#56a64b", "#f2cc0c", "#3274d9", "#ff780a", "#e02f44", "#a352cc", "#0a9396", "#8ab8ff", "#b877d9", "#96d98d"),
    *("#7c6f64", "#c4162a", "#1f60c4", "#fa6400", "#37872d", "#8f3bb8", "#e0b400", "#5794f2", "#ff7383", "#4e5966"),
)
_MOST_IN_LEGEND: Final = 8
_MOST_ROWS: Final = 11


def draw(board: Board, answers: Answers, window: Window, path: Path) -> None:
    """Write the picture of a dashboard."""
    lines = max(panel.place.y + panel.place.height for panel in board.panels) + _HEAD_LINES
    figure = Figure(figsize=(COLUMNS * _COLUMN_INCHES, lines * _LINE_INCHES), dpi=100, facecolor=_PAGE)
    canvas = _Canvas(figure, lines)
    canvas.text(0.2, 0.95, board.title, size=17, weight="bold")
    begin, end = (datetime.fromtimestamp(when, UTC) for when in (window.begin, window.end))
    canvas.text(0.2, 1.6, f"{begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC", size=9, color=_FAINT)
    for row in board.rows:
        canvas.text(0.2, row.place.y + _HEAD_LINES + 0.65, row.title, size=12, weight="bold")
    for panel, found in answers.items():
        canvas.card(panel)
        _DRAW[panel.kind](canvas, panel, found, window)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


class _Canvas:
    """The figure, measured in columns and lines of the grid from its upper left corner."""

    def __init__(self, figure: Figure, lines: int) -> None:
        self._figure = figure
        self._lines = lines

    def text(self, x: float, y: float, text: str, *, size: float, **more: Any) -> None:
        more = {"color": _TEXT} | more
        self._figure.text(x / COLUMNS, 1 - y / self._lines, text, size=size, **more)

    def card(self, panel: Panel) -> None:
        """The panel's background and title."""
        place = panel.place
        box = self._box(place.x + _GAP, place.y + _GAP, place.width - 2 * _GAP, place.height - 2 * _GAP)
        card = FancyBboxPatch(
            box[:2], box[2], box[3], boxstyle="square,pad=0", facecolor=_CARD, edgecolor=_EDGE, linewidth=0.8, zorder=-1
        )
        self._figure.add_artist(card)
        self.text(place.x + 0.25, place.y + _HEAD_LINES + 0.72, panel.title, size=9, weight="bold")

    def axes(self, place: Place, left: float, top: float, right: float, bottom: float) -> Axes:
        """Within a panel, with these margins."""
        box = self._box(place.x + left, place.y + top, place.width - left - right, place.height - top - bottom)
        axes = self._figure.add_axes(box)
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, labelsize=7, colors=_FAINT)
        return axes

    def _box(self, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        down = y + _HEAD_LINES + height
        return x / COLUMNS, 1 - down / self._lines, width / COLUMNS, height / self._lines


# Kinds of panels


def _graph(canvas: _Canvas, panel: Panel, found: list[list[Series]], window: Window) -> None:
    series = sorted((one for each in found for one in each if one.points), key=lambda one: one.name)
    shown = min(len(series), _MOST_IN_LEGEND)
    axes = canvas.axes(panel.place, 1.0, 1.05, 0.3, 1.0 + 0.42 * -(-shown // _legend_columns(panel, shown)))
    _time_axis(axes, window)
    axes.grid(axis="y", color="#eceeef", linewidth=0.7)
    if panel.is_stacked:
        _stack(axes, series)
    else:
        for place, one in enumerate(series):
            axes.plot(*zip(*one.points, strict=True), color=_LINES[place % len(_LINES)], linewidth=1.2)
    if not series:
        axes.text(0.5, 0.5, "No data", transform=axes.transAxes, ha="center", size=13, color=_FAINT)
    _value_axis(axes, panel)
    _legend(canvas, panel, series, shown)


def _stack(axes: Axes, series: list[Series]) -> None:
    times = sorted({when for one in series for when, _ in one.points})
    values = [[dict(one.points).get(when, 0.0) for when in times] for one in series]
    colors = [_LINES[place % len(_LINES)] for place in range(len(series))]
    below = [0.0] * len(times)
    for one, row, color in zip(series, values, colors, strict=True):
        above = [low + value for low, value in zip(below, row, strict=True)]
        axes.fill_between(times, below, above, color=color, alpha=0.25, linewidth=0)
        known = {when for when, _ in one.points}
        line = [value if when in known else math.nan for when, value in zip(times, above, strict=True)]
        axes.plot(times, line, color=color, linewidth=1.1)
        below = above


def _value_axis(axes: Axes, panel: Panel) -> None:
    """From 0 on, with the limits that are near enough; Grafana does the same."""
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if not math.isfinite(low):
        axes.set_yticks([])
        return
    low, high = (min(0.0, low), 1.1 * high or 1.0) if panel.is_from_zero else (low, high)
    limits = [(bound, color) for bound, color in panel.steps if bound > float("-inf")]
    near = [bound for bound, _ in limits if bound <= 1.6 * high]
    high = max([high, *(1.1 * bound for bound in near)])
    for bound, color in limits:
        if bound in near:
            axes.axhline(bound, color=_COLORS[color], linewidth=1.0, linestyle=(0, (5, 3)))
    if far := [(bound, color) for bound, color in limits if bound not in near]:
        text = "limits above: " + ", ".join(written(bound, panel.unit) for bound, _ in far)
        axes.text(0.995, 0.97, text, transform=axes.transAxes, ha="right", va="top", size=6.5, color=_FAINT)
    axes.set_ylim(low, high)
    ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    axes.set_yticks(ticks, [written(tick, panel.unit) for tick in ticks])


def _time_axis(axes: Axes, window: Window) -> None:
    axes.set_xlim(window.begin, window.end)
    ticks = [window.begin + (window.end - window.begin) * part / 8 for part in (1, 3, 5, 7)]
    axes.set_xticks(ticks, [f"{datetime.fromtimestamp(tick, UTC):%H:%M:%S}" for tick in ticks])


def _legend_columns(panel: Panel, shown: int) -> int:
    return 1 if shown <= 3 and panel.place.width <= 8 else 2


def _legend(canvas: _Canvas, panel: Panel, series: list[Series], shown: int) -> None:
    """The name and the newest value of each."""
    place = panel.place
    columns = _legend_columns(panel, shown)
    half = -(-shown // columns)
    for number, one in enumerate(series[:shown]):
        column, line = divmod(number, half)
        x = place.x + 0.4 + column * (place.width / columns - 0.2)
        y = place.y + place.height + _HEAD_LINES - 0.3 - 0.42 * (half - 1 - line)
        if number == shown - 1 and len(series) > shown:
            canvas.text(x, y, f"… and {len(series) - shown + 1} more", size=7, color=_FAINT)
            continue
        width = int((place.width / columns - 1.8) * 10.5)
        name = one.name if len(one.name) <= width else f"{one.name[: width - 1]}…"
        canvas.text(x, y, "━", size=8, color=_LINES[number % len(_LINES)])
        canvas.text(x + 0.3, y, f"{name}  {written(one.points[-1][1], panel.unit)}", size=7)


def _stat(canvas: _Canvas, panel: Panel, found: list[list[Series]], window: Window) -> None:
    points = [point for each in found for one in each for point in one.points]
    place = panel.place
    if not points:
        canvas.text(place.x + place.width / 2, place.y + _HEAD_LINES + 2.4, "No data", size=14, ha="center")
        return
    value = round(points[-1][1]) if panel.is_whole else points[-1][1]
    has_limits = len(panel.steps) > 1
    color = _COLORS[panel.color(value)] if has_limits else "#3274d9"
    axes = canvas.axes(place, 0.15, 1.0, 0.15, 0.15)
    if has_limits:
        axes.set_facecolor(color)
    axes.set_xlim(window.begin, window.end)
    axes.set_xticks([])
    axes.set_yticks([])
    times, values = zip(*points, strict=True)
    axes.fill_between(times, values, color="#ffffff" if has_limits else color, alpha=0.25, linewidth=0)
    axes.set_ylim(0, max(*values, 1e-9) * 2.2)
    axes.text(
        *(0.5, 0.55, written(value, panel.unit)),
        transform=axes.transAxes,
        ha="center",
        va="center",
        size=18 if place.width < 6 else 22,
        weight="bold",
        color="#ffffff" if has_limits else _TEXT,
    )


def _table(canvas: _Canvas, panel: Panel, found: list[list[Series]], _window: Window) -> None:
    series = sorted((one for each in found for one in each if one.points), key=lambda one: -one.points[-1][1])
    labels = sorted({label for one in series for label in one.labels})
    place = panel.place
    width = (place.width - 0.8) / (len(labels) + 1)
    heads = [*labels, panel.value_name]
    values = [round(one.points[-1][1]) if panel.is_whole else one.points[-1][1] for one in series]
    cells = [[one.labels.get(label, "") for label in labels] for one in series]
    rows = [[*row, written(value, panel.unit)] for row, value in zip(cells, values, strict=True)]
    for number, row in enumerate([heads, *rows[:_MOST_ROWS]]):
        for column, cell in enumerate(row):
            most = int(width * 11)
            text = cell if len(cell) <= most else f"{cell[: most - 1]}…"
            y = place.y + _HEAD_LINES + 1.5 + 0.48 * number
            canvas.text(place.x + 0.4 + column * width, y, text, size=7.5, color=_TEXT if number else _FAINT)
    if len(rows) > _MOST_ROWS:
        y = place.y + _HEAD_LINES + place.height - 0.3
        canvas.text(place.x + 0.4, y, f"… and {len(rows) - _MOST_ROWS} more", size=7, color=_FAINT)


def _timeline(canvas: _Canvas, panel: Panel, found: list[list[Series]], window: Window) -> None:
    series = sorted((one for each in found for one in each if one.points), key=lambda one: one.name)
    axes = canvas.axes(panel.place, 4.2, 1.05, 0.3, 0.75)
    _time_axis(axes, window)
    for line, one in enumerate(reversed(series)):
        for (begin, value), (end, _) in zip(one.points, [*one.points[1:], (window.end, 0.0)], strict=True):
            axes.barh(line, end - begin, left=begin, height=0.7, color=_COLORS[panel.color(value)], linewidth=0)
    axes.set_yticks(range(len(series)), [one.name for one in reversed(series)])
    axes.set_ylim(-0.6, max(len(series), 3) - 0.4)
    words = "    ".join(f"{'red' if value == 0 else 'green'}: {word}" for value, word in sorted(panel.words.items()))
    canvas.text(
        panel.place.x + panel.place.width - 0.3, panel.place.y + _HEAD_LINES + 0.72, words, size=7.5, ha="right"
    )


def _heatmap(canvas: _Canvas, panel: Panel, found: list[list[Series]], window: Window) -> None:
    bounds = sorted((one for each in found for one in each), key=lambda one: float(one.name))
    times = sorted({when for one in bounds for when, _ in one.points})
    counts = [[dict(one.points).get(when, 0.0) for when in times] for one in bounds]
    # Buckets count what is below them, too.
    cells = [counts[0], *([b - a for a, b in zip(*two, strict=True)] for two in pairwise(counts))]
    axes = canvas.axes(panel.place, 1.0, 1.05, 0.3, 0.9)
    _time_axis(axes, window)
    used = [number for number, row in enumerate(cells) if max(row) > 0]
    first, last = max(0, used[0] - 1), min(len(cells), used[-1] + 2)
    edges = [*times, window.end] if times[-1] < window.end else [*times, window.end + 1]
    axes.pcolormesh(edges, range(last - first + 1), cells[first:last], cmap="Oranges", vmin=0)
    names = ["∞" if one.name == "+Inf" else written(float(one.name), panel.unit) for one in bounds[first:last]]
    axes.set_yticks([number + 1 for number in range(last - first)], names)


_DRAW: Final[dict[str, Callable[[_Canvas, Panel, list[list[Series]], Window], None]]] = {
    "timeseries": _graph,
    "stat": _stat,
    "table": _table,
    "state-timeline": _timeline,
    "heatmap": _heatmap,
}
