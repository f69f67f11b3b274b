"""kopf as it is told to behave, against a real API server. What a pass does is replaced by one that is written down."""

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kopf
import kubernetes.config.kube_config
import pytest
from exchange_operator.handlers import CHILDREN, FINALIZER, configure, registered
from exchange_operator.metrics import Metrics
from exchange_operator.names import labels
from exchange_operator.passes import Outcome, Passes, Stopping

from services.adapters.logs.logs import Logs
from tests.operator.audited_server import AuditedServer
from tests.operator.exchanges import create, know_exchanges, minimal, new_namespace
from tests.support.processes import ROOT

_PEERINGS = ROOT / "charts" / "exchange-operator" / "crds" / "kopfpeerings.yaml"
_USER = "kopf"
_SOON_SECONDS = 30.0
"""A busy machine takes a while."""
_PROMPT_SECONDS = 5.0


class Recorder:
    """Passes that do nothing but write down that they were made, and take a little while."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, str]] = []
        self.overlapped = False
        self.again_seconds = 60.0
        self.gone = threading.Event()
        self.failing = threading.Event()
        self.held = threading.Event()
        """While it is set, no pass ends."""
        self.told = threading.Event()
        """Set when a pass that was held was told to stop."""
        self._running: set[str] = set()

    def run(self, _namespace: str, name: str, stopping: Stopping) -> Outcome:
        self.overlapped |= name in self._running
        self._running.add(name)
        self.passes.append((time.monotonic(), name))
        time.sleep(0.05)
        while self.held.is_set():
            if stopping():
                self.told.set()
            time.sleep(0.05)
        self._running.discard(name)
        if self.failing.is_set():
            raise RuntimeError("a pass that fails")
        return Outcome("recorded", self.again_seconds, conditions={"Ready": True}, gone=self.gone.is_set())

    def count(self, name: str = "demo") -> int:
        return sum(one == name for _, one in self.passes)

    def wait(self, count: int, name: str = "demo", within: float = _SOON_SECONDS) -> None:
        _until(lambda: self.count(name) >= count, f"{count} passes over {name}", within)


def _until(true: Callable[[], bool], what: str, within: float = _SOON_SECONDS) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.05)


class Operator:
    """kopf with our handlers in a thread of this process. peering: of a ClusterKopfPeering; alone without."""

    def __init__(self, recorder: Recorder, logs: Logs, peering: str = "") -> None:
        self.metrics = Metrics("test")
        self._peering = peering
        self._recorder = recorder
        self._logs = logs
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(_SOON_SECONDS)

    def stop(self) -> float:
        """Returns how many seconds it took."""
        begin = time.monotonic()
        self._stop.set()
        self._thread.join(_SOON_SECONDS)
        assert not self._thread.is_alive()
        return time.monotonic() - begin

    def _run(self) -> None:
        with ThreadPoolExecutor(4) as threads:
            settings = kopf.OperatorSettings()
            configure(settings, threads)
            passes = Passes(self._recorder.run, threads, self.metrics, self._logs.service("operator"))
            asyncio.run(
                kopf.operator(
                    registry=registered(passes),
                    settings=settings,
                    clusterwide=True,
                    standalone=not self._peering,
                    peering_name=self._peering or None,
                    stop_flag=self._stop,
                    ready_flag=self._ready,
                )
            )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    server = AuditedServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        know_exchanges(server)
        server.kubectl("create", "clusterrolebinding", _USER, "--clusterrole=cluster-admin", f"--user={_USER}")
        yield server
    finally:
        server.end()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def peering() -> str:
    """That of the operator: none, unless a test says otherwise."""
    return ""


@pytest.fixture
def operator(
    server: AuditedServer, recorder: Recorder, peering: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operator]:
    monkeypatch.setattr(kubernetes.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig_of(_USER)))
    if peering:
        _know_peering(server, peering)
    logs = Logs(tmp_path / "logs")
    operator = Operator(recorder, logs, peering)
    operator.start()
    try:
        yield operator
    finally:
        recorder.held.clear()
        operator.stop()
        logs.close()
        server.kubectl("delete", "exchanges", "--all", "--all-namespaces", "--wait=false")
        for found in server.get("exchanges", "--all-namespaces")["items"]:
            where = ("-n", found["metadata"]["namespace"], f"exchange/{found['metadata']['name']}")
            server.kubectl("patch", *where, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def _know_peering(server: AuditedServer, name: str) -> None:
    server.kubectl("apply", "-f", str(_PEERINGS))
    server.kubectl("wait", "crd/clusterkopfpeerings.kopf.dev", "--for=condition=Established")
    server.apply(json.dumps({"apiVersion": "kopf.dev/v1", "kind": "ClusterKopfPeering", "metadata": {"name": name}}))


def _have_other_replica(server: AuditedServer, peering: str, *, there: bool) -> None:
    """Let there be one that goes before ours, or let it be gone."""
    one = {"priority": 1, "lifetime": 60, "lastseen": datetime.now(UTC).isoformat()}
    patch = json.dumps({"status": {"other": one if there else None}})
    server.kubectl("patch", f"clusterkopfpeering/{peering}", "--type=merge", "-p", patch)


def _exchange(server: AuditedServer, namespace: str) -> dict[str, Any]:
    return server.get("-n", namespace, "exchange/demo")


def test_settings_are_ones_that_kopf_knows_and_differ_from_its_defaults() -> None:
    settings, defaults = kopf.OperatorSettings(), kopf.OperatorSettings()
    with ThreadPoolExecutor(1) as threads:
        configure(settings, threads)

    changed = set()
    for group in dataclasses.fields(settings):
        ours, theirs = getattr(settings, group.name), getattr(defaults, group.name)
        known = {field.name for field in dataclasses.fields(ours)}
        assert vars(ours).keys() == vars(theirs).keys() == known | {"_max_workers"} & vars(theirs).keys()
        changed |= {f"{group.name}.{name}" for name in vars(ours) if vars(ours)[name] != vars(theirs)[name]}
    assert changed == {
        "background.instant_exit_timeout",
        "execution._max_workers",
        "execution.executor",
        "networking.connect_timeout",
        "networking.request_timeout",
        "peering.lifetime",
        "persistence.diffbase_storage",
        "persistence.finalizer",
        "persistence.progress_storage",
        "posting.level",
        "posting.reporting_component",
        "process.ultimate_exiting_timeout",
        "scanning.disabled",
        "watching.client_timeout",
        "watching.connect_timeout",
        "watching.label_selectors",
        "watching.reconnect_backoff",
        "watching.server_timeout",
    }


def test_watches_are_asked_for_with_an_end_and_for_our_objects_alone(server: AuditedServer, operator: Operator) -> None:
    kinds = {"exchanges", *(child[-1] for child in CHILDREN)}

    def watched() -> dict[str, dict[str, list[str]]]:
        uris = (urlsplit(one.uri) for one in server.requests(_USER) if "watch=true" in one.uri)
        return {uri.path.rpartition("/")[2]: parse_qs(uri.query) for uri in uris if "timeoutSeconds=300" in uri.query}

    _until(lambda: kinds <= watched().keys(), "all kinds are watched")

    for kind in kinds - {"exchanges"}:
        assert watched()[kind]["labelSelector"] == ["app.kubernetes.io/managed-by=exchange-operator"], kind
    assert not {"secrets", "pods", "namespaces", "customresourcedefinitions"} & watched().keys()


def test_new_exchange_is_looked_at_and_gets_nothing_but_a_finalizer(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    namespace = new_namespace(server)
    create(server, minimal(namespace=namespace))
    recorder.wait(1)
    _until(lambda: "finalizers" in _exchange(server, namespace)["metadata"], "it has the finalizer")

    metadata = _exchange(server, namespace)["metadata"]
    assert metadata["finalizers"] == [FINALIZER]
    assert metadata["annotations"].keys() == {"kubectl.kubernetes.io/last-applied-configuration"}
    condition = {"namespace": namespace, "name": "demo", "type": "Ready"}
    _until(
        lambda: operator.metrics.registry.get_sample_value("exchange_operator_exchange_condition", condition) == 1,
        "its condition is told",
    )


def test_change_of_the_spec_or_of_a_child_wakes_a_pass_and_nothing_else_does(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    namespace = new_namespace(server)
    exchange = create(server, minimal(namespace=namespace))
    where = ("-n", namespace, "exchange/demo")
    recorder.wait(1)
    time.sleep(2.0)
    quiet = recorder.count()
    server.kubectl("annotate", *where, "somebody/said=something")
    server.kubectl("patch", *where, "--subresource=status", "--type=merge", "-p", '{"status": {"gateway": "1/1"}}')
    server.kubectl("-n", namespace, "create", "configmap", "of-somebody-else")
    time.sleep(2.0)
    assert recorder.count() == quiet

    server.kubectl("patch", *where, "--type=merge", "-p", '{"spec": {"gateway": {"replicas": 3}}}')
    recorder.wait(quiet + 1, within=_PROMPT_SECONDS)
    time.sleep(2.0)
    before = recorder.count()
    server.kubectl("annotate", *where, "trading.exchange/paused=true")
    recorder.wait(before + 1, within=_PROMPT_SECONDS)
    time.sleep(2.0)
    before = recorder.count()
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours", "namespace": namespace}}
    child["metadata"]["labels"] = labels(exchange, "config")  # type: ignore[index]
    server.apply(json.dumps(child))
    recorder.wait(before + 1, within=_PROMPT_SECONDS)
    time.sleep(2.0)
    before = recorder.count()
    server.kubectl("-n", namespace, "delete", "configmap/ours")
    recorder.wait(before + 1, within=_PROMPT_SECONDS)
    assert not recorder.overlapped


def test_many_events_at_once_are_seen_by_few_passes(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    namespace = new_namespace(server)
    exchange = create(server, minimal(namespace=namespace))
    recorder.wait(1)
    time.sleep(2.0)
    before = recorder.count()
    children = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"ours-{number}", "namespace": namespace, "labels": labels(exchange, "config")},
        }
        for number in range(30)
    ]
    server.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": children}))
    recorder.wait(before + 1, within=_PROMPT_SECONDS)
    time.sleep(2.0)
    assert recorder.count() - before <= 5
    assert not recorder.overlapped


def test_deleted_exchange_stays_until_it_is_torn_down(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    namespace = new_namespace(server)
    create(server, minimal(namespace=namespace))
    _until(lambda: "finalizers" in _exchange(server, namespace)["metadata"], "it has the finalizer")
    recorder.again_seconds = 1.0
    server.kubectl("-n", namespace, "delete", "exchange/demo", "--wait=false")
    recorder.wait(recorder.count() + 2)
    time.sleep(2.0)
    assert _exchange(server, namespace)["metadata"]["finalizers"] == [FINALIZER]

    recorder.gone.set()
    server.kubectl("-n", namespace, "wait", "exchange/demo", "--for=delete", f"--timeout={_SOON_SECONDS}s")
    assert not recorder.overlapped
    end = recorder.count()
    time.sleep(2.0)
    assert recorder.count() == end


def test_deletion_while_no_operator_runs_is_torn_down_by_the_next(
    server: AuditedServer, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig_of(_USER)))
    namespace = new_namespace(server)
    server.apply(json.dumps(minimal(namespace=namespace)))
    where = ("-n", namespace, "exchange/demo")
    server.kubectl("patch", *where, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": [FINALIZER]}}))
    server.kubectl("-n", namespace, "delete", "exchange/demo", "--wait=false")
    logs = Logs(tmp_path / "logs")
    operator = Operator(recorder, logs)
    recorder.gone.set()
    operator.start()
    try:
        server.kubectl("-n", namespace, "wait", "exchange/demo", "--for=delete", f"--timeout={_SOON_SECONDS}s")
        assert recorder.count() >= 1
    finally:
        operator.stop()
        logs.close()


def test_failing_passes_are_repeated_more_and_more_seldom_and_counted(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    recorder.failing.set()
    namespace = new_namespace(server)
    create(server, minimal(namespace=namespace))
    value = operator.metrics.registry.get_sample_value
    _until(lambda: (value("exchange_operator_reconcile_errors_total") or 0) >= 4, "four passes failed")
    first, second, third, fourth = (when for when, _ in recorder.passes[:4])
    assert fourth - third > third - second > second - first
    assert value("exchange_operator_reconcile_total", {"result": "failed"}) == 4
    recorder.failing.clear()
    before = recorder.count()
    recorder.wait(before + 1)
    _until(lambda: value("exchange_operator_reconcile_total", {"result": "recorded"}) == 1, "it succeeds")


def test_api_server_that_was_away_for_a_while_is_watched_again(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    namespace = new_namespace(server)
    create(server, minimal(namespace=namespace))
    recorder.wait(1)
    server.server.kill()
    time.sleep(3.0)
    server.server.start()
    before = recorder.count()
    server.kubectl("-n", namespace, "annotate", "exchange/demo", "trading.exchange/paused=true")
    recorder.wait(before + 1)


@pytest.mark.parametrize("peering", ["replicas"])
def test_exchange_is_looked_after_again_when_a_pause_is_over_before_a_pass_that_it_met(
    server: AuditedServer, operator: Operator, peering: str, recorder: Recorder
) -> None:
    namespace = new_namespace(server)
    create(server, minimal(namespace=namespace))
    recorder.wait(1)
    time.sleep(2.0)
    before = recorder.count()
    recorder.held.set()
    server.kubectl("-n", namespace, "annotate", "exchange/demo", "trading.exchange/paused=true")
    recorder.wait(before + 1)
    _have_other_replica(server, peering, there=True)
    assert recorder.told.wait(_SOON_SECONDS)

    mark = server.mark()
    _have_other_replica(server, peering, there=False)
    _until(
        lambda: any(one.verb == "list" and "/exchanges?" in f"{one.uri}?" for one in server.requests(_USER, mark)),
        "it looks which exchanges there are",
    )
    time.sleep(2.0)
    assert recorder.count() == before + 1
    recorder.held.clear()
    recorder.wait(before + 2)
    assert not recorder.overlapped


def test_operator_that_is_told_to_stop_does_so_soon(
    server: AuditedServer, operator: Operator, recorder: Recorder
) -> None:
    create(server, minimal(namespace=new_namespace(server)))
    recorder.wait(1)
    assert operator.stop() < 10
    assert not recorder.overlapped
