"""Levels asked for and changed from another process, by who may."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from services.adapters.logs.control import PREFIX, RESET, LevelRequest, LogControl, ask, running_processes
from services.adapters.logs.levels import LogLevel, LogLevels
from tests.support.processes import ROOT, environment

ASK = """
import os
from services.adapters.logs.control import LevelRequest, ask
if {user}:
    os.setgroups([])
    os.setuid({user})
print(ask({pid}, LevelRequest("debug", "settlement", 60_000)).error)
"""


@pytest.fixture
def levels() -> Iterator[LogLevels]:
    levels = LogLevels("info")
    levels.add_service("settlement")
    control = LogControl("settlement-1", levels)
    control.start()
    yield levels
    control.close()
    levels.close()


def ask_elsewhere(user: int) -> str:
    """Another process, of this user (0: our own), asks for debug; the error that it was answered."""
    code = ASK.format(user=user, pid=os.getpid())
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(), check=True
    )
    return done.stdout.strip()


def test_control_other_process_of_the_same_user_changes_the_level(levels: LogLevels) -> None:
    assert ask_elsewhere(0) == ""
    assert levels.enabled("debug", "settlement")
    assert levels.listed()[1].until_ms is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_control_other_user_is_refused(levels: LogLevels) -> None:
    assert "only root and the process's own user may ask" in ask_elsewhere(65_534)
    assert levels.listed() == [LogLevel("", "info")]


def test_control_lists_and_resets(levels: LogLevels) -> None:
    pid = os.getpid()
    assert ask(pid, LevelRequest()).levels == [LogLevel("", "info")]
    changed = ask(pid, LevelRequest("debug"))
    assert (changed.process, changed.pid, changed.levels) == ("settlement-1", pid, [LogLevel("", "debug")])
    assert ask(pid, LevelRequest(RESET)).levels == [LogLevel("", "info")]


def test_control_wrong_requests_are_answered_with_what_is_wrong(levels: LogLevels) -> None:
    pid = os.getpid()
    assert "wants one of" in ask(pid, LevelRequest("loud")).error
    assert "did you mean settlement" in ask(pid, LevelRequest("debug", "setlement")).error
    for data in (b"\n", b"[1]\n", b'{"level": 1}\n', b"\xff\n"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10)
            connection.connect(f"\0{PREFIX}{pid}")
            connection.sendall(data)
            assert json.loads(connection.recv(4096))["error"], data
    assert ask(pid, LevelRequest()).levels == [LogLevel("", "info")]


def test_control_who_says_nothing_does_not_keep_others_waiting_for_long(levels: LogLevels) -> None:
    pid = os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(f"\0{PREFIX}{pid}")
        time.sleep(2.5)
        assert ask(pid, LevelRequest()).error == ""


def test_control_processes_are_found_while_they_listen(levels: LogLevels) -> None:
    assert os.getpid() in running_processes()


def test_control_that_is_closed_is_found_no_more() -> None:
    control = LogControl("ubscore-0", LogLevels())
    control.start()
    control.close()
    assert os.getpid() not in running_processes()
    with pytest.raises(OSError, match="refused"):
        ask(os.getpid(), LevelRequest())
