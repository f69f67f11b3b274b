"""The chart's dashboards are what the code says, and whole: for people, and for Grafana."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml
from exchange_dashboards.__main__ import write

from services.adapters.metrics.catalogue import CATALOGUE
from tests.dashboards.boards import FILES, FOLDER, Board, boards, filled, queries
from tests.operator.chart import render
from tests.real.fetched import require_programs

_BOARDS: Final = boards()
_MOST_BYTES: Final = 256 * 1024
"""A quarter of what a ConfigMap may hold, and what `kubectl apply` can remember of one."""
_ALL: Final = dict.fromkeys(("namespace", "exchange", "operator", "symbol"), ".*")
_TIMES: Final = {"__rate_interval": "1m", "__range": "1h"}

each_board = pytest.mark.parametrize("board", _BOARDS, ids=[board.name for board in _BOARDS])


def test_files_are_what_the_code_writes(tmp_path: Path) -> None:
    (tmp_path / "gone.json").write_text("{}")
    write(tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in FILES}, "run: make dashboards"
    assert len(written) == 7


@each_board
def test_file_fits_into_a_config_map(board: Board) -> None:
    assert len(board.text.encode()) < _MOST_BYTES


@each_board
def test_rows_ask_and_panels_answer(board: Board) -> None:
    assert all(row.title.endswith("?") for row in board.rows)
    for panel in board.panels:
        assert panel.description.endswith("."), panel
        assert panel.unit, panel
        assert panel.targets, panel


@each_board
def test_panels_have_numbers_of_their_own_and_fill_the_grid(board: Board) -> None:
    numbers = [panel["id"] for panel in board.json["panels"]]
    assert numbers == sorted(set(numbers))
    cells = [
        (column, line)
        for panel in (*board.panels, *board.rows)
        for column in range(panel.place.x, panel.place.x + panel.place.width)
        for line in range(panel.place.y, panel.place.y + panel.place.height)
    ]
    lines = {line for _, line in cells}
    assert len(cells) == len(set(cells))
    assert set(cells) == {(column, line) for column in range(24) for line in lines}


@each_board
def test_links_lead_to_dashboards_and_to_traces(board: Board) -> None:
    known = {one.uid for one in _BOARDS}
    ours, traces = board.json["links"]
    assert (ours["type"], ours["tags"]) == ("dashboards", board.json["tags"])
    assert "${traces}" in traces["url"]
    for panel in board.panels:
        for url in panel.links:
            assert url == traces["url"] or re.match(r"/d/([\w-]+)\?", url)[1] in known, panel


@each_board
def test_variables_are_declared(board: Board) -> None:
    declared = [one["name"] for one in board.json["templating"]["list"]]
    assert (declared[0], declared[-1]) == ("datasource", "traces")
    values = dict.fromkeys(declared, "") | _TIMES
    for panel, query in queries(board):
        assert filled(query["expr"], values), panel
        assert query["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_queries_ask_for_metrics_that_there_are() -> None:
    known = {family.shown_name for family in CATALOGUE}
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for board in _BOARDS
        for _, query in queries(board)
        for name in re.findall(r"\bexchange_(?!operator_)\w+", query["expr"])
    }
    assert len(asked) > 40
    assert asked - known == set()


def test_queries_are_promql(tmp_path: Path) -> None:
    require_programs(("promtool",), ("prometheus",))
    rules = [
        {"record": f"panel:{number}", "expr": filled(query["expr"], _ALL | _TIMES)}
        for number, query in enumerate(query for board in _BOARDS for _, query in queries(board))
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["promtool", "check", "rules", "rules.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_chart_carries_each_as_it_is() -> None:
    found = [one["data"] for one in render() if one["kind"] == "ConfigMap"]
    assert found == [{path.name: path.read_text()} for path in FILES]
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in FILES}
