"""Processes that are told to stop, as Kubernetes does it: SIGTERM, and a minute until SIGKILL."""

import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.demo.client import Api
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import BROKER, DATABASE, Stack

USER = 1001
DRAIN_SECONDS = 2.0
WELL_WITHIN_SECONDS = 45.0
"""Of the minute that there is; an append that was begun just before goes on for thirty seconds."""
_NUMBERS = itertools.count(1)


@pytest.fixture
def stack(tmp_path: Path, broker: Broker, database: Database) -> Iterator[Stack]:
    """No snapshot falls due by itself."""
    settings = {"gateway": {"drain": f"{DRAIN_SECONDS:g}s"}, "journal": {"snapshotInterval": "1h"}}
    prefix = f"stopping-{next(_NUMBERS)}"
    with Stack(tmp_path, broker=broker, database=database, prefix=prefix, settings=settings) as stack:
        yield stack


class Flow:
    """Orders one after the other, each on a connection of its own, until the block ends. answers: (begun, status)."""

    def __init__(self, stack: Stack) -> None:
        self.answers: list[tuple[float, int]] = []
        self._url = stack.url
        self._headers = {"Authorization": f"Bearer {Api(stack.url, stack.folder).token(USER)}"}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Flow":
        self._thread.start()
        until(lambda: len(self.answers) > 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        order = {"symbol": "BTC_USDT", "side": "Buy", "order_type": "Limit", "price": "100", "quantity": "0.1"}
        while not self._over.is_set():
            begun = time.monotonic()
            try:
                answer = httpx.post(f"{self._url}/api/orders", json=order, headers=self._headers, timeout=30)
            except httpx.TransportError:
                # Who cannot connect was not heard: another gateway would be asked.
                self._over.wait(0.05)
            else:
                self.answers.append((begun, answer.status_code))


def until(condition: Callable[[], bool], within_s: float = 30.0) -> float:
    """Return, with the seconds it took, once it is so."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < within_s
        time.sleep(0.01)
    return time.monotonic() - begin


def ends(stack: Stack, *names: str) -> dict[str, float]:
    """Tell processes to stop, all at once; returns after how many seconds each was gone."""
    begin = time.monotonic()
    for name in names:
        stack.processes[name].process.send_signal(signal.SIGTERM)
    gone: dict[str, float] = {}
    while len(gone) < len(names):
        for name in names:
            if name not in gone and not stack.processes[name].is_running:
                gone[name] = time.monotonic() - begin
        assert time.monotonic() - begin < 120, stack.output()
        time.sleep(0.01)
    return gone


def recoveries(stack: Stack, service: str) -> list[dict[str, Any]]:
    """What a core said of each of its recoveries, in their order. Lines come a moment after what they tell of."""
    files = sorted(stack.log_dir.glob(f"{service}.log.*"))
    lines = [line for path in files for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if '"recovered"' in line and line.endswith("\n")]


def test_gateway_told_to_stop_is_not_ready_at_once_and_answers_everything_while_it_drains(stack: Stack) -> None:
    gateway = stack.processes["gateway-0"]
    with Flow(stack) as flow:
        told = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{gateway.url}/health/ready").status_code == 503, within_s=DRAIN_SECONDS / 2)
        assert httpx.get(f"{stack.url}/health/ready").status_code == 503
        assert httpx.get(f"{gateway.url}/health/live").status_code == 200
        gone = until(lambda: not gateway.is_running)
    assert gateway.process.returncode == 0
    assert DRAIN_SECONDS / 2 < gone < DRAIN_SECONDS + 5
    assert {status for _, status in flow.answers} == {200}
    assert [begun for begun, _ in flow.answers if begun > told + DRAIN_SECONDS / 2], "it took nothing while it drained"


def test_core_told_to_stop_leaves_a_snapshot_and_replays_nothing_afterwards(stack: Stack) -> None:
    with Flow(stack):
        pass
    for name in ("ubscore-0", "matcher-0"):
        service = name.partition("-")[0]
        before = len(recoveries(stack, service))
        assert stack.stop_process(name) == 0
        snapshots = list((stack.folder / "data" / name).rglob("snapshot-*"))
        stack.restart(name)
        stack.wait_ready(name)
        until(lambda service=service, before=before: len(recoveries(stack, service)) > before, within_s=60)
        said = recoveries(stack, service)[-1]
        assert said["replayed_frames"] == 0
        assert [path.name for path in snapshots] == [f"snapshot-{said['next_offset']:020}.snap"]
        assert said["next_offset"] > 20


@pytest.mark.parametrize("away", [BROKER, DATABASE])
def test_all_told_to_stop_while_something_they_stand_on_is_silent_end_in_time(stack: Stack, away: str) -> None:
    try:
        with Flow(stack):
            stack.freeze(away)
            # What is under way now gets no answer.
            time.sleep(1)
            gone = ends(stack, *stack.processes)
    finally:
        stack.thaw(away)
    assert max(gone.values()) < WELL_WITHIN_SECONDS, gone
    stack.restart(*stack.processes)
    stack.wait_ready()
