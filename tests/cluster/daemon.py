"""A server of the cluster: a program with its arguments, on this machine or within a node's namespaces."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from tests.cluster.machine import Machine, children
from tests.real.server import STOPS_WITHIN_SECONDS, Server


class Daemon(Server):
    """One server that answers when `healthy` says so; ended by its own pid."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str | Path],
        healthy: Callable[[], bool],
        machine: Machine | None,
    ) -> None:
        """name: for people. machine: where it runs; None means right here."""
        super().__init__(name, folder)
        self._arguments = [str(argument) for argument in command]
        self._healthy = healthy
        self._machine = machine
        self._said_before = 0

    def start(self) -> None:
        self._said_before = self._output.stat().st_size if self._output.exists() else 0
        super().start()

    def kill(self) -> None:
        self._end_by(signal.SIGKILL)

    def stop(self) -> None:
        self._end_by(signal.SIGTERM)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def log(self) -> str:
        """What it has said since it was started last."""
        return self._output.read_bytes()[self._said_before :].decode(errors="replace")

    def _command(self) -> Sequence[str]:
        return self._arguments if self._machine is None else self._machine.inside(*self._arguments)

    def _answers(self) -> bool:
        return self._healthy()

    def _end_by(self, number: signal.Signals) -> None:
        if self._machine is None:
            self.process.send_signal(number)
        else:
            # Between us and it stands the process that entered the namespaces; it ends after its child.
            for pid in children(self.process.pid):
                os.kill(pid, number)
        self.process.wait(STOPS_WITHIN_SECONDS)


def answers_at(url: str) -> Callable[[], bool]:
    """Whether there is a good answer at that URL, whoever gives it: a health check."""

    def answers() -> bool:
        try:
            return httpx.get(url, timeout=2.0, verify=False).is_success
        except httpx.HTTPError:
            return False

    return answers
