"""Whether a live object still says what we want, by the rules of server-side apply."""

import copy
from decimal import Decimal
from typing import Any

import pytest
from exchange_operator.drift import missing_from, quantity
from hypothesis import given
from hypothesis import strategies as st

WANTED: dict[str, Any] = {
    "metadata": {"name": "demo", "labels": {"a": "1"}, "ownerReferences": [{"uid": "u1", "controller": True}]},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"a": "1"}},
        "template": {
            "spec": {
                "automountServiceAccountToken": False,
                "containers": [
                    {
                        "name": "gateway",
                        "image": "exchange:1",
                        "args": ["run", "gateway"],
                        "env": [{"name": "SHARD", "value": "0"}, {"name": "LOG", "value": "info"}],
                        "ports": [{"containerPort": 3001, "name": "rest"}],
                        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
                        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "s", "configMap": {"name": "demo-config-1"}}],
            }
        },
    },
}


def served(wanted: dict[str, Any]) -> dict[str, Any]:
    """As an API server gives it back: defaults filled in, other managers' items added, quantities in other words."""
    live = copy.deepcopy(wanted)
    live["metadata"] |= {"uid": "x", "generation": 3, "annotations": {"by": "somebody"}}
    live["metadata"]["labels"]["b"] = "2"
    live["metadata"]["ownerReferences"].insert(0, {"uid": "u0"})
    live["status"] = {"replicas": 2}
    live["spec"]["strategy"] = {"type": "RollingUpdate"}
    pod = live["spec"]["template"]["spec"]
    pod |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    pod["volumes"].reverse()
    pod["volumes"][0]["configMap"]["defaultMode"] = 420
    container = pod["containers"][0]
    container["env"].reverse()
    container["ports"][0]["protocol"] = "TCP"
    container["resources"]["requests"] |= {"cpu": "0.5", "memory": "1024Mi"}
    container["terminationMessagePath"] = "/dev/termination-log"
    return live


def test_what_the_api_server_adds_is_no_drift() -> None:
    assert missing_from(served(WANTED), WANTED) == []


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize(
    ("where", "value", "path"),
    [
        (("spec", "replicas"), 3, "spec.replicas"),
        (("metadata", "labels", "a"), "2", "metadata.labels.a"),
        (("metadata", "labels"), None, "metadata.labels"),
        (("metadata", "ownerReferences"), [{"uid": "u0"}], "metadata.ownerReferences[u1]"),
        (("spec", "selector", "matchLabels", "more"), "1", "spec.selector"),
        ((*POD, "automountServiceAccountToken"), True, "spec.template.spec.automountServiceAccountToken"),
        ((*POD, "automountServiceAccountToken"), None, "spec.template.spec.automountServiceAccountToken"),
        ((*CONTAINER, "image"), "exchange:2", "spec.template.spec.containers[gateway].image"),
        ((*CONTAINER, "name"), "other", "spec.template.spec.containers[gateway]"),
        ((*CONTAINER, "args"), ["run", "gateway", "--more"], "spec.template.spec.containers[gateway].args"),
        ((*CONTAINER, "args"), ["run", "matcher"], "spec.template.spec.containers[gateway].args[1]"),
        ((*CONTAINER, "env", 0, "value"), "debug", "spec.template.spec.containers[gateway].env[LOG].value"),
        (
            (*CONTAINER, "resources", "requests", "cpu"),
            "501m",
            "spec.template.spec.containers[gateway].resources.requests.cpu",
        ),
        ((*CONTAINER, "ports", 0, "protocol"), "UDP", "spec.template.spec.containers[gateway].ports[3001]"),
        (
            (*CONTAINER, "volumeMounts", 0, "mountPath"),
            "/else",
            "spec.template.spec.containers[gateway].volumeMounts[/tmp]",
        ),
        ((*POD, "volumes", 1), {"name": "tmp", "hostPath": {"path": "/"}}, "spec.template.spec.volumes[tmp].emptyDir"),
    ],
)
def test_what_somebody_changed_is_named_by_its_path(where: tuple[str | int, ...], value: Any, path: str) -> None:
    live = served(WANTED)
    inner: Any = live
    for step in where[:-1]:
        inner = inner[step]
    if value is None:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    assert missing_from(live, WANTED) == [path]


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({}, {"annotations": {}}),
        ({}, {"args": []}),
        ({}, {"value": ""}),
        ({"value": None}, {"value": ""}),
        ({"clusterIP": "10.0.0.1"}, {"clusterIP": None}),
        ({"resources": {"limits": {"cpu": 1}}}, {"resources": {"limits": {"cpu": "1000m"}}}),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}),
        ({"from": [{"podSelector": {"matchLabels": {}}}]}, {"from": [{"podSelector": {}}]}),
    ],
)
def test_what_means_the_same_is_no_drift(live: Any, wanted: Any) -> None:
    assert missing_from(live, wanted) == []


