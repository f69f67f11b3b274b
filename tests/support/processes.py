"""The real program as a process of its own, as a person starts it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

import httpx

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "from services.cli import main; main()"]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings, so that a test means what it says."""
    ours = ("EXCHANGE_", "DATA_DIR", "LOG_DIR")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return inherited | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"} | more


def run(*arguments: str | Path, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `exchange` with these arguments to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env=environment(**more),
        check=False,
    )


class LocalProcess:
    """`exchange local` on a free port; ready when the constructor returns. Ends with the `with` block.

    most_files: how many it may have open; None: as many as this process.
    """

    def __init__(self, data_dir: Path, *arguments: str | Path, most_files: int | None = None, **more: str) -> None:
        self.data_dir = data_dir
        limit = ["sh", "-c", f'ulimit -n {most_files} && exec "$@"', "sh"] if most_files is not None else []
        command = [*limit, *PROGRAM, "local", "--port", "0", "--data-dir", str(data_dir), *map(str, arguments)]
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in __exit__
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._stderr, text=True, env=environment(**more)
        )
        self.url = self._find_url()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._stderr.close()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; returns the exit status and what was printed since the banner's first line."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str, str]:
        """The exit status, and what was printed since the banner's first line."""
        assert self.process.stdout is not None
        watchdog = threading.Timer(60, self.process.kill)
        watchdog.start()
        # Not communicate(): it would miss what the search for the banner has read ahead.
        out = self.process.stdout.read()
        status = self.process.wait()
        watchdog.cancel()
        self._stderr.seek(0)
        return status, out, self._stderr.read()

    def client(self, key: dict[str, str]) -> httpx.Client:
        """A client that is logged in with a key of credentials.json."""
        client = httpx.Client(base_url=self.url, timeout=30)
        token: dict[str, Any] = client.post("/api/auth/token", json=key).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        return client

    def _find_url(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"The exchange runs on (http://\S+)", line):
                return found[1]
        raise AssertionError(f"exchange local ended: {self.wait()}")
