"""A real API server that writes down every request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import yaml

from tests.cluster.api_server import Etcd, KubeApiServer
from tests.cluster.certificates import ADMINISTRATORS, Authority
from tests.cluster.client import Client
from tests.real.server import free_ports

_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_READS: Final = ("get", "list", "watch")


class Request(NamedTuple):
    """One that was answered, or whose answer began."""

    user: str
    verb: str
    uri: str
    status: int

    @property
    def target(self) -> tuple[str, str]:
        """The plural of the kind, and the name of the object in its namespace; the latter empty for all of them."""
        _, _, place = urlsplit(self.uri).path.partition("/namespaces/")
        _, kind, name, *_ = [*place.split("/"), "", ""]
        return kind, name

    @property
    def is_write(self) -> bool:
        """Whether it changes something."""
        return self.verb not in _READS


class AuditedServer(Client):
    """etcd and kube-apiserver on free ports of the loopback address; ended by their own pids."""

    def __init__(self, folder: Path) -> None:
        port, etcd_port, peer_port = free_ports(3)
        self._authority = Authority(folder / "certificates")
        self._audit = folder / "audit.log"
        policy = folder / "policy.yaml"
        policy.write_text(yaml.safe_dump(_POLICY))
        self.etcd = Etcd(folder / "etcd", (etcd_port, peer_port))
        options = [
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self._audit}",
        ]
        self.server = KubeApiServer(folder / "apiserver", self.etcd, self._authority, port, options=options)
        administrator = self._authority.issue("admin", "admin", group=ADMINISTRATORS)
        super().__init__(self._authority.kubeconfig("admin", self.server.url, administrator))

    def start(self) -> None:
        """Start both, and return once a client gets answers."""
        self.etcd.start()
        self.server.start()

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        self.server.end()
        self.etcd.end()

    def kubeconfig_of(self, user: str) -> Path:
        """For somebody who may do what RBAC lets a user of this name do."""
        return self._authority.kubeconfig(user, self.server.url, self._authority.issue(user, user))

    def mark(self) -> int:
        """A position in the log, for `requests`."""
        return self._audit.stat().st_size

    def requests(self, user: str, since: int = 0) -> list[Request]:
        """What the user has asked since a mark."""
        return [request for request in self._all(since) if request.user == user]

    def _all(self, since: int) -> Iterator[Request]:
        with self._audit.open("rb") as file:
            file.seek(since)
            for line in file:
                if line.endswith(b"\n"):
                    entry: dict[str, Any] = json.loads(line)
                    status = entry.get("responseStatus", {}).get("code", 0)
                    yield Request(entry["user"]["username"], entry["verb"], entry["requestURI"], status)
