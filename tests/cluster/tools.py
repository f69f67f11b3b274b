"""The programs of a Kubernetes node, built by Go or installed from Debian once a machine.

    python -m tests.cluster.tools

has all of them ready, and says what it builds meanwhile: the first time takes minutes.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.real.fetched import fetched, require_programs

KUBERNETES: Final = "1.34.4"
COREDNS: Final = "1.12.0"
HELM: Final = "3.19.0"
GO: Final = "1.24"
BUILD_WITHIN_SECONDS: Final = 3600.0
CNI: Final = Path("/usr/lib/cni")
KUBERNETES_PROGRAMS: Final = (
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
OWN_PROGRAMS: Final = ("pause", "echo")
_HERE: Final = Path(__file__).parent
_NODE_PROGRAMS: Final = ("containerd", "ctr", "runc", str(CNI / "ptp"), "iptables", "conntrack", "ip")
_NODE_PACKAGES: Final = (
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "conntrack",
    "iproute2",
    "kmod",
)
_SMALL: Final = "-s -w"


def require_node() -> None:
    """Have installed what a node needs of Debian. Raises AssertionError, which says what to install or who may."""
    require_programs(_NODE_PROGRAMS, _NODE_PACKAGES)
    assert os.geteuid() == 0, "a Kubernetes node makes network devices and mounts file systems: run its tests as root"


def etcd() -> Path:
    """The program. Raises AssertionError, which says what to install."""
    require_programs(("etcd",), ("etcd-server",))
    return Path("etcd")


def kubernetes(program: str) -> Path:
    """One of KUBERNETES_PROGRAMS. Raises AssertionError, which says what to install."""
    version = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    named = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor}
    flags = " ".join([_SMALL, *(f"-X {version}.{name}={value}" for name, value in named.items())])
    package = f"k8s.io/kubernetes/cmd/{program}"
    return _built(program, KUBERNETES, _HERE / "kubernetes", ["-trimpath", "-ldflags", flags, package])


def own(program: str) -> Path:
    """One of OWN_PROGRAMS, which are in the folder `programs`. It is static: an image of nothing else runs it."""
    return _built(program, "0", _HERE / "programs", ["-trimpath", "-ldflags", _SMALL, f"./{program}"])


def coredns() -> Path:
    return _installed("coredns", COREDNS, f"github.com/coredns/coredns@v{COREDNS}")


def helm() -> Path:
    return _installed("helm", HELM, f"helm.sh/helm/v3/cmd/helm@v{HELM}")


def _built(program: str, version: str, module: Path, arguments: Sequence[str]) -> Path:
    """A program of the module in that folder, kept by what the folder holds."""
    _require_go()
    sources = sorted(path for path in module.rglob("*") if path.is_file())
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]

    def build(folder: Path) -> None:
        _go(f"{program} {version}", ["build", "-o", f"{folder}/", *arguments], module)

    return fetched(f"{program}-{version}-{key}", build) / program


def _installed(program: str, version: str, package: str) -> Path:
    _require_go()

    def install(folder: Path) -> None:
        _go(f"{program} {version}", ["install", package], _HERE, GOBIN=str(folder))

    return fetched(f"{program}-{version}", install) / program


def _require_go() -> None:
    require_programs(("go",), ("golang-go",))


def _go(what: str, arguments: Sequence[str], folder: Path, **environment: str) -> None:
    print(f"building {what}; the first time on a machine takes minutes …", file=sys.stderr, flush=True)
    begin = time.monotonic()
    done = subprocess.run(
        ["go", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BUILD_WITHIN_SECONDS,
        check=False,
        env=os.environ | {"CGO_ENABLED": "0"} | environment,
    )
    assert done.returncode == 0, (
        f"{what} cannot be built; it wants Go {GO} (apt-get install golang-go in Debian 13, else https://go.dev/dl):\n"
        f"{done.stdout}{done.stderr}"
    )
    print(f"{what} took {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    try:
        require_node()
        etcd()
        for program in OWN_PROGRAMS:
            own(program)
        for program in KUBERNETES_PROGRAMS:
            kubernetes(program)
        coredns()
        helm()
    except AssertionError as error:
        sys.exit(f"tools: {error}")


if __name__ == "__main__":
    main()