@pytest.mark.parametrize(
    ("live", "wanted", "path"),
    [
        ({"args": ["x"]}, {"args": []}, "args"),
        ({"from": [{}]}, {"from": [{"podSelector": {}}]}, "from[0].podSelector"),
        ({"from": [{"podSelector": {"matchLabels": {"a": "1"}}}]}, {"from": [{"podSelector": {}}]}, None),
        ({"ingress": [{"ports": [{"port": 1}, {"port": 2}]}]}, {"ingress": [{"ports": [{"port": 1}]}]}, None),
        ({"spec": {"ports": [{"port": 1}]}}, {"spec": {"ports": [{"port": 1}, {"port": 2}]}}, "spec.ports[2]"),
        ({"replicas": True}, {"replicas": 1}, "replicas"),
        ({"port": "80"}, {"port": 80}, "port"),
        ({"requests": {}}, {"requests": {"cpu": "1"}}, "requests.cpu"),
        ({"requests": {"cpu": "odd"}}, {"requests": {"cpu": "1"}}, "requests.cpu"),
        ({"finalizers": ["b"]}, {"finalizers": ["a"]}, "finalizers[a]"),
        (None, {"a": 1}, ""),
    ],
)
def test_what_means_something_else_is_drift(live: Any, wanted: Any, path: str | None) -> None:
    found = missing_from(live, wanted)
    assert found == [path] if path is not None else len(found) == 1


def test_a_service_may_have_more_ports_and_a_policy_may_not() -> None:
    more = [{"port": 1, "protocol": "TCP", "targetPort": 1}, {"port": 2, "protocol": "TCP"}]
    assert missing_from({"spec": {"ports": more}}, {"spec": {"ports": [{"port": 1}]}}) == []
    assert missing_from({"egress": [{"ports": more}]}, {"egress": [{"ports": [{"port": 1}]}]}) == ["egress[0].ports"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"),
        (2, "2"),
        ("500m", "0.5"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("10Gi", str(10 * 2**30)),
        ("1e3", "1000"),
        ("2E", str(2 * 10**18)),
        ("1Ei", str(2**60)),
        ("100n", "0.0000001"),
    ],
)
def test_a_quantity_has_its_value(text: str | int, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "-", "1.2.3", "0x1", "1\n"])
def test_what_is_no_quantity_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        quantity(text)


_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "labels", "selector", "requests", "args"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(_TREES)
def test_everything_says_what_it_says_itself(tree: Any) -> None:
    assert missing_from(copy.deepcopy(tree), tree) == []


@given(st.dictionaries(st.text("ab", min_size=1, max_size=2), _TREES), st.text("cd", min_size=1), _SCALARS)
def test_a_field_more_is_no_drift(tree: dict[str, Any], field: str, value: Any) -> None:
    assert missing_from({**copy.deepcopy(tree), field: value}, tree) == []
