"""A real Kubernetes API server on etcd, with nothing behind it: for what it accepts, defaults and refuses.

It starts in seconds, needs no root, and runs no pod. What controllers do (deleting a namespace, collecting garbage,
making pods) does not happen.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from tests.cluster import tools
from tests.cluster.certificates import ADMINISTRATORS, Authority
from tests.cluster.client import Client
from tests.cluster.daemon import Daemon, answers_at
from tests.cluster.machine import Machine
from tests.real.server import free_ports

_LOOPBACK: Final = "127.0.0.1"
_SERVICES: Final = IPv4Network("10.96.0.0/16")


class Etcd(Daemon):
    """The store of an API server. Whatever it acknowledged survives kill -9."""

    def __init__(self, folder: Path, ports: tuple[int, int], machine: Machine | None = None) -> None:
        """ports: for clients and for peers, on the loopback address, whose health check is on the node's as well."""
        port, peer_port = ports
        self.url, peer = f"http://{_LOOPBACK}:{port}", f"http://{_LOOPBACK}:{peer_port}"
        seen = self.url if machine is None else f"http://{machine.address}:{port}"
        command: list[str | Path] = [
            tools.etcd(),
            *("--name=test", f"--data-dir={folder / 'data'}", "--log-level=warn"),
            f"--listen-client-urls={','.join(sorted({self.url, seen}))}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=test={peer}",
        ]
        super().__init__("etcd", folder, command, answers_at(f"{seen}/health"), machine)


class KubeApiServer(Daemon):
    """kube-apiserver on an etcd."""

    def __init__(
        self,
        folder: Path,
        etcd: Etcd,
        authority: Authority,
        port: int,
        *,
        services: IPv4Network = _SERVICES,
        options: Sequence[str] = (),
        machine: Machine | None = None,
    ) -> None:
        """services: the network of Services' addresses. options: more of its flags."""
        address = _LOOPBACK if machine is None else machine.address
        self.url = f"https://{address}:{port}"
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        addresses = [_LOOPBACK, "localhost", address, str(services[1]), *names]
        serving = authority.issue("apiserver", "kube-apiserver", addresses=addresses)
        kubelet_client = authority.issue("apiserver-kubelet", "kube-apiserver", group=ADMINISTRATORS)
        accounts = authority.issue("service-accounts", "service-accounts")
        command: list[str | Path] = [
            tools.kubernetes("kube-apiserver"),
            f"--etcd-servers={etcd.url}",
            f"--secure-port={port}",
            *(f"--bind-address={address}", f"--advertise-address={address}"),
            f"--service-cluster-ip-range={services}",
            f"--client-ca-file={authority.pair.certificate}",
            *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
            f"--kubelet-client-certificate={kubelet_client.certificate}",
            f"--kubelet-client-key={kubelet_client.key}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={accounts.key}",
            f"--service-account-signing-key-file={accounts.key}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--profiling=false",
            *options,
        ]
        super().__init__("API server", folder, command, answers_at(f"{self.url}/readyz"), machine)


class ApiServer(Client):
    """etcd and kube-apiserver on free ports of the loopback address; ended by their own pids."""

    def __init__(self, folder: Path) -> None:
        port, etcd_port, peer_port = free_ports(3)
        authority = Authority(folder / "certificates")
        self.etcd = Etcd(folder / "etcd", (etcd_port, peer_port))
        # Nobody is there who would make the accounts which that plug-in asks of every pod.
        options = ["--disable-admission-plugins=ServiceAccount"]
        self.server = KubeApiServer(folder / "apiserver", self.etcd, authority, port, options=options)
        administrator = authority.issue("admin", "admin", group=ADMINISTRATORS)
        super().__init__(authority.kubeconfig("admin", self.server.url, administrator))

    def start(self) -> None:
        """Start both, and return once a client gets answers."""
        self.etcd.start()
        self.server.start()

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        self.server.end()
        self.etcd.end()
