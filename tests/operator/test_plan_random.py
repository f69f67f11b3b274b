"""Random exchanges on a simulated cluster, with an operator that is killed at any point, and people who meddle.

Every pass checks that what has its turn is alone and that all in front of it are ready; every action, that nothing is
deleted that holds data, and nothing written that an API server refuses. See `simulated_cluster`.
"""

from typing import Any, Final

from exchange_operator.drift import missing_from
from exchange_operator.names import Key, key_of
from exchange_operator.plan import Plan, plan
from exchange_operator.resource import Exchange
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.manifest_examples import exchange_of, manifests
from tests.operator.simulated_cluster import (
    SimulatedCluster,
    Watch,
    bad_image,
    converge,
    copied,
    one_pass,
    unready_stages,
    wanted_by,
    with_spec,
)

SETTINGS: Final = settings(max_examples=20, deadline=None)
_WORKLOADS: Final = ("Deployment", "StatefulSet")
_FIXED: Final = st.fixed_dictionaries({"brokers": st.sampled_from([0, 1, 3]), "shards": st.integers(1, 2)})
"""What of an exchange never changes."""
_FREE: Final = st.fixed_dictionaries(
    {
        "tag": st.sampled_from(["1", "2"]),
        "standby": st.booleans(),
        "gateways": st.integers(1, 3),
        "autoscaled": st.booleans(),
        "ingress": st.booleans(),
        "policies": st.booleans(),
        "level": st.sampled_from(["info", "debug"]),
        "storage": st.sampled_from(["10Gi", "20Gi"]),
        "backup": st.booleans(),
    }
)
KILLED: Final = st.lists(st.none() | st.integers(0, 3), max_size=6)
"""Of each of the first passes: after how many actions the operator is killed."""


def asked(fixed: dict[str, Any], free: dict[str, Any], tag: str = "") -> Exchange:
    """An exchange. tag: another version than `free` says."""
    brokers: dict[str, Any] = {"external": {"bootstrapServers": ["broker:9092"]}}
    gateway: dict[str, Any] = {"replicas": free["gateways"]}
    if free["autoscaled"]:
        gateway["autoscaling"] = {"minReplicas": free["gateways"], "maxReplicas": 9}
    if free["ingress"]:
        gateway["ingress"] = {"host": "a.example.com"}
    spec = {
        "image": {"repository": "exchange", "tag": tag or free["tag"]},
        "assets": [{"name": "BTC", "scale": 8}],
        "redpanda": {"managed": {"replicas": fixed["brokers"]}} if fixed["brokers"] else brokers,
        "scylla": {"external": {"contactPoints": ["database"]}},
        "gateway": gateway,
        "ubscore": {"shards": fixed["shards"], "standby": free["standby"], "storage": free["storage"]},
        "networkPolicy": {"enabled": free["policies"]},
        "observability": {"logLevel": free["level"]},
    }
    return exchange_of(spec | ({"backup": {"target": "s3://a/b"}} if free["backup"] else {}))


