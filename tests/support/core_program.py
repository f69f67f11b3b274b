"""A core as a process of its own on a real log, for tests that kill it, freeze it, or stop it.

    python -m tests.support.core_program SERVERS PREFIX ubscore|matcher FOLDER active|standby

It is shard 0 of 1, and prints a `State` as JSON whenever it has changed.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import uvloop

from services.adapters.clock import SystemClock
from services.adapters.files import FileDirectory
from services.adapters.journal.journal import Journal
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.matcher.engine import MatcherEngine
from services.shell.core_shell import CoreShell
from services.ubscore.core import UbsCore

TAKEOVER_AFTER_S = 1.0
OUTPUTS = {
    "ubscore": (TopicPartition(BALANCE_EVENTS, 0), TopicPartition(ORDERS, 0)),
    "matcher": (TopicPartition(ENGINE_OUTPUTS, 0), TopicPartition(BALANCE_OPERATIONS, 0)),
}
_REPORT_EVERY_S = 0.02


class State(NamedTuple):
    """What such a process says of itself."""

    next_offset: int
    role: str
    all_said: bool
    digest: str


def fresh(kind: str) -> Any:
    """An empty core."""
    return UbsCore(0, 1) if kind == "ubscore" else MatcherEngine(0, 1)


async def run(servers: str, prefix: str, kind: str, folder: str, role: str) -> None:
    log = KafkaLog(KafkaSettings(bootstrap_servers=(servers,), topic_prefix=prefix))
    directory = FileDirectory(Path(folder))
    core = fresh(kind)
    shell: CoreShell[Any] = CoreShell(
        lambda: core,
        type(core).restore,
        log,
        Journal(directory, core.source),
        SystemClock(),
        OUTPUTS[kind],
        snapshot_interval_ms=2_000,
        standby=role == "standby",
        takeover_after_s=TAKEOVER_AFTER_S,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, shell.stop)
    await shell.recover()
    reporting = asyncio.create_task(_report(shell))
    await shell.run()
    reporting.cancel()
    await directory.close()
    await log.close()


async def _report(shell: CoreShell[Any]) -> None:
    before = (-1, "", False)
    while True:
        now = (shell.core.next_offset, shell.role, shell.all_said)
        if now != before:
            print(msgspec.json.encode(State(*now, shell.core.digest().hex())).decode(), flush=True)
            before = now
        await asyncio.sleep(_REPORT_EVERY_S)


class CoreProgram:
    """The program, running, as a test sees it."""

    def __init__(self, settings: KafkaSettings, kind: str, folder: Path, role: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._said = folder / f"{role}-{os.urandom(4).hex()}.jsonl"
        (servers,) = settings.bootstrap_servers
        arguments = [servers, settings.topic_prefix, kind, str(folder / "journal"), role]
        with self._said.open("wb") as output:
            command = [sys.executable, "-m", "tests.support.core_program", *arguments]
            self.process = subprocess.Popen(command, stdout=output, cwd=Path(__file__).parents[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def state(self) -> State:
        """What it said last."""
        lines = self._said.read_bytes().split(b"\n")[:-1]
        return msgspec.json.decode(lines[-1], type=State) if lines else State(-1, "", False, "")

    async def until(self, offset: int, role: str, seconds: float) -> State:
        """Wait until it has applied everything before `offset`, has this role, and all is said."""
        async with asyncio.timeout(seconds):
            while True:
                state = self.state()
                if state.next_offset >= offset and state.role == role and state.all_said:
                    return state
                assert self.process.poll() is None, f"it ended with {self.process.returncode}"
                await asyncio.sleep(_REPORT_EVERY_S)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()


if __name__ == "__main__":
    uvloop.run(run(*sys.argv[1:]))
