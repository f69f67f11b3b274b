"""A server that tests start on a folder and ports of its own, and end by its own pid."""

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.exchange_process import free_port

READY_WITHIN_SECONDS: Final = 180.0
STOPS_WITHIN_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


class Server:
    """What every server can be told. Data and ports stay the same from start to start: clients find it again."""

    def __init__(self, name: str, folder: Path) -> None:
        """name: for people."""
        self._name = name
        self.detached = False
        """Whether it goes on when whoever started it ends, or Ctrl-C is pressed there."""
        self._output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start it, and return once it answers a client."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(), stdout=output, stderr=subprocess.STDOUT, start_new_session=self.detached
            )
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not self._answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the {self._name} ended with {self.process.returncode}:\n{self._said()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the {self._name} is not ready after {READY_WITHIN_SECONDS} s:\n{self._said()}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """kill -9: it gets no chance to do anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOPS_WITHIN_SECONDS)

    def stop(self) -> None:
        """Ask it to stop in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOPS_WITHIN_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _command(self) -> Sequence[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Whether a client gets an answer."""
        raise NotImplementedError

    def _said(self) -> str:
        return self._output.read_text(errors="replace")[-4_000:]


class JavaServer(Server):
    """A server in Java."""

    def __init__(self, name: str, folder: Path, jars: Path, options: Sequence[str]) -> None:
        """name: for people. jars: the class path. options: of the virtual machine."""
        super().__init__(name, folder)
        self._jars = jars
        self._options = options

    def _command(self) -> Sequence[str]:
        return self._java(*self._main())

    def _main(self) -> Sequence[str]:
        """The main class and its arguments."""
        raise NotImplementedError

    def _java(self, *arguments: str) -> list[str]:
        # One garbage collector thread and the quick compiler: it shares the machine with the tests.
        return ["java", "-XX:+UseSerialGC", *self._options, "-cp", f"{self._jars}/*", *arguments]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)
