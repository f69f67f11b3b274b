"""What does not work is told, and keeps nothing else from being done."""

import time
from typing import Any, Final

import httpx
import pytest
from exchange_operator.kubernetes_api import Refused
from exchange_operator.names import Manifest
from exchange_operator.passes import LOOK_AGAIN_SECONDS

from tests.operator.control_plane import until
from tests.operator.world import World

_CLASSES: Final = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fixed}
provisioner: exchange.test/none
allowVolumeExpansion: false
"""
_POLICY: Final = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints:
    namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}
    resourceRules: [{{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [statefulsets]}}]
  validations: [{{expression: "false", message: "no StatefulSets on Fridays"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec: {{policyName: {name}, validationActions: [Deny]}}
"""


def test_volume_that_cannot_grow_is_told_and_keeps_nothing_else_from_happening(world: World) -> None:
    world.kubectl("apply", "-f", "-", stdin=_CLASSES)
    world.ask(ubscore={"storage": "1Gi", "storageClassName": "fixed"})
    world.settle()
    world.ask(ubscore={"storage": "2Gi", "storageClassName": "fixed"}, gateway={"replicas": 3})
    outcome = world.settle("degraded")

    assert outcome.again_seconds == LOOK_AGAIN_SECONDS
    assert world.conditions()["Degraded"][:2] == ("True", "Refused")
    assert "data-demo-ubscore-0 cannot grow to 2Gi; it must be bound" in world.conditions()["Degraded"][2]
    assert world.status()["gateway"] == "3/3"
    mark = world.plane.mark()
    assert world.once().result == "degraded"
    assert [one.status for one in world.writes(mark)] == [httpx.codes.UNPROCESSABLE_ENTITY]


def test_what_the_cluster_refuses_is_told_and_goes_on_when_it_is_allowed(world: World) -> None:
    world.plane.apply(_POLICY.format(name=world.namespace))
    world.ask()

    def refused() -> bool:
        try:
            return world.once().result == "never"
        except Refused:
            return True

    try:
        time.sleep(1.0)  # Policies are in force once the API server has noticed them.
        until(refused, "refused")
        assert "no StatefulSets on Fridays" in world.conditions()["Degraded"][2]
        assert world.conditions()["Ready"][0] == "False"
        versions = world.get("exchange/demo")["metadata"]["resourceVersion"]
        assert refused()
        assert world.get("exchange/demo")["metadata"]["resourceVersion"] == versions
    finally:
        world.plane.kubectl("delete", f"validatingadmissionpolicybinding/{world.namespace}")

    def allowed() -> bool:
        return not refused()

    until(allowed, "allowed")
    assert world.settle().conditions["Ready"]


def test_resource_of_another_version_is_told_and_nothing_is_changed(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = running.cluster.exchange

    def newer(namespace: str, name: str) -> Manifest | None:
        resource = read(namespace, name)
        assert resource is not None
        return {**resource, "spec": resource["spec"] | {"gateway": {"replicas": "many"}}}

    monkeypatch.setattr(running.cluster, "exchange", newer)
    mark = running.plane.mark()
    assert [running.once().result for _ in range(2)] == ["invalid"] * 2

    assert running.conditions()["Degraded"][:2] == ("True", "InvalidSpec")
    assert "gateway.replicas" in running.conditions()["Degraded"][2]
    assert running.conditions()["Ready"][0] == "True"
    assert len([one for one in running.writes(mark) if one.target[0] == "exchanges"]) == 1


def test_fault_of_the_operator_is_told_and_raised(running: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: Any) -> None:
        raise KeyError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(running.symbols, "sync", fault)
        with pytest.raises(KeyError):
            running.once()
    assert running.conditions()["Degraded"] == ("True", "OperatorError", "'a fault'")
    assert running.settle().conditions["Ready"]
