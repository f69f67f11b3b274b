"""The real exchange, as a process of its own: started, asked whether it is ready, killed by its pid."""

import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

from tests.support.processes import PROGRAM, environment

READY_WITHIN_SECONDS = 180.0
STOPS_WITHIN_SECONDS = 60.0
_POLL_SECONDS = 0.01
_PORTS = range(15_000, 30_000)


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to clients: it stays free between starts."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port among 100 of {_PORTS}")


class ExchangeProcess:
    """`exchange local --demo` on a data folder and a port that stay the same from start to start."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log_dir = data_dir / "logs"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = data_dir.with_suffix(".out")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        """Start it, and return at once. settings: names and values of environment variables."""
        arguments = ["local", "--demo", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*PROGRAM, *arguments], stdout=output, stderr=subprocess.STDOUT, env=environment(**settings)
            )

    def wait_ready(self) -> float:
        """Return, with the seconds it took, once it says that it is ready. It must not end meanwhile."""
        begin = time.monotonic()
        while not self._is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the exchange ended with {self.process.returncode}:\n{self.output}")
            if time.monotonic() - begin > READY_WITHIN_SECONDS:
                raise AssertionError(f"the exchange is not ready after {READY_WITHIN_SECONDS} s:\n{self.output}")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - begin

    def kill(self) -> None:
        """kill -9: it gets no chance to do anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOPS_WITHIN_SECONDS)

    def stop(self) -> int:
        """Ask it to stop in order; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOPS_WITHIN_SECONDS)

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        """What it printed."""
        return self._output.read_text(errors="replace")

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False
