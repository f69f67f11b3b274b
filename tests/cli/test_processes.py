"""The processes of the distributed form by themselves: what they want, what they wait for, and how they end."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.real.broker import Broker
from tests.support.exchange_process import free_port
from tests.support.internal import listening
from tests.support.processes import PROGRAM, environment, run

PATIENCE_S = 120.0
NOBODY = "127.0.0.1:1"
CORES = ("ubscore", "matcher")
ALL = (*CORES, "settlement", "order-history", "gateway")


def configured(folder: Path, broker: str = NOBODY, prefix: str = "") -> Path:
    """A configuration with keys; nobody is at home where the database and the cores should be."""
    assert run("keys", folder).returncode == 0
    config = {
        "broker": {"bootstrapServers": [broker]} | ({"topicPrefix": prefix} if prefix else {}),
        "database": {"contactPoints": ["127.0.0.1"], "port": 1},
        "auth": {
            "secretKeyFile": str(folder / "secret.key"),
            "credentialsFile": str(folder / "credentials.json"),
        },
        "ubscore": {"addresses": [["http://127.0.0.1:1"]]},
        "matcher": {"addresses": [["http://127.0.0.1:1"]]},
    }
    path = folder / "exchange.yaml"
    path.write_text(json.dumps(config))
    return path


@contextmanager
def started(service: str, config: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and where it answers; its logs are on its stdout."""
    port = free_port()
    data = ["--data-dir", str(config.parent / "data")] if service in CORES else []
    listen = ["--port", "0"] if service == "gateway" else []
    command = [*PROGRAM, service, "--config", str(config), "--internal-port", str(port), *data, *listen]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
        cwd=config.parent,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def health(url: str, good: Callable[[dict[str, str]], bool]) -> httpx.Response:
    """The answer to a readiness probe whose components are as wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = httpx.get(f"{url}/health/ready", timeout=5.0)
            if good(answer.json()["components"]):
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, url
        time.sleep(0.02)


def stopped(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]], str]:
    """Ask it to stop; returns status, log lines, and what it complained of."""
    process.send_signal(signal.SIGTERM)
    out, complaints = process.communicate(timeout=PATIENCE_S)
    return process.returncode, [json.loads(line) for line in out.splitlines()], complaints


@pytest.mark.parametrize("service", ALL)
def test_process_without_a_broker_lives_says_what_it_waits_for_and_stops_when_told(
    service: str, tmp_path: Path
) -> None:
    with started(service, configured(tmp_path)) as (process, url):
        answer = health(url, lambda states: any(state.startswith("waiting for the") for state in states.values()))
        assert answer.status_code == 503
        assert httpx.get(f"{url}/health/live").status_code == 200
        assert "exchange_build_info" in httpx.get(f"{url}/metrics").text
        status, lines, complaints = stopped(process)
        assert (status, complaints) == (0, "")
    events = [line["event"] for line in lines if line["event"] != "library"]
    assert events[0] == "starting"
    assert events[-2:] == ["stopping", "stopped"]
    assert {line["service"] for line in lines} == {service.replace("-", "_")}
    said = [line["message"] for line in lines if line["event"] == "library"]
    assert len(said) == len(set(said)), "a library says the same again and again"
    # Nothing but its data folder: the rest of the file system may be read-only.
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "exchange.yaml", "secret.key", "credentials.json"}


def test_gateway_waits_for_a_database_whose_name_nobody_knows_yet(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with started("gateway", config, EXCHANGE_DATABASE__CONTACT_POINTS="[nowhere.invalid]") as (process, url):
        health(url, lambda states: "no host has an address" in "".join(states.values()))
        assert stopped(process)[0] == 0


@pytest.mark.parametrize("service", CORES)
def test_core_on_a_real_broker_is_ready_answers_who_has_the_token_and_holds_its_folder(
    service: str, tmp_path: Path, broker: Broker
) -> None:
    config = configured(tmp_path, broker.address, f"process-{service}.")
    with started(service, config) as (process, url):
        # Topics that nobody has made yet are waited for.
        health(url, lambda states: "waiting for the log: " in "".join(states.values()))
        assert run("topics", "apply", "--config", config).returncode == 0
        answer = health(url, lambda states: states.get(f"{service}-0") == "running")
        assert (answer.status_code, answer.json()["components"]["role"]) == (200, "active")
        assert httpx.get(f"{url}/state").status_code == 401
        other = run(service, "--config", config, "--data-dir", tmp_path / "data", "--internal-port", "0")
        assert other.returncode == 2
        assert other.stderr.startswith(f"exchange: data folder {tmp_path}/data/{service}-0 is in use by another")
        metrics = httpx.get(f"{url}/metrics").text
        assert f'exchange_core_active{{source="{service}-0"}} 1.0' in metrics
        assert stopped(process)[0] == 0


def test_core_whose_journal_is_broken_ends_with_the_position_and_status_1(tmp_path: Path, broker: Broker) -> None:
    config = configured(tmp_path, broker.address, "process-broken.")
    assert run("topics", "apply", "--config", config).returncode == 0
    folder = tmp_path / "data" / "ubscore-0"
    folder.mkdir(parents=True)
    (folder / "journal-00000000000000000000.log").write_bytes(b"no journal, but long enough to be looked at" * 9)
    (folder / "journal-00000000000000000007.log").write_bytes(b"no journal either")
    answer = run("ubscore", "--config", config, "--data-dir", tmp_path / "data", "--internal-port", "0")
    assert answer.returncode == 1
    assert answer.stderr.startswith(
        "exchange: stopped: JournalError: journal-00000000000000000000.log is broken at byte 0"
    )
    assert "Traceback" not in answer.stderr
    last = json.loads(answer.stdout.splitlines()[-1])
    assert (last["level"], last["event"]) == ("error", "stopped")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ubscore", "--shard", "1"), "--shard 1: wants less than 1, the number of shards in the settings"),
        (
            ("matcher",),
            "key `auth.secretKeyFile` is missing: `exchange keys FOLDER` makes secret.key and credentials.json",
        ),
        (
            ("gateway", "--port", "0"),
            "key `broker.bootstrapServers` is missing: name at least one host:port of the broker",
        ),
        (
            ("settlement",),
            "key `broker.bootstrapServers` is missing: name at least one host:port of the broker",
        ),
        (("order-history", "--internal-port", "70000"), "command line --internal-port: key `internal.port`: wants "),
    ],
)
def test_process_with_a_wrong_or_missing_setting_is_refused_with_status_2(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    internal = () if "--internal-port" in arguments else ("--internal-port", "0")
    answer = run(*arguments, *internal, cwd=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith(f"exchange: {sentence}")


def test_process_whose_internal_port_is_taken_names_the_option(tmp_path: Path) -> None:
    with listening() as other:
        port = other.getsockname()[1]
        answer = run("settlement", "--config", configured(tmp_path), "--internal-port", str(port))
    assert answer.returncode == 2
    assert answer.stderr.endswith("Address already in use; choose another with --internal-port\n")


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = run("keys", folder, "--user", "1001")
    assert first.stdout == f"{folder}/secret.key\n{folder}/credentials.json\n"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert list(json.loads(before["credentials.json"])["users"]) == ["1001"]
    assert run("keys", folder).returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run("keys", folder, "--user", "0").returncode == 2
