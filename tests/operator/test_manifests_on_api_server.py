"""A real API server takes what the operator makes, keeps it as it was written, and calls its pods restricted."""

import json
from typing import Any, Final

import pytest
from exchange_operator.drift import missing_from
from exchange_operator.manifests import Capabilities, desired
from exchange_operator.manifests.jobs import delete_topics, drop_schema
from exchange_operator.manifests.quantities import canonical
from exchange_operator.names import MANAGER, Manifest
from exchange_operator.resource import Exchange

from tests.cluster.api_server import ApiServer
from tests.operator.exchanges import new_namespace
from tests.operator.manifest_examples import NAMES, everything, example, manifests, pod_template

KNOWN: Final = Capabilities()
EXCHANGES = [*(pytest.param(example(name), id=name) for name in NAMES), pytest.param(everything(), id="everything")]
_QUANTITIES: Final = (
    "1",
    "1000m",
    "0.5",
    "2500m",
    "0.5m",
    "1024Mi",
    "1.5Gi",
    "0.1Gi",
    "1000Mi",
    "1.5G",
    "1024",
    "2048Gi",
)


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """One that takes restricted pods only, with the PriorityClasses of the examples."""
    name = new_namespace(api_server)
    api_server.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    for priority in ("trading", "high"):
        wanted: Manifest = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
        api_server.apply(json.dumps(wanted | {"metadata": {"name": priority}}), "--server-side")
    return name


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_everything_is_taken_and_kept_as_written(exchange: Exchange, api_server: ApiServer, namespace: str) -> None:
    jobs = [*delete_topics(exchange), *drop_schema(exchange)]
    wanted = [_in(namespace, one) for one in [*manifests(desired(exchange, KNOWN)), *jobs]]
    first = _applied(api_server, wanted)
    for one in wanted:
        live = first[one["kind"], one["metadata"]["name"]]
        assert missing_from(live, one) == [], one["metadata"]["name"]
    second = _applied(api_server, wanted)
    assert {key: _version(live) for key, live in second.items()} == {key: _version(live) for key, live in first.items()}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_pods_are_restricted(exchange: Exchange, api_server: ApiServer, namespace: str) -> None:
    made = [*manifests(desired(exchange, KNOWN)), delete_topics(exchange)[1], drop_schema(exchange)[1]]
    pods = [_pod(one, template) for one in made if (template := pod_template(one)) is not None]
    assert len(pods) >= 9
    text = _list([_in(namespace, pod) for pod in pods])
    assert len(api_server.apply(text, "--server-side", "--dry-run=server").splitlines()) == len(pods)


def test_pods_that_are_not_restricted_are_refused_here(api_server: ApiServer, namespace: str) -> None:
    """Else the test above could not fail."""
    (deployment,) = [one for one in manifests(desired(example("minimal"), KNOWN)) if one["kind"] == "Deployment"]
    template = pod_template(deployment)
    assert template is not None
    pod = _in(namespace, _pod(deployment, template | {"spec": template["spec"] | {"securityContext": {}}}))
    said = api_server.refusal(_list([pod]), "--server-side", "--dry-run=server")
    assert "violates PodSecurity" in said
    assert "runAsNonRoot" in said


def test_quantities_come_back_as_they_were_made(api_server: ApiServer, namespace: str) -> None:
    (deployment,) = [one for one in manifests(desired(example("minimal"), KNOWN)) if one["kind"] == "Deployment"]
    template = pod_template(deployment)
    assert template is not None
    (container,) = template["spec"]["containers"]
    containers = [
        container | {"name": f"c{index}", "ports": [], "resources": {"requests": {"memory": quantity}}}
        for index, quantity in enumerate(_QUANTITIES)
    ]
    pod = _in(namespace, _pod(deployment, template | {"spec": template["spec"] | {"containers": containers}}))
    said = api_server.apply(_list([pod]), "--server-side", "--dry-run=server", "-o", "json")
    live = [one["resources"]["requests"]["memory"] for one in json.loads(said)["spec"]["containers"]]
    assert live == [canonical(quantity) for quantity in _QUANTITIES]


def _applied(server: ApiServer, wanted: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """What is there once they are applied, by kind and name."""
    options = ("--server-side", f"--field-manager={MANAGER}", "-o", "json")
    found = json.loads(server.apply(_list(wanted), *options))["items"]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def _list(items: list[Manifest]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _in(namespace: str, manifest: Manifest) -> Manifest:
    return manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}


def _pod(workload: Manifest, template: Manifest) -> Manifest:
    """The pod that its controller would make."""
    claims = workload["spec"].get("volumeClaimTemplates", [])
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}] * len(claims)
    metadata: dict[str, Any] = {"name": f"{workload['kind'].lower()}-{workload['metadata']['name']}"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"labels": template["metadata"]["labels"]},
        "spec": template["spec"] | {"volumes": template["spec"]["volumes"] + volumes},
    }


def _version(live: Manifest) -> str:
    return str(live["metadata"]["resourceVersion"])
