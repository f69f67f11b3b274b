"""`exchange local` as a process: it starts, goes on from its data, stops in order, and fails with its reason."""

import asyncio
import json
import signal
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx

from services.adapters.ports import Append
from services.adapters.sqlite.log import SqliteLog
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from tests.support.processes import LocalProcess, run


def credentials(data_dir: Path) -> dict[str, Any]:
    path = data_dir / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def balances(exchange: LocalProcess, key: dict[str, str]) -> Any:
    with closing(exchange.client(key)) as client:
        return client.get("/api/balances").raise_for_status().json()


def test_local_demo_starts_goes_on_from_its_data_and_stops_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LocalProcess(data, "--demo") as exchange:
        assert httpx.get(f"{exchange.url}/health/ready").status_code == 200
        keys = credentials(data)
        assert list(keys["users"]) == ["1001", "1002", "1003"]
        before = balances(exchange, keys["users"]["1002"])
        busy = run("local", "--port", "0", "--data-dir", data)
        assert busy.returncode == 2
        assert busy.stderr.startswith(f"exchange: data folder {data} is in use by another process")
        status, printed, complaints = exchange.stop()
        assert (status, complaints) == (0, "")
        assert keys["admin"]["secret_key"] in printed
        assert keys["users"]["1003"]["api_key"] in printed
        assert printed.endswith("Stopped.\n")
    with LocalProcess(data, "--demo") as exchange:
        assert credentials(data) == keys
        assert balances(exchange, keys["users"]["1002"]) == before
        assert "10000000" in json.dumps(before)
        assert exchange.stop(signal.SIGINT)[0] == 0
    events = [json.loads(line) for path in (data / "logs").glob("ubscore.log.*") for line in path.open()]
    deposits = [line["transfer_id"] for line in events if line["event"] == "transfer_completed"]
    assert sorted(deposits) == sorted(
        f"demo_{user}_{asset}" for user in keys["users"] for asset in ("BTC", "ETH", "USDT")
    )


def test_local_without_demo_has_an_admin_and_what_the_settings_declare(tmp_path: Path) -> None:
    config = tmp_path / "exchange.yaml"
    config.write_text("assets: [{name: EUR, scale: 2}]\n")
    with LocalProcess(tmp_path / "data", "--config", config) as exchange:
        keys = credentials(tmp_path / "data")
        assert (list(keys), keys["users"]) == (["admin", "users"], {})
        metrics = httpx.get(f"{exchange.url}/metrics").text
        assert 'exchange_records_total{direction="in",source="ubscore-0",type="SetAsset"} 1.0' in metrics
        assert exchange.stop()[0] == 0


def test_local_with_another_scale_for_a_declared_asset_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "exchange.yaml"
    config.write_text("assets: [{name: EUR, scale: 2}]\n")
    with LocalProcess(tmp_path / "data", "--config", config) as exchange:
        assert exchange.stop()[0] == 0
    config.write_text("assets: [{name: EUR, scale: 3}]\n")
    answer = run("local", "--config", config, "--data-dir", tmp_path / "data", "--port", "0", "--log-to", "stdout")
    assert answer.returncode == 2
    assert answer.stderr == "exchange: asset EUR was refused: ASSET_SCALE_FIXED\n"
    assert [json.loads(line)["event"] for line in answer.stdout.splitlines()] == ["command_rejected"]


def test_local_with_a_log_folder_writes_its_logs_there(tmp_path: Path) -> None:
    with LocalProcess(tmp_path / "data", LOG_DIR=str(tmp_path / "elsewhere")) as exchange:
        assert exchange.stop()[0] == 0
    assert [path.name.partition(".")[0] for path in (tmp_path / "elsewhere").iterdir()] == ["gateway"]
    assert not (tmp_path / "data" / "logs").exists()


def test_local_with_more_connections_than_files_goes_on(tmp_path: Path) -> None:
    """Whoever only connects, and says nothing, must not take the files that the next snapshot needs."""
    config = tmp_path / "exchange.yaml"
    config.write_text("journal: {snapshotInterval: 50ms}\n")
    data = tmp_path / "data"
    with LocalProcess(data, "--demo", "--config", config, most_files=200) as exchange, ExitStack() as connections:
        with closing(exchange.client(credentials(data)["admin"])) as admin:
            address = ("127.0.0.1", int(exchange.url.rpartition(":")[2]))
            idle = [connections.enter_context(socket.create_connection(address, timeout=20)) for _ in range(250)]
            assert idle[-1].recv(4096).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            before = set(data.glob("ubscore-0/snapshot-*"))
            end = time.monotonic() + 30
            while not set(data.glob("ubscore-0/snapshot-*")) - before:
                assert time.monotonic() < end, "no snapshot was taken"
                assert admin.post("/api/admin/users", json={"user_id": 7}).status_code == 200
        connections.close()
        assert exchange.stop()[0] == 0


def test_local_whose_log_was_lost_does_not_start_and_says_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LocalProcess(data, "--demo") as exchange:
        assert exchange.stop()[0] == 0
    for path in data.glob("log.sqlite3*"):
        path.unlink()
    answer = run("local", "--data-dir", data, "--port", "0")
    assert answer.returncode == 1
    assert answer.stderr.startswith("exchange: stopped: ")
    assert "balance.events/0" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_local_whose_log_somebody_else_writes_stops_with_the_reason(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def write() -> None:
        log = SqliteLog(data / "log.sqlite3")
        await log.append([Append(TopicPartition(BALANCE_OPERATIONS, 0), b"nobody's frame")])
        await log.close()

    with LocalProcess(data, "--demo") as exchange:
        asyncio.run(write())
        with closing(exchange.client(credentials(data)["admin"])) as admin:
            assert admin.post("/api/admin/users", json={"user_id": 7}).status_code >= 500
        status, _, complaints = exchange.wait()
        assert status == 1
        assert complaints.startswith("exchange: stopped: LogError: ")
    (line,) = [json.loads(line) for path in (data / "logs").glob("local.log.*") for line in path.open()]
    assert (line["level"], line["event"]) == ("error", "stopped")
    assert line["reason"].startswith("LogError: ")
