"""The node itself: what the tests of the exchange on Kubernetes rely on is true of it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.cluster.fixtures import ECHO_IMAGE
from tests.cluster.node import Cluster

_WITHIN_SECONDS: Final = 60.0
_RETRIES: Final = 5
"""With a pause twice as long each time, 15 s together."""

_RESTRICTED: Final = """
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
"""

_ECHO: Final = """
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: {namespace}}}
spec:
  selector: {{app: echo}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: echo, namespace: {namespace}}}
spec:
  serviceName: echo
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      terminationGracePeriodSeconds: 2
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        fsGroup: 10001
        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: echo
          image: {image}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
          readinessProbe: {{httpGet: {{port: 8080, path: /}}, periodSeconds: 1}}
          volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
    - metadata: {{name: data}}
      spec:
        accessModes: [ReadWriteOnce]
        resources: {{requests: {{storage: 1Gi}}}}
"""

_NOBODY: Final = """
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: default}
spec:
  selector: {app: nobody}
  ports: [{port: 80}]
"""

_BARE: Final = """
apiVersion: v1
kind: Pod
metadata: {{name: bare, namespace: {namespace}}}
spec:
  containers: [{{name: main, image: "exchange.test/not-there:1", imagePullPolicy: Never}}]
"""


class Echo:
    """A StatefulSet of the program `echo` with a volume and a Service, in a namespace of its own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace

    def deploy(self) -> None:
        self._cluster.apply(_RESTRICTED.format(namespace=self.namespace))
        self._cluster.apply(_ECHO.format(namespace=self.namespace, image=ECHO_IMAGE))
        self.wait_ready()

    def wait_ready(self) -> None:
        self._cluster.until(self._answers, "the pod answers", namespace=self.namespace, within=_WITHIN_SECONDS)

    def pod(self) -> dict[str, Any]:
        return self._cluster.get("pod/echo-0", "-n", self.namespace)

    def container(self) -> dict[str, Any]:
        status: dict[str, Any] = self.pod()["status"]["containerStatuses"][0]
        return status

    def service(self) -> str:
        """The Service's URL by its address."""
        address = self._cluster.get("service/echo", "-n", self.namespace)["spec"]["clusterIP"]
        return f"http://{address}"

    def ask(self, path: str, **query: str) -> str:
        """What the pod answers, asked through its Service."""
        with _patient() as client:
            answer = client.get(f"{self.service()}{path}", params=query)
        assert answer.is_success, answer.text
        return answer.text

    def write(self, name: str, content: str) -> None:
        with _patient() as client:
            client.put(f"{self.service()}/files/{name}", content=content).raise_for_status()

    def _answers(self) -> bool:
        try:
            return httpx.get(self.service(), timeout=1.0).is_success
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="module")
def echo(cluster: Cluster, echo_archive: Path) -> Iterator[Echo]:
    cluster.load_image(echo_archive)
    echo = Echo(cluster, "echo")
    echo.deploy()
    yield echo
    cluster.kubectl("delete", "namespace", "echo", "--wait=false")


def test_restricted_pod_of_a_scratch_image_answers_at_its_own_address(echo: Echo) -> None:
    address = echo.pod()["status"]["podIP"]
    assert httpx.get(f"http://{address}:8080/").text == "echo-0"


def test_names_resolve_to_the_service_and_to_the_pod(cluster: Cluster, echo: Echo) -> None:
    address = echo.service().removeprefix("http://")
    for name in ("echo", "echo.echo", "echo.echo.svc.cluster.local"):
        assert echo.ask("/resolve", name=name) == address
    assert echo.ask("/resolve", name="kubernetes.default") == str(cluster.machine.services[1])


def test_pod_reaches_a_service_by_its_name_even_when_it_is_behind_it_itself(echo: Echo) -> None:
    assert echo.ask("/get", url="http://echo.echo.svc/") == "echo-0"


def test_service_with_nobody_behind_it_refuses_connections(cluster: Cluster) -> None:
    cluster.apply(_NOBODY)
    url = f"http://{cluster.get('service/nobody')['spec']['clusterIP']}"

    def refuses() -> bool:
        with pytest.raises(httpx.TransportError) as error:
            httpx.get(url, timeout=1.0)
        return "Connection refused" in str(error.value)

    cluster.until(refuses, "the connection is refused", within=_WITHIN_SECONDS)
    cluster.kubectl("delete", "service", "nobody")


