"""What libraries say: how much, never a secret, and nothing of it once nobody captures it any more."""

import json
import logging
from pathlib import Path

import pytest

from services.adapters.logs.levels import FLOORS
from services.adapters.logs.libraries import TALKATIVE
from services.adapters.logs.logs import Logs


def said(folder: Path) -> list[str]:
    lines = [
        json.loads(line) for path in sorted(folder.glob("gateway.log.*")) for line in path.read_text().splitlines()
    ]
    return [line["message"] for line in lines]


def test_libraries_follow_the_level_while_they_are_captured(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    before = {name: logging.getLogger(name).level for name in (*FLOORS, *TALKATIVE)}
    asyncio, aiokafka = logging.getLogger("asyncio"), logging.getLogger("aiokafka.consumer")
    with logs.capturing_stdlib(logs.service("gateway")):
        asyncio.debug("asyncio 1")
        aiokafka.info("aiokafka 1")
        logs.levels.set("debug")
        asyncio.debug("asyncio 2")
        aiokafka.debug("aiokafka 2")
        logs.levels.set("error")
        asyncio.warning("asyncio 3")
        aiokafka.warning("aiokafka 3")
        logs.levels.set("debug", "aiokafka")
        asyncio.warning("asyncio 4")
        aiokafka.debug("aiokafka 4")
        logs.levels.reset()
        asyncio.info("asyncio 5")
        aiokafka.info("aiokafka 5")
    logs.close()
    assert said(tmp_path) == ["asyncio 2", "aiokafka 2", "aiokafka 4", "asyncio 5"]
    assert {name: logging.getLogger(name).level for name in before} == before


@pytest.mark.parametrize("name", FLOORS)
def test_library_that_would_say_secrets_does_not_at_any_level(tmp_path: Path, name: str) -> None:
    logs = Logs(tmp_path, "debug")
    with logs.capturing_stdlib(logs.service("gateway")):
        for logger in (name, f"{name}.below"):
            logging.getLogger(logger).debug("password")
        logs.levels.set("debug", name.partition(".")[0]) if "." in name else logs.levels.set("debug")
        for logger in (name, f"{name}.below"):
            logging.getLogger(logger).debug("password")
            logging.getLogger(logger).warning("trouble")
    logs.close()
    assert said(tmp_path) == ["trouble", "trouble"]


def test_library_line_of_a_url_leaves_its_query_out(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    with logs.capturing_stdlib(logs.service("gateway")):
        logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", "/api/live?token=eyJ")
    logs.close()
    assert said(tmp_path) == ['127.0.0.1:1 - "WebSocket /api/live?…" [accepted]']
