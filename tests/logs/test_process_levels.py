"""Each process of the distributed form changes its levels too, also while it waits for a broker that is away."""

import json
import time
from pathlib import Path

import pytest

from services.adapters.logs.control import LevelRequest, ask
from services.adapters.logs.levels import LogLevel
from tests.logs.story import lines_of
from tests.support.exchange_process import free_port
from tests.support.processes import run
from tests.support.service_process import ServiceProcess

CORES = ("ubscore", "matcher")


def configured(folder: Path) -> Path:
    """Nobody is at home where broker, database and cores should be."""
    assert run("keys", folder).returncode == 0
    nobody = {"addresses": [["http://127.0.0.1:1"]]}
    path = folder / "exchange.yaml"
    files = {"secretKeyFile": str(folder / "secret.key"), "credentialsFile": str(folder / "credentials.json")}
    broker, database = {"bootstrapServers": ["127.0.0.1:1"]}, {"contactPoints": ["127.0.0.1"], "port": 1}
    settings = {"broker": broker, "database": database, "auth": files, "ubscore": nobody, "matcher": nobody}
    path.write_text(json.dumps(settings | {"log": {"level": "error"}}))
    return path


@pytest.mark.parametrize("service", ["gateway", *CORES, "settlement", "order-history"])
def test_process_of_the_distributed_form_changes_its_level(tmp_path: Path, service: str) -> None:
    own = {"gateway": ["--port", "0"]} | {core: ["--data-dir", str(tmp_path / "data")] for core in CORES}
    arguments = [service, "--config", str(configured(tmp_path)), "--shard", "3" if service not in CORES else "0"]
    process = ServiceProcess(
        service, arguments + own.get(service, []), free_port(), tmp_path, LOG_DIR=str(tmp_path / "logs")
    )
    process.start()
    try:
        deadline = time.monotonic() + 120
        while "not ready" not in process.health():
            assert process.is_running, process.output
            assert time.monotonic() < deadline
        pid, name = process.process.pid, service.replace("-", "_")
        assert ask(pid, LevelRequest()).levels == [LogLevel("", "error")]
        changed = ask(pid, LevelRequest("info", service, 60_000))
        assert (changed.process.rpartition("-")[0], changed.error) == (service, "")
        assert [(level.logger, level.level) for level in changed.levels] == [("", "error"), (name, "info")]
        assert process.stop() == 0
    finally:
        process.end()
    # It started in silence, and said that it stopped.
    said = [line["event"] for line in lines_of(tmp_path / "logs") if line["service"] == name]
    assert "starting" not in said
    assert "stopped" in said
