"""The jars of servers that tests start, fetched by Maven once a machine, and the programs that this takes."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

_DOWNLOAD_WITHIN_SECONDS: Final = 600
_PACKAGES: Final = ("openjdk-17-jre-headless", "maven")
_INSTALL: Final = f"apt-get install -y --no-install-recommends {' '.join(_PACKAGES)}"


def jars(name: str, version: str) -> Path:
    """The folder with the jars that `pom-<name>.xml` asks for, downloaded by the first who asks.

    Raises AssertionError, which says what to install, when Java or Maven is missing.
    """
    _require_programs()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exchange-platform"
    folder = cache / f"{name}-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _download(folder, Path(__file__).with_name(f"pom-{name}.xml"), version)
    return folder


def _download(folder: Path, pom: Path, version: str) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={part}", f"-Dserver.version={version}"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=_DOWNLOAD_WITHIN_SECONDS, check=False
    )
    assert done.returncode == 0, f"the jars of {folder.name} cannot be downloaded:\n{done.stdout}{done.stderr}"
    part.rename(folder)


def _require_programs() -> None:
    if _missing() and os.geteuid() == 0 and shutil.which("apt-get"):
        for arguments in (["apt-get", "update"], _INSTALL.split()):
            subprocess.run(arguments, capture_output=True, timeout=_DOWNLOAD_WITHIN_SECONDS, check=False)
    if missing := _missing():
        raise AssertionError(
            f"the tests need real servers, and {' and '.join(missing)} cannot be found. On Debian: {_INSTALL}"
        )


def _missing() -> list[str]:
    return [program for program in ("java", "mvn") if shutil.which(program) is None]
