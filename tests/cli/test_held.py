"""A process whose state must not be stops its work, and is there to be looked at before it ends."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Final

import httpx
import pytest

from services.adapters.internal.server import Health
from services.adapters.logs.logs import Logs
from services.adapters.metrics.prometheus import Metrics
from services.cli import process_life
from services.domain.errors import GapError, LogError
from tests.support.aio import run_async

_METRIC: Final = "exchange_invariant_broken"
_GAP: Final = GapError("balance.events/0: expected offset 3, the stream goes on at 5")


class _Failing:
    """A process that fails some time after its start. stopped: whether it was asked to let go of everything."""

    name = "settlement-0"
    core_reads = None

    def __init__(self, error: Exception, while_starting: bool) -> None:
        self.metrics = Metrics("1")
        self._error, self._while_starting = error, while_starting
        self.stopped = False

    async def health(self) -> Health:
        return Health(not self.stopped, {})

    async def start(self) -> None:
        if self._while_starting:
            raise self._error

    async def wait_failed(self) -> None:
        raise self._error

    async def stop(self) -> None:
        self.stopped = True


class _Life:
    """One life of it. seen: what its number was when somebody looked after it had stopped; None when nobody could."""

    def __init__(self, folder: Path, process: _Failing) -> None:
        self._logs, self._process = Logs(folder, "info"), process
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.seen: float | None = None
        self.ready = True

    async def run(self, *, told: bool = False) -> str:
        """Returns its sentence. told: tell it to stop once it was looked at."""
        lines = self._logs.service("settlement", 0)
        living = asyncio.create_task(process_life._live(lambda: self._process, self._listener, lines))
        async with httpx.AsyncClient(timeout=5) as client:
            while not living.done() and self.seen is None:
                await self._look(client)
        if told:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            return await asyncio.wait_for(living, 10)
        finally:
            self._logs.close()

    async def _look(self, client: httpx.AsyncClient) -> None:
        try:
            ready = (await client.get(f"{self._url}/health/ready")).is_success
            text = (await client.get(f"{self._url}/metrics")).text
        except httpx.TransportError:
            # Not yet, or no more.
            await asyncio.sleep(0.005)
            return
        if self._process.stopped:
            self.ready = ready
            (line,) = [line for line in text.splitlines() if line.startswith(_METRIC)]
            self.seen = float(line.rpartition(" ")[2])


@pytest.fixture(autouse=True)
def _untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.process.tune_process", lambda: None)


@pytest.mark.parametrize("while_starting", [True, False], ids=["at its start", "later"])
@pytest.mark.parametrize("error", [_GAP, ExceptionGroup("two", [LogError("away"), _GAP])], ids=["alone", "in a group"])
@run_async
async def test_process_with_a_gap_shows_it_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, while_starting: bool
) -> None:
    monkeypatch.setattr(process_life, "HOLD_SECONDS", 0.5)
    life = _Life(tmp_path, _Failing(error, while_starting))
    sentence = await life.run()
    assert (life.seen, life.ready) == (1.0, False)
    assert "expected offset 3, the stream goes on at 5" in sentence


@run_async
async def test_process_that_is_held_ends_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_life, "HOLD_SECONDS", 60.0)
    life = _Life(tmp_path, _Failing(_GAP, while_starting=False))
    assert "GapError" in await life.run(told=True)
    assert life.seen == 1.0


@run_async
async def test_process_that_fails_otherwise_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_life, "HOLD_SECONDS", 60.0)
    life = _Life(tmp_path, _Failing(LogError("the brokers are away"), while_starting=False))
    assert await life.run() == "LogError: the brokers are away"
    assert life.seen in {None, 0.0}