def test_pod_reaches_a_server_on_this_machine(cluster: Cluster, echo: Echo) -> None:
    class Here(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here")

    with HTTPServer((cluster.machine.host_address, 0), Here) as server:
        threading.Thread(target=server.handle_request).start()
        assert echo.ask("/get", url=f"http://{cluster.machine.host_address}:{server.server_port}/") == "here"


def test_logs_of_a_pod_can_be_read(cluster: Cluster, echo: Echo) -> None:
    assert "listening on :8080" in cluster.kubectl("logs", "echo-0", "-n", echo.namespace)


def test_volume_is_the_pods_own_and_grows(cluster: Cluster, echo: Echo) -> None:
    echo.write("kept", "here")
    claim = ("pvc/data-echo-0", "-n", echo.namespace)
    cluster.kubectl("patch", *claim, "-p", '{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}')
    grown = "--for=jsonpath={.status.capacity.storage}=2Gi"
    cluster.wait("pvc/data-echo-0", grown, namespace=echo.namespace, within=_WITHIN_SECONDS)
    assert echo.ask("/files/kept") == "here"


def test_volume_is_gone_with_its_claim(cluster: Cluster) -> None:
    claim = """
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata: {name: brief, namespace: default}
    spec:
      storageClassName: immediate
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
    """
    cluster.apply(claim)
    cluster.wait("pvc/brief", "--for=jsonpath={.status.phase}=Bound", within=_WITHIN_SECONDS)
    name = cluster.get("pvc/brief")["spec"]["volumeName"]
    folder = Path(cluster.get(f"pv/{name}")["spec"]["local"]["path"])
    assert folder.is_dir()
    cluster.kubectl("delete", "pvc", "brief")
    cluster.until(lambda: not folder.exists(), "the folder is gone", within=_WITHIN_SECONDS)
    cluster.until(lambda: name not in cluster.kubectl("get", "pv"), "the volume is gone", within=_WITHIN_SECONDS)


def test_helm_installs_a_chart(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: small, version: 0.1.0}")
    (tmp_path / "templates" / "settings.yaml").write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: of-{{ .Release.Name }}}}"
    )
    cluster.helm("install", "first", str(tmp_path), "-n", "charts", "--create-namespace", "--wait")
    assert cluster.get("configmap/of-first", "-n", "charts")["kind"] == "ConfigMap"
    cluster.helm("uninstall", "first", "-n", "charts")
    assert "of-first" not in cluster.kubectl("get", "configmaps", "-n", "charts")


def test_waiting_in_vain_says_why(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "vain")
    cluster.apply(_BARE.format(namespace="vain"))
    with pytest.raises(AssertionError, match="ErrImageNeverPull"):
        cluster.wait("pod/bare", "--for=condition=Ready", namespace="vain", within=5.0)
    cluster.kubectl("delete", "namespace", "vain", "--wait=false")


def test_pods_go_on_while_kubelet_and_containerd_are_started_again(cluster: Cluster, echo: Echo) -> None:
    before = echo.container()
    cluster.restart_kubelet()
    assert httpx.get(f"http://{echo.pod()['status']['podIP']}:8080/").text == "echo-0"
    cluster.wait_ready()
    assert echo.ask("/") == "echo-0"
    after = echo.container()
    assert after["containerID"] == before["containerID"]
    assert after["restartCount"] == before["restartCount"]


def test_reboot_starts_every_pod_again_and_keeps_volumes(cluster: Cluster, echo: Echo) -> None:
    echo.write("before", "the reboot")
    before = echo.container()
    cluster.reboot()
    cluster.wait_ready()
    cluster.wait("pod/echo-0", "--for=condition=Ready", namespace=echo.namespace, within=_WITHIN_SECONDS)
    assert echo.container()["restartCount"] == before["restartCount"] + 1
    assert echo.ask("/files/before") == "the reboot"
    assert echo.ask("/get", url="http://echo.echo.svc/") == "echo-0"


def test_power_cut_loses_nothing_that_was_accepted(cluster: Cluster, echo: Echo) -> None:
    echo.write("flushed", "or not")
    cluster.kubectl("create", "configmap", "accepted", "-n", echo.namespace)
    cluster.power_cut()
    assert echo.ask("/get", url="http://echo.echo.svc/") == "echo-0"
    assert cluster.get("configmap/accepted", "-n", echo.namespace)["kind"] == "ConfigMap"
    assert echo.ask("/files/flushed") == "or not"


def test_cluster_of_a_killed_process_leaves_nothing_and_is_started_again(tmp_path: Path, echo_archive: Path) -> None:
    command = [sys.executable, "-m", "tests.cluster.node", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready after" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    cluster = Cluster(tmp_path)
    try:
        cluster.until(lambda: not _running_in(tmp_path), "every process of it has ended", within=_WITHIN_SECONDS)
        cluster.start()
        cluster.load_image(echo_archive)
        echo = Echo(cluster, "echo")
        echo.deploy()
        assert echo.ask("/get", url="http://echo.echo.svc/") == "echo-0"
    finally:
        cluster.end()
        cluster.forget_images()
    assert _running_in(tmp_path) == []


def _patient() -> httpx.Client:
    """A client that tries again when nobody is there: after a restart, Services know later than pods."""
    return httpx.Client(transport=httpx.HTTPTransport(retries=_RETRIES), timeout=10.0)


def _running_in(folder: Path) -> list[str]:
    """The commands of all processes that name the folder, but those that run this test."""
    listed = subprocess.run(["ps", "-ww", "-e", "-o", "command="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"{folder}/" in line]
