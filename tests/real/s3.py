"""A real S3-compatible server for tests: the Versity gateway on a folder, built by Go once a machine.

Buckets are folders in `root`, objects are files there.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from tests.real.fetched import FETCH_WITHIN_SECONDS, fetched, require_programs
from tests.real.server import Server, free_ports

VERSION: Final = "1.8.0"
GO: Final = "1.25"
"""What this version wants; from 1.21 on, Go fetches the newer one by itself, unless GOTOOLCHAIN forbids it."""
REGION: Final = "eu-test-1"
ACCESS_KEY: Final = "exchange"
SECRET_KEY: Final = "a-secret-key-for-tests"
_MODULE: Final = f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"


class S3(Server):
    """One server on a folder of its own; ended by its own pid. host: the address of this machine that it listens on."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1") -> None:
        super().__init__("S3 server", folder)
        self._program = _program()
        self._address = f"{host}:{free_ports(1)[0]}"
        self.url = f"http://{self._address}"
        self.root = folder / "buckets"
        self._metadata = folder / "metadata"
        for made in (self.root, self._metadata):
            made.mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """How a person tells any of Amazon's clients of it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def _command(self) -> Sequence[str]:
        who = ("--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION)
        # Metadata beside the objects: not every file system takes attributes.
        backend = ("posix", "--sidecar", str(self._metadata), str(self.root))
        return [str(self._program), "--port", self._address, "--health", "/health", *who, *backend]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False


def _program() -> Path:
    require_programs(("go",), ("golang-go",))
    return fetched(f"versitygw-{VERSION}", _build) / "versitygw"


def _build(folder: Path) -> None:
    environment = os.environ | {"GOBIN": str(folder), "CGO_ENABLED": "0"}
    command = ["go", "install", "-ldflags", "-s -w", _MODULE]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FETCH_WITHIN_SECONDS, check=False, env=environment
    )
    assert done.returncode == 0, (
        f"the S3 server cannot be built; it wants Go {GO} (apt-get install golang-go in Debian 13, else "
        f"https://go.dev/dl):\n{done.stdout}{done.stderr}"
    )