def later(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What may follow: volumes do not shrink, and no autoscaler starts pods while others roll."""
    gateways = {field: before[field] for field in ("gateways", "autoscaled")}
    return after | gateways | {"storage": max(before["storage"], after["storage"])}


def run_killed(cluster: SimulatedCluster, exchange: Exchange, killed: list[int | None]) -> None:
    """Passes that do not end well."""
    for most in killed:
        one_pass(cluster, exchange, most=most)


def check_converged(cluster: SimulatedCluster, exchange: Exchange) -> None:
    """Nothing is left to do, all is as wanted (but for Jobs, which are records), and nothing else is there but data."""
    observed, wanted = cluster.observe(), manifests(wanted_by(exchange))
    assert plan(exchange, wanted_by(exchange), observed, cluster.now) == Plan(())
    for one in wanted:
        if one["kind"] != "Job":
            assert missing_from(observed.objects[key_of(one)], one) == []
    rest = observed.objects.keys() - set(map(key_of, wanted))
    assert {key.kind for key in rest} <= {"PersistentVolumeClaim", "Secret"}
    assert unready_stages(cluster, exchange) == set()


def claims(cluster: SimulatedCluster) -> dict[Key, str]:
    return {key: one["metadata"]["uid"] for key, one in cluster.objects.items() if "Claim" in key.kind}


@SETTINGS
@given(_FIXED, _FREE, KILLED)
def test_a_first_start_converges_wherever_the_operator_is_killed(
    fixed: dict[str, Any], free: dict[str, Any], killed: list[int | None]
) -> None:
    cluster, exchange = SimulatedCluster(), asked(fixed, free)
    run_killed(cluster, exchange, killed)
    converge(cluster, exchange)
    check_converged(cluster, exchange)


@SETTINGS
@given(_FIXED, _FREE, _FREE, KILLED)
def test_a_change_takes_one_stage_at_a_time_and_never_the_last_gateway(
    fixed: dict[str, Any], before: dict[str, Any], after: dict[str, Any], killed: list[int | None]
) -> None:
    cluster, exchange = SimulatedCluster(), asked(fixed, later(before, after))
    converge(cluster, asked(fixed, before))
    kept, watch = claims(cluster), Watch()
    for number in range(150):
        planned = one_pass(cluster, exchange, most=killed[number] if number < len(killed) else None)
        assert len(watch.lost(cluster, exchange)) <= 1
        assert _serving(cluster, "demo-gateway") >= 1
        if planned.converged:
            break
    check_converged(cluster, exchange)
    assert kept.items() <= claims(cluster).items()


def _serving(cluster: SimulatedCluster, name: str) -> int:
    pods = [pod for key, pod in cluster.pods.items() if key.startswith(f"{name}-")]
    return sum("deletionTimestamp" not in pod["metadata"] and "conditions" in pod["status"] for pod in pods)


_MEDDLING: Final = st.lists(
    st.tuples(st.sampled_from(["delete", "scale", "image", "label", "hash", "pod", "wait"]), st.integers(0, 99)),
    min_size=1,
    max_size=8,
)


@SETTINGS
@given(_FIXED, _FREE, _FREE, _MEDDLING)
def test_whatever_somebody_changes_is_changed_back(
    fixed: dict[str, Any], before: dict[str, Any], after: dict[str, Any], meddling: list[tuple[str, int]]
) -> None:
    cluster, exchange = SimulatedCluster(), asked(fixed, later(before, after))
    converge(cluster, asked(fixed, before))
    for how, number in meddling:
        meddle(cluster, how, number)
        one_pass(cluster, exchange)
    converge(cluster, exchange)
    check_converged(cluster, exchange)


def meddle(cluster: SimulatedCluster, how: str, number: int) -> None:
    """Somebody does something to an object of ours, or to a pod."""
    there = sorted(key for key, one in cluster.objects.items() if "ownerReferences" in one["metadata"])
    key = there[number % len(there)]
    live = cluster.objects[key]
    match how:
        case "delete":
            del cluster.objects[key]
        case "scale" if key.kind in _WORKLOADS:
            cluster.edit(key, {"replicas": number % 5})
        case "image" if key.kind in _WORKLOADS:
            template = copied(live["spec"]["template"])
            template["spec"]["containers"][0]["image"] = "mine:bad"
            cluster.edit(key, {"template": template})
        case "label" if live["metadata"]["labels"]:
            labels = sorted(live["metadata"]["labels"])
            live["metadata"]["labels"].pop(labels[number % len(labels)])
        case "hash":
            live["metadata"]["annotations"] = {}
        case "pod" if cluster.pods:
            cluster.pods.pop(sorted(cluster.pods)[number % len(cluster.pods)])


@SETTINGS
@given(_FIXED, _FREE, _FREE, st.integers(0, 99), st.booleans())
def test_a_version_that_never_gets_ready_stops_there_and_taking_it_back_heals(
    fixed: dict[str, Any], before: dict[str, Any], after: dict[str, Any], number: int, back: bool
) -> None:
    cluster, good = SimulatedCluster(), asked(fixed, before)
    converge(cluster, good)
    newer = asked(fixed, later(before, after), tag="3")
    order = [key_of(one) for stage in wanted_by(newer).stages for one in stage.manifests]
    victim = order[number % len(order)]
    specs = {key: cluster.objects[key]["spec"] for key in order if key in cluster.objects}
    bad, watch = with_spec(newer, victim, bad_image), Watch()
    for _ in range(60):
        one_pass(cluster, newer, bad)
        assert len(watch.lost(cluster, newer)) <= 1
    for key in order[order.index(victim) + 1 :]:
        assert (key in cluster.objects) == (key in specs)
        assert key not in specs or cluster.objects[key]["spec"] == specs[key]
    healthy = good if back else newer
    for _ in range(150):
        planned = one_pass(cluster, healthy)
        assert len(watch.lost(cluster, healthy)) <= 1
        if planned.converged:
            break
    check_converged(cluster, healthy)
