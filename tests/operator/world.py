"""One exchange on a real API server, an operator that makes a pass when it is told to, and a gateway that answers."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import kubernetes.client
import kubernetes.config
from exchange_operator.cluster import MANAGED_BY, Cluster
from exchange_operator.kubernetes_api import KubernetesApi
from exchange_operator.metrics import Metrics
from exchange_operator.names import Manifest
from exchange_operator.passes import Outcome
from exchange_operator.reconcile import Reconciler
from exchange_operator.symbol_sync import SymbolSync

from services.adapters.logs.logs import Logs
from tests.operator.audited_server import Request
from tests.operator.control_plane import OPERATOR, ControlPlane
from tests.operator.exchanges import minimal, new_namespace
from tests.operator.manifest_examples import BTC_USDT
from tests.support.processes import LocalProcess

STAGES: Final = ("topics", "schema", "ubscore", "matcher", "settlement", "order-history", "gateway")


class World:
    """One exchange in a namespace of its own, and an operator that makes a pass when it is told to."""

    def __init__(self, plane: ControlPlane, trading: LocalProcess, logs: Logs) -> None:
        self.plane = plane
        self.namespace = new_namespace(plane)
        self.metrics = Metrics("test")
        self.url = trading.url
        self.data_dir = trading.data_dir
        self._logs = logs
        configuration = kubernetes.client.Configuration()
        kubeconfig = plane.kubeconfig_of(OPERATOR)
        kubernetes.config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        self.cluster = Cluster(KubernetesApi(configuration))
        files = [f"--from-file={trading.data_dir / name}" for name in ("secret.key", "credentials.json")]
        self.kubectl("create", "secret", "generic", "demo-keys", *files)
        ours = ("app.kubernetes.io/name=exchange", "app.kubernetes.io/instance=demo", f"{MANAGED_BY}")
        self.kubectl("label", "secret/demo-keys", *ours)
        self.restart()

    def restart(self, late: timedelta = timedelta(0)) -> None:
        """Another operator, which remembers nothing, and whose clock is so much late."""
        lines = self._logs.service("operator")
        self.symbols = SymbolSync(self.cluster, lines, lambda _: self.url)
        self.reconciler = Reconciler(self.cluster, self.symbols, self.metrics, lines, lambda: datetime.now(UTC) + late)

    def close(self) -> None:
        self.symbols.close()
        self.cluster.close()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def get(self, what: str) -> Manifest:
        return self.plane.get("-n", self.namespace, what)

    def ask(self, **spec: Any) -> None:
        """Somebody applies the resource. spec: more of it, or other values."""
        resource = minimal(namespace=self.namespace, **({"symbols": [BTC_USDT]} | spec))
        self.kubectl("apply", "-f", "-", stdin=json.dumps(resource))

    def once(self) -> Outcome:
        return self.reconciler.run(self.namespace, "demo", lambda: False)

    def settle(self, *results: str, within: float = 60.0) -> Outcome:
        """Pass after pass, until one has such a result; without any: until all is as wanted."""
        begin = time.monotonic()
        while (outcome := self.once()).result not in (results or ("converged",)):
            assert time.monotonic() - begin < within, (outcome, self.conditions())
            time.sleep(0.2)
        return outcome

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("exchange/demo").get("status", {})
        return found

    def conditions(self) -> dict[str, tuple[str, str, str]]:
        """By type: status, reason, message."""
        found = self.status().get("conditions", [])
        return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found}

    def events(self, reason: str) -> list[str]:
        found = self.get("events")["items"]
        return [one["message"] for one in found if one["reason"] == reason and one["involvedObject"]["name"] == "demo"]

    def writes(self, since: int) -> list[Request]:
        return [one for one in self.plane.requests(OPERATOR, since) if one.is_write and self.namespace in one.uri]

    def order(self, since: int) -> list[str]:
        """The components of workloads and Jobs in the order in which they were first written since then."""
        kinds = ("statefulsets", "deployments", "jobs")
        names = [one.target[1] for one in self.writes(since) if one.target[0] in kinds]
        found = (next(stage for stage in STAGES if name.startswith(f"demo-{stage}")) for name in names)
        return list(dict.fromkeys(found))

    def images(self) -> set[str]:
        pods = self.get("pods")["items"]
        return {pod["spec"]["containers"][0]["image"] for pod in pods if pod["status"].get("phase") == "Running"}

    def instruments(self) -> dict[str, str]:
        found = httpx.get(f"{self.url}/api/symbols").json()["symbols"]
        return {one["name"]: one["status"] for one in found}

    def versions(self) -> dict[str, str]:
        """Of all objects, by kind and name."""
        found = self.get("exch,cm,svc,sa,deploy,sts,jobs,netpol,pdb,secrets,pvc,pods")["items"]
        return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

    def mark_deleted(self) -> None:
        """As a person does, with a finalizer in front, as kopf's."""
        finalizers = json.dumps({"metadata": {"finalizers": ["exchange.test/held"]}})
        self.kubectl("patch", "exchange/demo", "--type=merge", "-p", finalizers)
        self.kubectl("delete", "exchange/demo", "--wait=false")

    def until_gone(self, within: float = 60.0) -> None:
        """Pass after pass, until nothing is left to do."""
        begin = time.monotonic()
        while not (outcome := self.once()).gone:
            assert time.monotonic() - begin < within, outcome
            time.sleep(0.2)
