"""The operator as a process of its own, on a real API server with Kubernetes' controllers and the chart's rights."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.operator.chart import render
from tests.operator.control_plane import OPERATOR, ControlPlane, until
from tests.operator.exchanges import minimal, new_namespace
from tests.operator.operator_process import OperatorProcess
from tests.support.processes import ROOT

_PEERINGS: Final = ROOT / "charts" / "exchange-operator" / "crds" / "kopfpeerings.yaml"
_PROMPT_SECONDS: Final = 15.0
"""A busy machine takes a while; on an idle one it is a second."""
_TAKES_OVER_SECONDS: Final = 90.0
_WORKLOADS: Final = ("ubscore", "matcher", "settlement", "order-history", "gateway")


class Place:
    """One exchange in a namespace of its own. No gateway answers there: its symbols stay undeclared."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.namespace = new_namespace(plane)

    def ask(self, **spec: Any) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(minimal(namespace=self.namespace, **spec)))

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def get(self, *what: str) -> dict[str, Any]:
        return self.plane.get("-n", self.namespace, *what)

    def condition(self, kind: str) -> str:
        found = self.get("exchange/demo").get("status", {}).get("conditions", [])
        return next((str(one["status"]) for one in found if one["type"] == kind), "")

    def has_started(self) -> bool:
        return self.condition("ComponentsReady") == "True"

    def versions(self) -> dict[str, str]:
        """Of all that the operator writes."""
        found = self.get("exch,cm,svc,sa,deploy,sts,jobs,netpol,pdb,secrets,pods")["items"]
        return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}

    def has_service(self) -> bool:
        return bool(self.kubectl("get", "service/demo-gateway", "--ignore-not-found"))


@pytest.fixture
def place(plane: ControlPlane) -> Place:
    return Place(plane)


@pytest.fixture
def operator(plane: ControlPlane, place: Place, tmp_path: Path) -> Iterator[OperatorProcess]:
    """It is not started yet."""
    operator = OperatorProcess(tmp_path, plane.kubeconfig_of(OPERATOR), f"--namespace={place.namespace}")
    yield operator
    operator.end()


def test_applied_exchange_starts_and_is_kept_and_a_pass_that_finds_all_as_wanted_writes_nothing(
    place: Place, operator: OperatorProcess
) -> None:
    begin = place.plane.mark()
    operator.start()
    place.ask()
    until(place.has_started, "it starts")
    place.kubectl("delete", "service/demo-gateway")
    until(place.has_service, "the Service is back", _PROMPT_SECONDS)
    until(lambda: operator.metric("drift_corrections_total", kind="Service") == 1, "that is counted")
    labels = {"namespace": place.namespace, "name": "demo"}
    until(lambda: operator.metric("exchange_condition", type="ComponentsReady", **labels) == 1, "a metric tells")
    assert operator.metric("watch_lag_seconds") < _PROMPT_SECONDS

    # Waiting for its gateway to answer, it makes a pass every few seconds.
    mark, passes = place.plane.mark(), operator.metric("reconcile_total", result="waiting")
    before = place.versions()
    until(lambda: operator.metric("reconcile_total", result="waiting") >= passes + 3, "three more passes")
    asked = [one for one in place.plane.requests(OPERATOR, mark) if place.namespace in one.uri]
    assert len(asked) > 30
    assert not [one for one in asked if one.is_write]
    assert place.versions() == before
    assert not [one.uri for one in place.plane.requests(OPERATOR, begin) if one.status == httpx.codes.FORBIDDEN]
    assert operator.metric("reconcile_errors_total") == 0
    assert not [line for line in operator.log() if line["level"] in ("warning", "error")]


def test_operator_that_is_killed_again_and_again_comes_to_the_same(place: Place, operator: OperatorProcess) -> None:
    chance = random.Random(5)
    operator.start()
    place.ask()
    for _ in range(4):
        time.sleep(chance.uniform(0.5, 3.0))
        operator.kill()
        operator.start()
    until(place.has_started, "it starts")

    made = [
        one.target
        for one in place.plane.requests(OPERATOR)
        if one.status == httpx.codes.CREATED and place.namespace in one.uri
    ]
    objects = [(kind, name) for kind, name in made if name and kind != "events"]
    assert len(objects) == len(set(objects))
    first = [name for kind, name in objects if kind in ("statefulsets", "deployments")]
    assert first == [f"demo-{name}" for name in _WORKLOADS]


def test_operator_that_is_killed_during_an_upgrade_goes_on_with_it(place: Place, operator: OperatorProcess) -> None:
    operator.start()
    place.ask()
    until(place.has_started, "it starts")

    def images() -> list[str]:
        found = place.get("sts,deploy")["items"]
        return sorted(one["spec"]["template"]["spec"]["containers"][0]["image"] for one in found)

    place.ask(image={"repository": "exchange-platform", "tag": "0.2.0"})
    until(lambda: "exchange-platform:0.2.0" in images(), "it has begun")
    operator.kill()
    assert "exchange-platform:0.1.0" in images()
    operator.start()
    until(lambda: images() == ["exchange-platform:0.2.0"] * len(_WORKLOADS), "all have the new image")
    until(place.has_started, "it serves")


