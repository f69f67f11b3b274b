"""What tests need of the world outside, fetched once a machine into a cache outside of the tree; and its programs."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FETCH_WITHIN_SECONDS: Final = 600


def fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder of that name, which `fetch` has filled for the first who asked. It is there whole, or not at all."""
    with _held(name) as cache:
        folder, part = cache / name, cache / f"{name}.part"
        if not folder.exists():
            shutil.rmtree(part, ignore_errors=True)
            fetch(part)
            part.rename(folder)
    return folder


@contextmanager
def _held(name: str) -> Iterator[Path]:
    """The cache's folder, while nobody else on this machine holds the name."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exchange-platform"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def require_programs(programs: Sequence[str], packages: Sequence[str]) -> None:
    """Have these programs installed, as root on Debian. Raises AssertionError, which says what to install."""
    install = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if _missing(programs) and os.geteuid() == 0 and shutil.which("apt-get"):
        # One at a time: whoever finds the package manager busy fails.
        with _held("packages"):
            for arguments in (["apt-get", "update"], [*install.split(), "-o", "DPkg::Lock::Timeout=300"]):
                if _missing(programs):
                    subprocess.run(arguments, capture_output=True, timeout=FETCH_WITHIN_SECONDS, check=False)
    if missing := _missing(programs):
        raise AssertionError(
            f"the tests need real servers, and {' and '.join(missing)} cannot be found. On Debian: {install}"
        )


def _missing(programs: Sequence[str]) -> list[str]:
    return [program for program in programs if shutil.which(program) is None]
