"""The images that a cluster runs in tests: the exchange's own, and stand-ins for the broker's and the database's.

Each is an archive that `ctr -n k8s.io images import` and `docker load` read. It is made once a machine, and again when
what it is made of is another.

    python -m tests.cluster.images

has all of them ready, and says where they are.
"""

import json
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from tests.cluster.images_base import (
    ARCHIVE,
    buildah,
    forget,
    forget_former,
    hash_of,
    is_there,
    one_at_a_time,
    pip_options,
    require_base,
    require_builder,
)
from tests.real import broker, database
from tests.real.fetched import fetched
from tests.real.jars import jars

REPOSITORY: Final = "exchange-platform"
REDPANDA: Final = "docker.io/redpandadata/redpanda:v24.3.9"
SCYLLA: Final = "docker.io/scylladb/scylla:6.2.3"
_ROOT: Final = Path(__file__).resolve().parents[2]
_STANDINS: Final = Path(__file__).with_name("standins")
_RECIPE: Final = (_ROOT / "Dockerfile", _ROOT / "requirements.lock", _STANDINS / "Containerfile")
_INPUTS: Final = (
    "Dockerfile",
    "requirements.lock",
    ".dockerignore",
    "LICENSE",
    "README.md",
    "operator",
    "pyproject.toml",
    "schema",
    "services",
)
_CRASHES: Final = '#!/usr/bin/python3\nraise SystemExit("this image always ends at once")\n'


def project_version() -> str:
    """The one in pyproject.toml."""
    version: str = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def exchange_image(tag: str = "") -> Path:
    """The archive of `exchange-platform:<tag>`, built from the Dockerfile; tag: the project's version without.

    Any tags are names of the same image, so that a cluster that goes from one to the other changes nothing else.
    Raises AssertionError, which says what to install, or what failed.
    """
    return _archive("exchange", _exchange_key(), _exchange, f"{REPOSITORY}:{tag or project_version()}")


def crashing_image(tag: str) -> Path:
    """The archive of a `exchange-platform:<tag>` whose `exchange` says so and ends with 1, whatever it is asked for."""
    return _archive("crashing", _exchange_key(), _crashing, f"{REPOSITORY}:{tag}")


def redpanda_standin() -> Path:
    """The archive of an image with the name of Redpanda's, which takes its arguments and starts Kafka."""
    return _archive("redpanda", _standin_key(), _redpanda, REDPANDA)


def scylla_standin() -> Path:
    """The archive of an image with the name of ScyllaDB's, which takes its arguments and starts Cassandra."""
    return _archive("scylla", _standin_key(), _scylla, SCYLLA)


@contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """The image's root file system, mounted until the end, for those that look into it or run it by themselves."""
    name = buildah("pull", "--quiet", f"docker-archive:{archive}").strip()
    container = buildah("from", "--pull-never", name).strip()
    try:
        yield Path(buildah("mount", container).strip())
    finally:
        buildah("rm", container)


def _archive(kind: str, key: str, build: Callable[[str], str], reference: str) -> Path:
    """The archive of what `build(key)` names in the storage, under the name `reference`."""
    require_builder()

    def push(folder: Path) -> None:
        begin = time.monotonic()
        folder.mkdir()
        with one_at_a_time():
            buildah("push", "--quiet", build(key), f"docker-archive:{folder / ARCHIVE}:{reference}")
        print(f"{reference} took {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

    name = f"image-{kind}-{key}"
    made = fetched(f"{name}-{hash_of([], reference)}", push)
    forget_former(kind, name)
    return made / ARCHIVE


@cache
def _exchange_key() -> str:
    """The same for a whole run: its images differ in what a test wants to differ, and in nothing else."""
    return hash_of(_ROOT / name for name in _INPUTS)


def _standin_key() -> str:
    return hash_of([_STANDINS], _cassandra_settings(), broker.VERSION, database.VERSION)


def _stored(kind: str, key: str, make: Callable[[str], object]) -> str:
    """The name in the storage of the image that `make` makes there, under that name, when it is missing."""
    image = f"localhost/{kind}:{key}"
    require_base(*_RECIPE)
    if not is_there(image):
        # The storage started over since these were made: what is built now is another image than theirs.
        forget(f"image-{kind}-{key}-")
        make(image)
    return image


def _exchange(key: str) -> str:
    def make(image: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            version = ("--build-arg", f"VERSION={project_version()}")
            _build(image, *version, *pip_options(Path(folder)), context=_ROOT)

    return _stored("exchange", key, make)


def _crashing(key: str) -> str:
    def make(image: str) -> None:
        container = buildah("from", "--pull-never", _exchange(key)).strip()
        try:
            with tempfile.TemporaryDirectory() as folder:
                program = Path(folder, "exchange")
                program.write_text(_CRASHES)
                program.chmod(0o755)
                buildah("copy", "--quiet", "--chown", "0:0", container, str(program), "/opt/exchange/bin/exchange")
            buildah("commit", "--quiet", container, image)
        finally:
            buildah("rm", container)

    return _stored("crashing", key, make)


def _redpanda(key: str) -> str:
    return _standin("redpanda", key, jars("kafka", broker.VERSION))


def _scylla(key: str) -> str:
    return _standin("scylla", key, jars("cassandra", database.VERSION))


def _standin(name: str, key: str, server: Path) -> str:
    def make(image: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder, "context")
            shutil.copytree(_STANDINS, context)
            shutil.copytree(server, context / "jars")
            (context / "cassandra.json").write_text(_cassandra_settings())
            _build(image, "--target", name, context=context)

    return _stored(name, key, make)


def _cassandra_settings() -> str:
    """How the other tests start their database, apart from its memory: options of its machine, and configuration."""
    options = [option for option in database.OPTIONS if not option.startswith(("-Xms", "-Xmx", "-Xmn"))]
    return json.dumps({"options": options, "configuration": database.CONFIGURATION})


def _build(image: str, *options: str, context: Path) -> Sequence[str]:
    isolation = ("--isolation", "chroot")
    return buildah("bud", *isolation, "--layers", "--pull-never", *options, "--tag", image, str(context))


def main() -> None:
    """Make all, and print name, size and path of each."""
    try:
        made = [exchange_image(), redpanda_standin(), scylla_standin()]
    except AssertionError as error:
        sys.exit(f"images: {error}")
    for archive in made:
        print(f"{archive.stat().st_size / 1e6:6.0f} MB  {archive}")


if __name__ == "__main__":
    main()
