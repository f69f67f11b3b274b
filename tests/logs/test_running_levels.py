"""The levels of a real process, changed by the command and by the API while it trades."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.logs.story import client_of, lines_of, place
from tests.support.processes import LocalProcess, run


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[LocalProcess]:
    """It says little: no record has a line."""
    with LocalProcess(tmp_path / "data", "--demo", EXCHANGE_LOG__EVENTS="false") as process:
        yield process


def events(exchange: LocalProcess, service: str) -> list[str]:
    assert exchange.stop()[0] == 0
    return [line["event"] for line in lines_of(exchange.data_dir / "logs") if line["service"] == service]


def log_level(exchange: LocalProcess, *arguments: str) -> list[str]:
    done = run("log-level", *arguments, "--pid", str(exchange.process.pid))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_command_changes_one_service_of_a_running_process(exchange: LocalProcess) -> None:
    pid = exchange.process.pid
    with client_of(exchange, "1001") as seller:
        place(seller, "Sell", "before")
        before, after = log_level(exchange, "debug", "--logger", "ubscore", "--keep")
        assert before == f"local ({pid})  everything: info"
        assert after == f"local ({pid})  ubscore: debug"
        place(seller, "Sell", "traced")
        assert log_level(exchange, "reset") == [before]
        place(seller, "Sell", "after")
    assert exchange.stop()[0] == 0
    lines = lines_of(exchange.data_dir / "logs")
    assert [line["cid"] for line in lines if line["event"] == "order_accepted"] == ["traced"]
    assert [line for line in lines if line["event"] == "command_matched"] == []


def test_command_time_is_over_it_falls_back_by_itself(exchange: LocalProcess) -> None:
    shown = log_level(exchange, "debug", "--for", "700ms")
    assert shown[0].startswith(f"local ({exchange.process.pid})  everything: debug until ")
    deadline = time.monotonic() + 30
    while "debug" in log_level(exchange)[0]:
        assert time.monotonic() < deadline
    assert events(exchange, "logs") == ["log_levels_changed", "log_levels_changed"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("loud",), 2, "wants one of debug, info, warning, error, reset"),
        (("debug", "--for", "soon"), 2, "wants a duration such as"),
        (("debug", "--for", "8d"), 2, "--keep"),
        (("debug", "--pid", "1"), 1, "process 1 does not answer"),
    ],
)
def test_command_that_is_wrong_says_what_it_wants(arguments: tuple[str, ...], status: int, sentence: str) -> None:
    done = run("log-level", *arguments)
    assert done.returncode == status
    assert sentence in done.stderr


def test_api_changes_the_level_for_administrators_alone(exchange: LocalProcess) -> None:
    path, debug = "/api/admin/log-level", {"level": "debug", "logger": "matcher", "for_ms": 60_000}
    with client_of(exchange, "1001") as user, client_of(exchange, "admin") as admin:
        assert user.put(path, json=debug).status_code == 403
        assert user.get(path).status_code == 403
        assert httpx.put(exchange.url + path, json=debug).status_code == 401
        assert admin.get(path).json() == {"levels": [{"logger": "", "level": "info", "until_ms": None}]}
        everything, matcher = admin.put(path, json=debug).raise_for_status().json()["levels"]
        assert everything["level"] == "info"
        assert (matcher["logger"], matcher["level"]) == ("matcher", "debug")
        assert 0 < matcher["until_ms"] - time.time() * 1000 <= 60_000
        place(user, "Sell", "seen")
        for wrong in ({"level": "loud"}, {"level": "debug", "logger": "nobody"}, {"level": "debug", "for_ms": 0}):
            answer = admin.put(path, json=wrong)
            assert (answer.status_code, answer.json()["code"]) == (400, -1100)
        assert [level["level"] for level in admin.put(path, json={}).json()["levels"]] == ["info"]
        place(user, "Sell", "unseen")
    assert events(exchange, "matcher").count("command_matched") == 1
