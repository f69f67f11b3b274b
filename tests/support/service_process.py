"""One process of the distributed form, as an operator starts it: asked whether it is ready, killed by its pid."""

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.support.processes import PROGRAM, environment

READY_WITHIN_SECONDS = 180.0
STOPS_WITHIN_SECONDS = 60.0
_POLL_SECONDS = 0.02


class ServiceProcess:
    """`exchange COMMAND …` with the same arguments and port from start to start.

    port: of its internal server. folder: for what it prints. detached: see tests.real.server.Server. host: its address.
    within: what to put in front of the command, such as what makes it run on another host.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        port: int,
        folder: Path,
        *,
        detached: bool = False,
        host: str = "127.0.0.1",
        within: Sequence[str] = (),
        **more: str,
    ) -> None:
        self.name = name
        self.port = port
        self.url = f"http://{host}:{port}"
        self.starts = 0
        self.output_file = folder / f"{name}.out"
        self._command = [*within, *PROGRAM, *arguments, "--internal-host", host, "--internal-port", str(port)]
        self._environment = environment(**more)
        self._detached = detached
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return at once."""
        self.starts += 1
        with self.output_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=self._detached,
            )

    def wait_ready(self, within_s: float = READY_WITHIN_SECONDS) -> float:
        """Return, with the seconds it took, once it says that it is ready. It must not end meanwhile."""
        begin = time.monotonic()
        while not self.is_ready():
            if not self.is_running:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output}")
            if time.monotonic() - begin > within_s:
                raise AssertionError(f"{self.name} is not ready after {within_s} s: {self.health()}\n{self.output}")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - begin

    def is_ready(self) -> bool:
        return "ready" in self.health()

    def health(self) -> dict[str, dict[str, str]]:
        """Its own words, by "ready" or "not ready"; empty when it does not answer."""
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=5.0).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return {answer["status"]: answer["components"]}

    def metric(self, line: str) -> float:
        """The value of the metric with these labels, written as on /metrics; 0 when there is none."""
        return next((float(row.rpartition(" ")[2]) for row in self.metrics(f"{line} ")), 0.0)

    def metrics(self, beginning: str) -> list[str]:
        """The lines of /metrics that begin so."""
        text = httpx.get(f"{self.url}/metrics", timeout=5.0).text
        return [row for row in text.splitlines() if row.startswith(beginning)]

    def kill(self) -> None:
        """kill -9: it gets no chance to do anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOPS_WITHIN_SECONDS)

    def stop(self) -> int:
        """Ask it to stop in order; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOPS_WITHIN_SECONDS)

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
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def output(self) -> str:
        """The end of what it printed."""
        return self.output_file.read_text(errors="replace")[-6_000:] if self.output_file.exists() else ""
