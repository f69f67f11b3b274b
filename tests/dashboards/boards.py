"""The dashboards as Grafana reads them: from the chart's files."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.processes import ROOT

FOLDER: Final = ROOT / "charts" / "exchange-operator" / "dashboards"
FILES: Final = tuple(sorted(FOLDER.glob("*.json")))
DISTRIBUTED: Final = "Distributed form only."
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Place:
    """On the grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


class Panel:
    """One panel."""

    def __init__(self, board: str, panel: dict[str, Any]) -> None:
        grid = panel["gridPos"]
        self.board = board
        self.title: str = panel["title"]
        self.kind: str = panel["type"]
        self.description: str = panel.get("description", "")
        self.place = Place(grid["x"], grid["y"], grid["w"], grid["h"])
        self.targets: list[dict[str, Any]] = panel.get("targets", [])
        self.links: list[str] = [link["url"] for link in panel.get("links", [])]
        self._transformations: list[dict[str, Any]] = panel.get("transformations", [])
        self._defaults: dict[str, Any] = panel.get("fieldConfig", {}).get("defaults", {})

    def __str__(self) -> str:
        return f"{self.board}: {self.title}"

    @property
    def unit(self) -> str:
        return self._defaults["unit"]

    @property
    def is_whole(self) -> bool:
        return self._defaults.get("decimals") == 0

    @property
    def is_from_zero(self) -> bool:
        return self._defaults.get("custom", {}).get("axisSoftMin") == 0

    @property
    def value_name(self) -> str:
        """Of a table."""
        return self._transformations[0]["options"]["renameByName"]["Value"]

    @property
    def is_stacked(self) -> bool:
        return "stacking" in self._defaults.get("custom", {})

    @property
    def words(self) -> dict[float, str]:
        """What values are called."""
        options = [mapping["options"] for mapping in self._defaults.get("mappings", [])]
        return {float(value): shown["text"] for one in options for value, shown in one.items()}

    @property
    def steps(self) -> list[tuple[float, str]]:
        """From which value on which colour."""
        steps = self._defaults["thresholds"]["steps"]
        return [(float("-inf") if step["value"] is None else step["value"], step["color"]) for step in steps]

    def color(self, value: float) -> str:
        return [color for bound, color in self.steps if value >= bound][-1]

    @property
    def is_distributed_only(self) -> bool:
        return DISTRIBUTED in self.description


@dataclass(frozen=True)
class Board:
    """A dashboard. text: its file."""

    name: str
    title: str
    uid: str
    text: str
    json: dict[str, Any]
    panels: list[Panel]
    rows: list[Panel]


def boards() -> list[Board]:
    """All of them."""
    return [_board(path) for path in FILES]


def _board(path: Path) -> Board:
    text = path.read_text(encoding="utf-8")
    read = json.loads(text)
    panels = [Panel(path.stem, panel) for panel in read["panels"]]
    rows = [panel for panel in panels if panel.kind == "row"]
    return Board(path.stem, read["title"], read["uid"], text, read, [p for p in panels if p.kind != "row"], rows)


def filled(text: str, values: Mapping[str, str]) -> str:
    """As Grafana puts values in for variables. Raises KeyError for one that nobody has named."""
    return _VARIABLE.sub(lambda found: values[found[1]], text)


def queries(board: Board) -> Iterator[tuple[Panel, dict[str, Any]]]:
    """Every query of a dashboard, with its panel."""
    for panel in board.panels:
        for target in panel.targets:
            yield panel, target
