"""JSON logs: every line is an object, no line waits, errors are never dropped, secrets never written."""

import json
import logging
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.adapters.logs.lines import Entry, encode_head, encode_lines
from services.adapters.logs.logs import Logs, ServiceLog
from services.adapters.logs.sinks import FolderSink

DAY_NS = 86_400 * 10**9


def lines_in(folder: Path, service: str) -> list[dict[str, Any]]:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"{service}.log.*")))
    return [json.loads(line) for line in text.splitlines()]


class Gate:
    """Holds the writing thread inside a line until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, item: int) -> Mapping[str, Any]:
        self.entered.set()
        assert self.opened.wait(30)
        return {"item": item}


def held(folder: Path) -> tuple[Logs, ServiceLog, Gate]:
    """Logs whose queue holds ten lines, and nobody takes one out: the hot line of item 0 is being written."""
    logs, gate = Logs(folder, queue_lines=10), Gate()
    log = logs.service("ubscore")
    log.records("hot", [0], gate)
    assert gate.entered.wait(30)
    return logs, log, gate


def test_log_line_holds_time_level_service_shard_event_and_fields(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.service("ubscore", shard=0).info("deposit", event_id="deposit_1001_BTC_1", request_id=7, trace_id="ab")
    logs.close()
    (line,) = lines_in(tmp_path, "ubscore")
    time = line.pop("timestamp")
    assert len(time) == 24
    assert (time[10], time[19], time[-1]) == ("T", ".", "Z")
    assert list(line.items()) == [
        ("level", "info"),
        ("service", "ubscore"),
        ("shard", 0),
        ("event", "deposit"),
        ("event_id", "deposit_1001_BTC_1"),
        ("request_id", 7),
        ("trace_id", "ab"),
    ]


def test_log_line_without_shard_or_fields_is_still_an_object(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.service("gateway").warning("started")
    logs.close()
    (line,) = lines_in(tmp_path, "gateway")
    assert list(line) == ["timestamp", "level", "service", "event"]


def test_log_records_write_a_line_for_each_item_in_order(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    log = logs.service("matcher", shard=2)
    log.info("before")
    log.records("trade", [1, 2, 3], lambda item: {"trade_id": item})
    log.records("trade", [4], lambda item: {"event": "block_trade", "trade_id": item})
    log.records("trade", [], lambda item: {"trade_id": item})
    log.info("after")
    logs.close()
    said = [(line["event"], line.get("trade_id")) for line in lines_in(tmp_path, "matcher")]
    trades = [("trade", 1), ("trade", 2), ("trade", 3), ("block_trade", 4)]
    assert said == [("before", None), *trades, ("after", None)]


def test_log_below_the_level_is_not_written(tmp_path: Path) -> None:
    logs = Logs(tmp_path, level="warning")
    log = logs.service("gateway")
    log.debug("a")
    log.info("b")
    log.records("c", [1], lambda item: {"item": item})
    log.warning("d")
    log.error("e")
    logs.close()
    assert [line["event"] for line in lines_in(tmp_path, "gateway")] == ["d", "e"]


def test_log_to_stdout_prints_lines(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs = Logs()
    logs.service("gateway").info("started", port=3001)
    assert logs.flush()
    printed = capfdbinary.readouterr().out
    logs.close()
    assert json.loads(printed)["port"] == 3001


def test_log_flush_waits_until_the_lines_are_in_the_file(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    log = logs.service("gateway")
    for number in range(3):
        log.info("tick", number=number)
        assert logs.flush()
        assert len(lines_in(tmp_path, "gateway")) == number + 1
    logs.close()


def test_log_of_a_full_queue_drops_hot_lines_counts_them_and_keeps_errors(tmp_path: Path) -> None:
    logs, log, gate = held(tmp_path)
    for item in range(1, 31):
        log.records("hot", [item], gate)
    for number in range(50):
        log.error("broken", number=number)
    log.info("seldom")
    gate.opened.set()
    logs.close()
    lines = lines_in(tmp_path, "ubscore")
    assert [line["item"] for line in lines if line["event"] == "hot"] == list(range(10))
    assert [line["number"] for line in lines if line["event"] == "broken"] == list(range(50))
    dropped = [line["count"] for line in lines_in(tmp_path, "logs") if line["event"] == "log_lines_dropped"]
    assert sum(dropped) == 21 + 1


def test_log_keeps_seldom_lines_when_only_hot_ones_fill_the_queue(tmp_path: Path) -> None:
    logs, log, gate = held(tmp_path)
    log.records("hot", list(range(9)), gate)
    log.debug("detail")
    log.info("seldom")
    log.warning("strange")
    gate.opened.set()
    logs.close()
    assert [line["event"] for line in lines_in(tmp_path, "ubscore")][10:] == ["seldom", "strange"]


def test_log_secrets_are_redacted_at_every_depth(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    log = logs.service("gateway")
    log.info(
        "request",
        secret_key="s3cr3t",
        Authorization="Bearer s3cr3t",
        signature="s3cr3t",
        headers={"authorization": "s3cr3t", "host": "x", "more": {"password": "s3cr3t"}},
    )
    log.records("key", ["s3cr3t"], lambda item: {"secret_encrypted": item, "user_id": 1001})
    logs.close()
    request, key = lines_in(tmp_path, "gateway")
    assert "s3cr3t" not in json.dumps([request, key])
    assert request["headers"] == {"authorization": "[redacted]", "host": "x", "more": {"password": "[redacted]"}}
    assert (key["secret_encrypted"], key["user_id"]) == ("[redacted]", 1001)


@pytest.mark.parametrize("value", ["\ud800", 10**40, {1, 2}, b"\xff", float("nan"), {1: 2}, 'quote " line \n end'])
def test_log_value_of_any_kind_is_one_line_of_json(tmp_path: Path, value: object) -> None:
    logs = Logs(tmp_path)
    logs.service("gateway").info("odd", value=value, user_id=1001)
    logs.close()
    (line,) = lines_in(tmp_path, "gateway")
    assert "value" in line
    assert str(line["user_id"]) == "1001"


def test_log_field_with_a_reserved_name_never_hides_the_line_s_own(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.service("gateway").info("odd", level="error", service="x", timestamp=1)
    logs.close()
    (line,) = lines_in(tmp_path, "gateway")
    assert (line["level"], line["service"]) == ("info", "gateway")
    assert (line["level_"], line["service_"], line["timestamp_"]) == ("error", "x", 1)


def test_log_line_that_cannot_be_formatted_is_reported_and_costs_no_other(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    log = logs.service("gateway")
    log.records("bad", [1], lambda item: {"item": item / 0})
    log.info("good")
    logs.close()
    assert [line["event"] for line in lines_in(tmp_path, "gateway")] == ["good"]
    (failed,) = lines_in(tmp_path, "logs")
    assert (failed["event"], failed["failed_event"], failed["level"]) == ("log_format_failed", "bad", "error")


def test_log_folder_has_a_file_for_each_service_and_utc_day(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path)
    for day in (0, 0, 1):
        entry = Entry(day * DAY_NS + 1_500_000, "info", "matcher", encode_head("matcher", 0), "tick", {"day": day})
        sink.add(entry, b"".join(encode_lines(entry)))
        assert sink.flush() == 0
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["matcher.log.1970-01-01", "matcher.log.1970-01-02"]
    first = (tmp_path / "matcher.log.1970-01-01").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["timestamp"] for line in first] == ["1970-01-01T00:00:00.001Z"] * 2


def test_log_file_that_cannot_be_written_counts_its_lines_and_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    logs = Logs(folder)
    log = logs.service("gateway")
    os.rename(folder, tmp_path / "away")
    log.info("lost")
    assert logs.flush()
    os.rename(tmp_path / "away", folder)
    log.info("kept")
    logs.close()
    assert [line["event"] for line in lines_in(folder, "gateway")] == ["kept"]
    assert [line["count"] for line in lines_in(folder, "logs")] == [1]


def test_log_captures_what_libraries_say(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    before = logging.getLogger().handlers
    with logs.capturing_stdlib(logs.service("gateway")):
        logging.getLogger("uvicorn.error").warning("slow %s", "client")
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("asyncio").exception("task failed")
        logging.getLogger("uvicorn").error("%d", "no number")
        logging.getLogger("uvicorn").debug("detail")
    assert logging.getLogger().handlers == before
    logs.close()
    warning, failure, odd = lines_in(tmp_path, "gateway")
    assert (warning["level"], warning["logger"], warning["message"]) == ("warning", "uvicorn.error", "slow client")
    assert failure["level"] == "error"
    assert "ValueError: broken" in failure["exception"]
    assert odd["message"] == "%d"