def test_another_operator_rolls_nothing(place: Place, operator: OperatorProcess) -> None:
    operator.start()
    place.ask()
    until(lambda: place.has_started() and place.condition("SymbolsSynced") == "False", "it starts")
    until(lambda: operator.metric("reconcile_total", result="waiting") >= 2, "it only waits")
    before = place.versions()
    operator.stop()
    operator.start()
    until(lambda: operator.metric("reconcile_total", result="waiting") >= 2, "it looks")
    assert place.versions() == before


def test_deletion_waits_for_the_operator_and_goes_in_order_while_paused(
    place: Place, operator: OperatorProcess
) -> None:
    operator.start()
    place.ask(paused=False)
    until(place.has_started, "it starts")
    place.ask(paused=True)
    until(lambda: operator.metric("reconcile_total", result="paused") >= 1, "it is paused")
    operator.kill()
    place.kubectl("delete", "exchange/demo", "--wait=false")
    time.sleep(2.0)
    assert place.get("exchange/demo")["metadata"]["finalizers"] == ["trading.exchange/operator"]
    mark = place.plane.mark()
    operator.start()
    place.kubectl("wait", "exchange/demo", "--for=delete", "--timeout=60s")

    requests = [one for one in place.plane.requests(OPERATOR, mark) if place.namespace in one.uri]
    deleted = [
        one.target[1] for one in requests if one.verb == "delete" and one.target[0] in ("deployments", "statefulsets")
    ]
    assert deleted[0] == "demo-gateway"
    assert set(deleted[1:3]) == {"demo-ubscore", "demo-matcher"}
    assert {one["kind"] for one in place.get("pods,svc,deploy,sts,jobs,cm,secret,pvc,sa,netpol,pdb")["items"]} == {
        "PersistentVolumeClaim",
        "Secret",
    }
    until(lambda: operator.metric("reconcile_total", result="deleted") >= 1, "that is counted")


def test_one_of_two_replicas_works_and_the_other_takes_over_when_it_dies(
    plane: ControlPlane, place: Place, tmp_path: Path
) -> None:
    plane.kubectl("apply", "-f", str(_PEERINGS))
    plane.kubectl("wait", "crd/kopfpeerings.kopf.dev", "--for=condition=Established")
    _let_peer(plane, place)
    users = ("first", "second")
    replicas = [
        OperatorProcess(
            tmp_path / user,
            plane.kubeconfig_of(user),
            f"--namespace={place.namespace}",
            "--peering=operators",
            name=user,
        )
        for user in users
    ]

    def writes(user: str, since: int) -> set[str]:
        requests = [one for one in plane.requests(user, since) if one.is_write and one.target[0] != "kopfpeerings"]
        return {one.target[0] for one in requests}

    try:
        for replica in replicas:
            replica.start()
        place.ask()
        until(place.has_started, "it starts")
        # Both may have begun with the finalizer before they had heard of each other.
        assert not [user for user in users[1:] if writes(user, 0) - {"exchanges", "events"}]

        mark = plane.mark()
        replicas[0].kill()
        place.kubectl("delete", "service/demo-gateway")
        took = until(place.has_service, "the other takes over", _TAKES_OVER_SECONDS)
        print(f"took over within {took:.0f} s")
        assert "services" in writes("second", mark)

        replicas[0].start()
        mark = plane.mark()
        time.sleep(3.0)
        place.kubectl("delete", "service/demo-gateway")
        until(place.has_service, "the Service is back", _PROMPT_SECONDS)
        assert "services" in writes("second", mark)
        assert "services" not in writes("first", mark)
        replicas[1].stop()
        place.kubectl("delete", "service/demo-gateway")
        until(place.has_service, "the first takes over at once", _PROMPT_SECONDS)
    finally:
        for replica in replicas:
            replica.end()


def _let_peer(plane: ControlPlane, place: Place) -> None:
    """Give two users what the chart gives to two replicas in that namespace."""
    made = render("--set", "replicas=2", "--set", f"watch.namespaces={{{place.namespace}}}")
    (role,) = (one for one in made if one["kind"] == "Role" and one["metadata"]["namespace"] == place.namespace)
    (peering,) = (one for one in made if one["kind"] == "KopfPeering")
    peering["metadata"]["name"] = "operators"
    text = yaml.safe_dump(role).replace(_name_of_peering(role), "operators")
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user} for user in ("first", "second")]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "operators", "namespace": place.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operators"},
        "subjects": subjects,
    }
    plane.apply(text)
    plane.apply(yaml.safe_dump_all([peering, binding]))


def _name_of_peering(role: dict[str, Any]) -> str:
    (name,) = {name for rule in role["rules"] for name in rule.get("resourceNames", ())}
    return str(name)
