"""Buildah with a storage of its own, and the image that the others start from.

No image registry is asked: the base is made by debootstrap from the mirror that this machine installs its own packages
from, and named as the Dockerfile names it. Nothing of that is left in the tree.
"""

import ast
import fcntl
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.real.fetched import fetched, require_programs

BASE: Final = "docker.io/library/debian:12-slim"
SUITE: Final = "bookworm"
BUILD_WITHIN_SECONDS: Final = 1_800
ARCHIVE: Final = "image.tar"
_KEPT: Final = 3
"""Former versions of an image that stay on the disk, for whoever uses them at this moment."""
_PACKAGES: Final = ("buildah", "debootstrap", "runc")
_NOTHING_TO_READ: Final = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")
"""Left out of the official slim image too."""
_NEVER_NEEDED: Final = (*_NOTHING_TO_READ, "dev", "var/cache/apt", "var/lib/apt/lists", "var/log")
_OF_THIS_MACHINE: Final = ("etc/hostname", "etc/resolv.conf")
_APT_SETTINGS: Final = ("Acquire::Check-", "Acquire::http::Proxy", "Acquire::https::Proxy")
_PIP_SETTINGS: Final = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "default-timeout")


def require_builder() -> None:
    """Have what builds images, as root on Debian. Raises AssertionError, which says what to install."""
    assert os.geteuid() == 0, "images are built as root: run the cluster tests as root"
    require_programs(_PACKAGES, _PACKAGES)


def run(*command: str, within: float = BUILD_WITHIN_SECONDS, folder: Path | None = None) -> str:
    """What a program printed. Raises AssertionError with all of it when it fails; within: seconds."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=within, check=False, cwd=folder)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-6_000:]}{done.stderr[-6_000:]}"
    return done.stdout


def buildah(*arguments: str, within: float = BUILD_WITHIN_SECONDS) -> str:
    """Buildah on the tests' own storage: nobody else's images are seen or removed. Returns what it printed."""
    storage = fetched("containers", Path.mkdir)
    return run("buildah", "--root", str(storage), "--runroot", f"/run{storage}", *arguments, within=within)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Builds wait for each other: each would do again what the other does."""
    with (fetched("containers", Path.mkdir).with_name("images.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_there(image: str) -> bool:
    """Whether the storage has an image of that name."""
    return bool(buildah("images", "--quiet", "--filter", f"reference={image}"))


def hash_of(paths: Iterable[Path], *texts: str) -> str:
    """Twelve digits that are others whenever a file below these paths is another one."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"\0{file.relative_to(path.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def require_base(*recipe: Path) -> None:
    """Have the storage know the base image; recipe: what images are built from it by.

    The storage keeps the layers of every step, also of former recipes, and nothing else removes those: it starts over
    whenever the recipe is another.
    """
    sources, settings = _package_sources(), _apt_settings()
    own = Path(__file__)
    marker = fetched("containers", Path.mkdir) / "recipe"
    key = hash_of([own, *recipe], sources, settings)
    if not marker.exists() or marker.read_text() != key or not is_there(BASE):
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")
        name = f"image-base-{hash_of([own], sources, settings)}"
        base = fetched(name, lambda folder: _make(folder, sources, settings))
        forget_former("base", name)
        buildah("pull", "--quiet", f"docker-archive:{base / ARCHIVE}")
        marker.write_text(key)


def forget_former(kind: str, current: str) -> None:
    """Remove archives of that kind from the disk, apart from the current ones (a prefix) and the last few before."""
    archives = [path for path in _archives(f"image-{kind}-") if not path.parent.name.startswith(current)]
    for archive in sorted(archives, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(archive.parent)


def forget(prefix: str) -> None:
    """Remove archives from the disk whose names begin like this."""
    for archive in _archives(prefix):
        shutil.rmtree(archive.parent)


def _archives(prefix: str) -> Sequence[Path]:
    return list(fetched("containers", Path.mkdir).parent.glob(f"{prefix}*/{ARCHIVE}"))


def _make(folder: Path, sources: str, settings: str) -> None:
    root = folder / "root"
    folder.mkdir()
    mirror = sources.split()[1]
    run("debootstrap", "--variant=minbase", SUITE, str(root), mirror)
    for name in _NEVER_NEEDED:
        for path in (root / name).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for name in _OF_THIS_MACHINE:
        (root / name).write_text("")
    (root / "etc/apt/sources.list").write_text(sources)
    (root / "etc/apt/apt.conf.d/90machine").write_text(settings)
    excluded = "".join(f"path-exclude /{name}/*\n" for name in _NOTHING_TO_READ)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(excluded)
    container = buildah("from", "scratch").strip()
    try:
        buildah("add", "--quiet", container, str(root), "/")
        buildah("commit", "--quiet", container, f"docker-archive:{folder / ARCHIVE}:{BASE}")
    finally:
        buildah("rm", container)
    shutil.rmtree(root)


def _package_sources() -> str:
    """Where this machine gets Debian's packages, for the base's suite: a sources.list, the main one first."""
    own = _own_suite()
    rows = _index_targets()
    if not rows:
        run("apt-get", "update")
        rows = _index_targets()
    suites = {own + tail: SUITE + tail for tail in ("", "-updates", "-security")}
    lines = {suites[release]: f"deb {uri} {suites[release]} main" for uri, release in rows if release in suites}
    assert SUITE in lines, f"apt knows no mirror of Debian {own}: add one to /etc/apt/sources.list.d"
    return "\n".join(lines[suite] for suite in suites.values() if suite in lines) + "\n"


def _own_suite() -> str:
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return release.get("VERSION_CODENAME", SUITE).strip('"')


def _index_targets() -> list[tuple[str, str]]:
    wanted = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY) $(ORIGIN)"
    rows = [line.split() for line in run("apt-get", "indextargets", "--format", wanted).splitlines()]
    return [(row[0], row[1]) for row in rows if row[2:] == ["main", "Packages", "Debian"]]


def _apt_settings() -> str:
    """How this machine's apt reaches its mirror, such as through a proxy."""
    lines = run("apt-config", "dump").splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(_APT_SETTINGS))


def pip_options(folder: Path) -> Sequence[str]:
    """Options of `buildah bud` with which pip in there reaches what pip reaches here, whatever that is.

    folder: for the files that the build gets as secrets, which no image keeps.
    """
    settings = _pip_settings()
    certificates = settings.pop("cert", "") or ssl.get_default_verify_paths().cafile or ""
    options = []
    if certificates:
        settings["cert"] = "/run/secrets/ca.pem"
        options += ["--secret", f"id=ca.pem,src={certificates}"]
    for wheels in settings.get("find-links", "").split():
        if Path(wheels).is_dir() and any(Path(wheels).iterdir()):
            options += ["--volume", f"{wheels}:{wheels}:ro"]
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    return [*options, "--secret", f"id=pip.conf,src={file}"]


def _pip_settings() -> dict[str, str]:
    listed: dict[str, str] = {}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, value = line.split("=", 1)
        # Many values are lines of one text, and a file wants the further ones indented.
        listed[name] = ast.literal_eval(value).replace("\n", "\n ")
    return _most_specific(listed, (*_PIP_SETTINGS, "cert")) | {"no-cache-dir": "true"}


def _most_specific(listed: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """What counts of what stands in several places: the environment, then what is for `install`, then the rest."""
    found = {}
    for key in keys:
        values = [listed[name] for section in (":env:", "install", "global") if (name := f"{section}.{key}") in listed]
        if values and values[0].strip():
            found[key] = values[0]
    return found
