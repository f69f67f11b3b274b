"""A real API server and Kubernetes' real controllers, with pods that only say that they run.

Workloads make pods, Jobs complete, what has no owner any more is collected; no image is needed for it. What a pod says
depends on its image: one whose tag begins with `bad` never gets ready.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from exchange_operator import kubernetes_api
from exchange_operator.kubernetes_api import KINDS, ClusterUnavailable, NotFound, Refused

from tests.cluster import tools
from tests.cluster.daemon import Daemon, answers_at
from tests.operator.audited_server import AuditedServer
from tests.operator.chart import render
from tests.operator.exchanges import api_of, know_exchanges
from tests.real.server import free_ports

OPERATOR: Final = "operator"
"""A user who may do what the chart lets the operator do."""

_CONTROLLERS: Final = (
    "cronjob-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "statefulset-controller",
)
_POLL_SECONDS: Final = 0.1


class ControlPlane(AuditedServer):
    """Start it, and end it whatever happens."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (port,) = free_ports(1)
        command: Sequence[str | Path] = [
            tools.kubernetes("kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--profiling=false",
            f"--controllers={','.join(_CONTROLLERS)}",
        ]
        healthy = answers_at(f"https://127.0.0.1:{port}/healthz")
        self._controllers = Daemon("controllers", folder / "controllers", command, healthy, None)
        self.pods = Pods(self)

    def start(self) -> None:
        super().start()
        know_exchanges(self)
        self._let_operator_work()
        self._controllers.start()
        self.pods.start()

    def end(self) -> None:
        self.pods.stop()
        self._controllers.end()
        super().end()

    def _let_operator_work(self) -> None:
        """Give OPERATOR the chart's rights, and no others."""
        made = render()
        (role,) = (one for one in made if one["kind"] == "ClusterRole")
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": OPERATOR},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role["metadata"]["name"],
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}],
        }
        self.apply(yaml.safe_dump_all([role, binding]))


class Pods(threading.Thread):
    """Says for every pod what a kubelet would."""

    def __init__(self, server: AuditedServer) -> None:
        super().__init__(name="pods", daemon=True)
        self._server = server
        self._ending = threading.Event()

    def stop(self) -> None:
        """Return once nothing is said any more."""
        self._ending.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        api = api_of(self._server)
        while not self._ending.wait(_POLL_SECONDS):
            try:
                for pod in api.list("/api/v1/pods", "pods", ""):
                    self._look(api, pod)
            except ClusterUnavailable:
                continue
        api.close()

    def _look(self, api: kubernetes_api.KubernetesApi, pod: dict[str, Any]) -> None:
        said = _status(pod)
        if said.items() <= pod["status"].items():
            return
        metadata = pod["metadata"]
        path = KINDS["Pod"].path(metadata["namespace"], metadata["name"], "status")
        try:
            api.patch(path, "pod", {"status": said}, kubernetes_api.MERGE)
        except (NotFound, Refused):
            return  # It went meanwhile.


def _status(pod: dict[str, Any]) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    name, image = container["name"], container["image"]
    is_bad = image.rpartition(":")[2].startswith("bad")
    if "batch.kubernetes.io/job-name" in pod["metadata"].get("labels", {}):
        return {"phase": "Failed" if is_bad else "Succeeded"}
    since = pod["metadata"]["creationTimestamp"]
    ready = {"type": "Ready", "status": "False" if is_bad else "True", "lastTransitionTime": since}
    state = (
        {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        if is_bad
        else {"running": {"startedAt": since}}
    )
    one = {"name": name, "image": image, "imageID": "", "ready": not is_bad, "restartCount": 0, "state": state}
    return {"phase": "Pending" if is_bad else "Running", "conditions": [ready], "containerStatuses": [one]}


def until(true: Callable[[], bool], what: str, within: float = 60.0) -> float:
    """Wait until it is true, and return how many seconds that took. Raises AssertionError when it takes longer."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < within, f"not within {within} s: {what}"
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - begin
