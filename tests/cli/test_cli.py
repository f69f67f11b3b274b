"""The command line: help, version, and one sentence instead of a traceback."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli import ExchangeCommands
from tests.support.internal import listening
from tests.support.processes import PROGRAM, environment, run


def test_help_names_every_command_with_its_sentence() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    printed = " ".join(answer.stdout.split())
    for command in ExchangeCommands.lazy:
        assert f"{command.name} " in printed
        assert command.help in printed


@pytest.mark.parametrize("command", ExchangeCommands.lazy, ids=lambda command: command.name)
def test_help_of_a_command_explains_its_options(command: object) -> None:
    answer = run(getattr(command, "name", ""), "--help")
    assert answer.returncode == 0, answer.stderr
    assert "--help" in answer.stdout


@pytest.mark.parametrize(
    ("command", "default"), [("demo", "logs in --data-dir"), ("replay", "how the file's name begins")]
)
def test_help_shows_defaults_that_are_worked_out(command: str, default: str) -> None:
    assert default in " ".join(run(command, "--help").stdout.split())


def test_help_imports_no_command() -> None:
    code = (
        "import sys\nfrom services.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print('IMPORTED', sorted(set(sys.modules) & {'fastapi', 'uvicorn', 'yaml', 'sqlite3'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.splitlines()[-1] == "IMPORTED []"


def test_version_is_printed() -> None:
    assert run("--version").stdout.startswith("exchange ")


def test_unknown_command_is_refused() -> None:
    answer = run("lcoal")
    assert answer.returncode == 2
    assert "No such command 'lcoal'" in answer.stderr


def test_local_with_a_mistake_in_the_file_says_where_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "exchange.yaml").write_text("server: {port: 80}\njournal: {flush: sometimes}\nlogs: {}\n")
    answer = run("local", "--config", "exchange.yaml", cwd=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines() == [
        "exchange: exchange.yaml:3: key `logs` is unknown: did you mean `log`?",
        'exchange: exchange.yaml:2: key `journal.flush`: wants one of batch, interval, got the text "sometimes"',
    ]
    assert not (tmp_path / "data").exists()


def test_local_with_a_mistake_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    answer = run("local", cwd=tmp_path, EXCHANGE_SERVER__PORT="all")
    assert answer.returncode == 2
    assert answer.stderr.startswith("exchange: environment EXCHANGE_SERVER__PORT: key `server.port`: wants")


def test_local_on_a_port_in_use_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("local", "--port", str(port), "--data-dir", tmp_path / "data")
    assert answer.returncode == 2
    expected = f"exchange: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --port\n"
    assert answer.stderr == expected


def test_local_on_a_host_that_is_not_here_says_so(tmp_path: Path) -> None:
    answer = run("local", "--host", "no.such.host.invalid", "--data-dir", tmp_path / "data")
    assert answer.returncode == 2
    assert answer.stderr.startswith("exchange: host 'no.such.host.invalid' is no address of this machine")


def test_local_with_a_file_for_a_data_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    answer = run("local", "--data-dir", tmp_path / "data", "--port", "0")
    assert answer.returncode == 2
    assert answer.stderr == f"exchange: data folder {tmp_path / 'data'}: File exists\n"


def test_log_tail_of_an_unknown_topic_names_the_topics(tmp_path: Path) -> None:
    answer = run("log", "tail", "trades", "--data-dir", tmp_path)
    assert answer.returncode == 2
    assert "there are balance.operations, balance.events, orders, engine.outputs" in answer.stderr


def test_log_tail_of_an_empty_folder_says_so(tmp_path: Path) -> None:
    answer = run("log", "tail", "orders", "--data-dir", tmp_path)
    assert answer.returncode == 2
    assert "holds no log" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_command_that_is_told_to_stop_ends_at_once_with_143() -> None:
    """Also as the first process of a container, which gets no signal that it has not asked for."""
    with listening() as silent:
        silent.listen()
        broker = f"[127.0.0.1:{silent.getsockname()[1]}]"
        rootless = ["--user", "--map-root-user"] if os.geteuid() else []
        process = subprocess.Popen(
            ["unshare", *rootless, "--pid", "--fork", "--kill-child", *PROGRAM, "topics", "apply"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(EXCHANGE_BROKER__BOOTSTRAP_SERVERS=broker),
        )
        try:
            silent.accept()
            (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(first), signal.SIGTERM)
            _, complaint = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, complaint) == (143, "exchange: stopped, as it was told\n")
