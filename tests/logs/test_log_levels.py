"""Levels of a running process: of everything, of one service, of one library; and back by themselves."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.adapters.logs.levels import FLOORS, MAX_FOR_MS, LogLevel, LogLevels
from services.adapters.logs.logs import Logs
from services.domain.errors import FormatError


@pytest.fixture
def levels() -> Iterator[LogLevels]:
    levels = LogLevels("info")
    for name in ("gateway", "settlement", "order_history"):
        levels.add_service(name)
    yield levels
    levels.close()


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def until(levels: LogLevels, listed: list[LogLevel]) -> None:
    deadline = time.monotonic() + 10
    while levels.listed() != listed:
        assert time.monotonic() < deadline, levels.listed()
        time.sleep(0.01)


def test_level_of_everything_counts_for_every_service_without_its_own(levels: LogLevels) -> None:
    levels.set("error")
    levels.set("debug", "settlement")
    assert not levels.enabled("warning", "gateway")
    assert levels.enabled("debug", "settlement")
    assert levels.listed() == [LogLevel("", "error"), LogLevel("settlement", "debug")]


def test_level_that_is_reset_is_that_of_the_start(levels: LogLevels) -> None:
    levels.set("debug")
    levels.set("error", "settlement")
    levels.reset("settlement")
    assert levels.listed() == [LogLevel("", "debug")]
    levels.set("error", "gateway")
    levels.reset()
    assert levels.listed() == [LogLevel("", "info")]
    assert levels.enabled("info", "gateway")


def test_level_with_a_time_falls_back_and_tells(levels: LogLevels) -> None:
    told: list[list[LogLevel]] = []
    levels.set("debug", "settlement", for_ms=50)
    levels.listeners.append(lambda: told.append(levels.listed()))
    _, change = levels.listed()
    assert change.until_ms is not None
    assert 0 < change.until_ms - time.time() * 1000 <= 50
    until(levels, [LogLevel("", "info")])
    assert told == [[LogLevel("", "info")]]


def test_level_that_is_set_again_forgets_the_former_time(levels: LogLevels) -> None:
    levels.set("debug", for_ms=50)
    levels.set("debug")
    time.sleep(0.2)
    assert levels.listed() == [LogLevel("", "debug")]


def test_level_of_a_service_may_be_asked_for_by_the_name_of_its_command(levels: LogLevels) -> None:
    levels.set("debug", "order-history")
    assert levels.listed()[1:] == [LogLevel("order_history", "debug")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("loud", "", None), "wants one of debug, info, warning, error"),
        (("debug", "setlement", None), "did you mean settlement"),
        (("debug", "", 0), "at least"),
        (("debug", "", MAX_FOR_MS + 1), "at most"),
        (("debug", "aiokafka.conn", None), "would say secrets at level debug; info is the least"),
        (("info", "kopf.objects", None), "warning is the least"),
    ],
)
def test_level_that_cannot_be_is_refused_and_changes_nothing(
    levels: LogLevels, arguments: tuple[str, str, int | None], sentence: str
) -> None:
    for name in FLOORS:
        logging.getLogger(name)
    with pytest.raises(FormatError, match=sentence):
        levels.set(*arguments)
    assert levels.listed() == [LogLevel("", "info")]


def test_lines_of_a_running_process_follow_its_levels(tmp_path: Path) -> None:
    logs = Logs(tmp_path, "warning")
    settlement, gateway = logs.service("settlement"), logs.service("gateway")
    settlement.debug("before")
    logs.levels.set("debug", "settlement")
    settlement.debug("one")
    settlement.records("record", [1, 2], lambda item: {"item": item}, "debug")
    gateway.info("silent")
    logs.levels.reset()
    settlement.info("after")
    logs.close()
    said = [(line["service"], line["event"]) for line in lines_in(tmp_path) if line["service"] != "logs"]
    assert said == [("settlement", "one"), ("settlement", "record"), ("settlement", "record")]


def test_change_of_a_level_is_a_line_whatever_the_level_is(tmp_path: Path) -> None:
    logs = Logs(tmp_path, "error")
    logs.levels.set("warning")
    logs.close()
    (line,) = lines_in(tmp_path)
    assert (line["event"], line["levels"]) == ("log_levels_changed", ["everything warning"])
