"""The jars of servers that tests start, fetched by Maven once a machine, and the programs that this takes."""

import subprocess
from pathlib import Path
from typing import Final

from tests.real.fetched import FETCH_WITHIN_SECONDS, fetched, require_programs

_PACKAGES: Final = ("openjdk-17-jre-headless", "maven")


def jars(name: str, version: str) -> Path:
    """The folder with the jars that `pom-<name>.xml` asks for, downloaded by the first who asks.

    Raises AssertionError, which says what to install, when Java or Maven is missing.
    """
    require_programs(("java", "mvn"), _PACKAGES)
    pom = Path(__file__).with_name(f"pom-{name}.xml")
    return fetched(f"{name}-{version}", lambda folder: _download(folder, pom, version))


def _download(folder: Path, pom: Path, version: str) -> None:
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={folder}", f"-Dserver.version={version}"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=FETCH_WITHIN_SECONDS, check=False
    )
    assert done.returncode == 0, f"the jars of {pom.name} cannot be downloaded:\n{done.stdout}{done.stderr}"
