"""What the operator does next, case by case, on a simulated cluster. Over random exchanges: `test_plan_random`."""

from datetime import timedelta
from typing import Any, Final

import pytest
from exchange_operator.actions import Action, Apply, CreateKeys, Delete, DeletePod, GrowVolume, Plan
from exchange_operator.manifests import Desired
from exchange_operator.names import Key, Manifest, key_of
from exchange_operator.plan import FAILED_JOB_RESTS, FOUNDATION, STARTS_WITHIN, plan
from exchange_operator.resource import Exchange

from tests.operator.manifest_examples import exchange_of, merged
from tests.operator.simulated_cluster import (
    STEP,
    SimulatedCluster,
    bad_image,
    converge,
    copied,
    one_pass,
    unready_stages,
    wanted_by,
    with_spec,
)

SPEC: Final[dict[str, Any]] = {
    "image": {"repository": "exchange", "tag": "1"},
    "assets": [{"name": "BTC", "scale": 8}],
    "redpanda": {"managed": {"replicas": 3}},
    "scylla": {"external": {"contactPoints": ["database"]}},
    "ubscore": {"shards": 2, "standby": True, "storage": "10Gi"},
    "gateway": {"replicas": 3},
}
UBSCORE, STANDBY = Key("StatefulSet", "demo-ubscore"), Key("StatefulSet", "demo-ubscore-standby")
MATCHER, GATEWAY = Key("StatefulSet", "demo-matcher"), Key("Deployment", "demo-gateway")
SERVICE, SCALER = Key("Service", "demo-gateway"), Key("HorizontalPodAutoscaler", "demo-gateway")
AUTOSCALED: Final = {"gateway": {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}}


def asked(**spec: Any) -> Exchange:
    return exchange_of(merged(SPEC, spec))


def image(tag: str) -> dict[str, Any]:
    return {"image": {"tag": tag}}


_running: dict[str, SimulatedCluster] = {}


def running(**spec: Any) -> SimulatedCluster:
    """A cluster of its own, in which all is as wanted."""
    if str(spec) not in _running:
        cluster = SimulatedCluster()
        converge(cluster, asked(**spec))
        _running[str(spec)] = cluster
    return _running[str(spec)].copy()


def next_plan(cluster: SimulatedCluster, exchange: Exchange) -> Plan:
    return plan(exchange, wanted_by(exchange), cluster.observe(), cluster.now)


def applied(actions: tuple[Action, ...] | list[Action]) -> list[Key]:
    return [key_of(action.manifest) for action in actions if isinstance(action, Apply)]


def deleted(actions: tuple[Action, ...] | list[Action]) -> list[Key]:
    return [action.key for action in actions if isinstance(action, Delete)]


def staged(wanted: Desired) -> list[Key]:
    return [key_of(one) for stage in wanted.stages for one in stage.manifests]


# First start, upgrade


def test_first_start_goes_stage_by_stage_behind_keys_and_foundation() -> None:
    exchange, cluster = asked(), SimulatedCluster()
    actions = converge(cluster, exchange)
    wanted = wanted_by(exchange)
    assert actions[0] == CreateKeys("demo-keys")
    assert applied(actions) == [*map(key_of, wanted.foundation), *staged(wanted)]
    assert deleted(actions) == []


def test_converged_does_nothing_and_waits_for_nothing() -> None:
    planned = next_plan(running(), asked())
    assert planned == Plan((), "", "")
    assert planned.converged


def test_first_pass_waits_for_the_first_stage_in_words() -> None:
    planned = next_plan(SimulatedCluster(), asked())
    assert planned.waiting_for == "broker"
    assert planned.reason == "StatefulSet demo-redpanda is being made"
    assert not planned.converged


def test_upgrade_takes_one_component_after_the_other_in_the_same_order() -> None:
    cluster, newer = running(), asked(**image("2"))
    unready: set[str] = set()
    order: list[Key] = []
    while not (planned := one_pass(cluster, newer)).converged:
        order += [key for key in applied(planned.actions) if key in staged(wanted_by(newer))]
        unready |= (now_unready := unready_stages(cluster, newer))
        assert len(now_unready) <= 1, now_unready
    assert order == [key for key in staged(wanted_by(newer)) if key.name != "demo-redpanda"]
    assert unready >= {"topics", "schema", "ubscore-standby", "ubscore", "matcher", "gateway"}


def test_settings_of_one_component_roll_that_one_alone() -> None:
    cluster = running()
    actions = converge(cluster, asked(gateway={"rateLimits": {"anonymous": {"perSecond": 5, "burst": 5}}}))
    assert [key for key in applied(actions) if key.kind in ("Deployment", "StatefulSet", "Job")] == [GATEWAY]


# Drift


@pytest.mark.parametrize("key", [SERVICE, Key("ServiceAccount", "demo-exchange"), Key("NetworkPolicy", "demo-default")])
def test_somebody_deletes_a_part_of_the_foundation_and_it_is_back_even_while_a_core_is_down(key: Key) -> None:
    cluster = running()
    never_ready(cluster, "demo-ubscore-0")
    cluster.objects.pop(key)
    assert applied(next_plan(cluster, asked()).actions) == [key]


@pytest.mark.parametrize(
    ("key", "change", "field"),
    [
        (UBSCORE, {"replicas": 1}, "spec.replicas"),
        (GATEWAY, {"replicas": 9}, "spec.replicas"),
        (SERVICE, {"selector": {"app": "mine"}}, "spec.selector"),
        (MATCHER, {"replicas": 0}, "spec.replicas"),
    ],
)
def test_somebody_changes_an_object_and_it_is_changed_back(key: Key, change: dict[str, Any], field: str) -> None:
    cluster = running()
    cluster.edit(key, change)
    cluster.step()
    (action,) = next_plan(cluster, asked()).actions
    assert isinstance(action, Apply)
    assert (key_of(action.manifest), action.drift, action.why) == (key, True, f"somebody changed {field}")
    assert converge(cluster, asked()) == [action]


def test_somebody_changes_an_image_and_it_is_changed_back() -> None:
    cluster = running()
    template = copied(cluster.objects[MATCHER]["spec"]["template"])
    template["spec"]["containers"][0]["image"] = "mine:1"
    cluster.edit(MATCHER, {"template": template})
    cluster.step()
    cluster.step()
    (action,) = next_plan(cluster, asked()).actions
    assert isinstance(action, Apply)
    assert action.why == "somebody changed spec.template.spec.containers[matcher].image"
    converge(cluster, asked())


def test_a_field_that_is_no_longer_wanted_is_taken_away() -> None:
    cluster = running(gateway={"ingress": {"host": "a.example.com", "annotations": {"a": "1", "b": "2"}}})
    fewer = asked(gateway={"ingress": {"host": "a.example.com", "annotations": {"a": "1"}}})
    (action,) = converge(cluster, fewer)
    assert isinstance(action, Apply)
    assert (key_of(action.manifest).kind, action.drift) == ("Ingress", False)
    assert "b" not in cluster.objects[Key("Ingress", "demo-gateway")]["metadata"]["annotations"]


def test_many_changes_are_told_shortly() -> None:
    cluster = running()
    cluster.edit(SERVICE, {"selector": {}, "ports": [{"port": 1}], "type": "NodePort"})
    cluster.objects[SERVICE]["metadata"]["labels"].pop("app.kubernetes.io/component")
    cluster.objects[SERVICE]["metadata"]["labels"].pop("app.kubernetes.io/part-of")
    (action,) = next_plan(cluster, asked()).actions
    assert isinstance(action, Apply)
    assert action.why.endswith(", metadata.labels.app.kubernetes.io/part-of, spec.selector and 2 more")


# No longer wanted


def test_what_is_no_longer_wanted_goes_at_once_even_while_a_core_is_down() -> None:
    cluster = running(**AUTOSCALED | {"backup": {"target": "s3://a/b"}})
    converge(cluster, asked(gateway={"autoscaling": {}, "ingress": {"host": "a.example.com"}}))
    never_ready(cluster, "demo-ubscore-0")
    planned = next_plan(cluster, asked(ubscore={"standby": False}))
    assert set(deleted(planned.actions)) == {
        SCALER,
        STANDBY,
        Key("Ingress", "demo-gateway"),
    }
    assert planned.waiting_for == "ubscore"


def test_a_standby_that_is_switched_off_leaves_its_volumes() -> None:
    cluster = running()
    actions = converge(cluster, asked(ubscore={"standby": False}))
    assert STANDBY in deleted(actions)
    claims = {key.name for key in cluster.objects if key.kind == "PersistentVolumeClaim"}
    assert claims >= {"data-demo-ubscore-standby-0", "data-demo-ubscore-standby-1", "data-demo-ubscore-0"}
    assert not any("standby" in name for name in cluster.pods)


def test_policies_that_are_switched_off_go_from_the_broadest_on() -> None:
    actions = next_plan(running(), asked(networkPolicy={"enabled": False})).actions
    assert {key.kind for key in deleted(actions)} == {"NetworkPolicy"}
    assert deleted(actions)[0].name == "demo-default"


def test_old_settings_stay_until_nothing_refers_to_them() -> None:
    cluster, newer = running(), asked(observability={"logLevel": "debug"})
    old = {key for key in cluster.objects if key.kind == "ConfigMap"}
    new = {key_of(one) for one in wanted_by(newer).foundation if one["kind"] == "ConfigMap"}
    while not one_pass(cluster, newer).converged:
        gone = old - cluster.objects.keys()
        assert not gone or not unready_stages(cluster, newer)
    assert {key for key in cluster.objects if key.kind == "ConfigMap"} == new
    assert new != old


def test_old_settings_stay_while_a_pod_that_ends_has_them() -> None:
    cluster, newer = running(), asked(observability={"logLevel": "debug"})
    (config,) = [key for key in cluster.objects if key.name.startswith("demo-gateway-config")]
    late = copied(next(pod for name, pod in cluster.pods.items() if name.startswith("demo-gateway")))
    converge(cluster, newer)
    cluster.add({**cluster.objects[SERVICE], "kind": "ConfigMap", "metadata": _named(cluster, config.name)})
    observed = cluster.observe()
    kept = plan(newer, wanted_by(newer), observed._replace(pods=(*observed.pods, late)), cluster.now)
    assert kept.actions == ()
    assert deleted(next_plan(cluster, newer).actions) == [config]


def _named(cluster: SimulatedCluster, name: str) -> dict[str, Any]:
    return {**cluster.objects[SERVICE]["metadata"], "name": name}


def test_what_others_made_with_our_labels_is_not_taken_away() -> None:
    cluster = running()
    labels = cluster.objects[SERVICE]["metadata"]["labels"]
    annotations = cluster.objects[GATEWAY]["metadata"]["annotations"]
    owner = {"kind": "Deployment", "name": "demo-gateway", "uid": "d", "controller": True}
    set_ = {"name": "demo-gateway-1", "labels": labels, "annotations": annotations, "ownerReferences": [owner]}
    cluster.add({"kind": "ReplicaSet", "metadata": set_})
    cluster.add({"kind": "ConfigMap", "metadata": {"name": "mine", "labels": labels}})
    assert next_plan(cluster, asked()).converged


def test_volumes_and_keys_are_never_taken_away() -> None:
    cluster = running()
    stamp = cluster.objects[SERVICE]["metadata"]
    for kind in ("Secret", "PersistentVolumeClaim"):
        storage = {"resources": {"requests": {"storage": "1Gi"}}}
        cluster.add({"kind": kind, "metadata": {**stamp, "name": "old"}, "spec": storage})
    assert next_plan(cluster, asked()).converged


# Jobs


def topics_job(cluster: SimulatedCluster) -> Key:
    (key,) = [key for key in cluster.objects if key.kind == "Job" and "topics" in key.name]
    return key


def test_a_failed_job_rests_and_is_run_again() -> None:
    cluster, exchange = SimulatedCluster(), asked(**image("bad"))
    while not (planned := one_pass(cluster, exchange)).reason.endswith("BackoffLimitExceeded"):
        assert cluster.now.minute < 30
    key, failed = topics_job(cluster), cluster.now - STEP
    assert planned.waiting_for == "topics"
    while not (planned := one_pass(cluster, exchange)).actions:
        assert cluster.now - failed <= FAILED_JOB_RESTS + STEP
    assert planned.actions == (Delete(key, "it failed; it is run again"),)
    assert cluster.now - failed > FAILED_JOB_RESTS
    assert applied(one_pass(cluster, exchange).actions) == [key]


def test_a_job_of_another_operator_s_making_is_run_again_unless_it_is_complete() -> None:
    cluster, exchange = running(), asked()
    key = topics_job(cluster)
    cluster.objects[key]["metadata"]["annotations"]["trading.exchange/applied"] = "another"
    assert next_plan(cluster, exchange).converged
    cluster.objects[key]["status"] = {"active": 1}
    assert next_plan(cluster, exchange).actions == (Delete(key, "it is wanted differently; it is run again"),)


def test_who_goes_back_to_a_version_needs_no_new_jobs() -> None:
    cluster = running()
    record = topics_job(cluster)
    for _ in range(3):
        one_pass(cluster, asked(**image("bad")))
    assert {key.kind for key in deleted(next_plan(cluster, asked()).actions)} == {"Job"}
    actions = converge(cluster, asked())
    assert applied(actions) == []
    assert topics_job(cluster) == record


# Bad versions


def ordered(spec: Manifest) -> None:
    spec["podManagementPolicy"] = "OrderedReady"


def ordered_and_bad(spec: Manifest) -> None:
    ordered(spec)
    bad_image(spec)


def spoiled(cluster: SimulatedCluster, key: Key) -> Plan:
    """An upgrade to a version that is bad for one component alone, until long after it hangs."""
    for _ in range(60):
        planned = one_pass(cluster, asked(**image("2")), with_spec(asked(**image("2")), key, bad_image))
    return planned


def images(cluster: SimulatedCluster) -> dict[str, str]:
    return {name.rpartition("-")[0]: pod["spec"]["containers"][0]["image"] for name, pod in cluster.pods.items()}


def test_a_version_that_does_not_get_well_stops_there_and_says_why() -> None:
    cluster = running()
    later = {key: cluster.objects[key]["spec"] for key in (MATCHER, GATEWAY)}
    planned = spoiled(cluster, UBSCORE)
    assert (planned.actions, planned.waiting_for) == ((), "ubscore")
    assert "pod demo-ubscore-1 cannot get its image exchange:bad: ImagePullBackOff" in planned.reason
    assert {key: cluster.objects[key]["spec"] for key in later} == later
    shown = images(cluster)
    assert (shown["demo-ubscore-standby"], shown["demo-matcher"]) == ("exchange:2", "exchange:1")
    assert cluster.pods["demo-ubscore-0"]["spec"]["containers"][0]["image"] == "exchange:1"


def test_who_takes_a_bad_version_back_has_the_victim_back_first() -> None:
    cluster = running()
    spoiled(cluster, MATCHER)
    assert unready_stages(cluster, asked()) == {"matcher"}
    order: list[Key] = []
    while not (planned := one_pass(cluster, asked())).converged:
        order += applied(planned.actions)
        assert len(unready_stages(cluster, asked())) <= 1
    assert [key for key in order if key.kind == "StatefulSet"] == [MATCHER, STANDBY, UBSCORE]


def test_a_standby_is_not_touched_while_it_does_the_work() -> None:
    cluster = running()
    cluster.objects[UBSCORE]["spec"]["template"]["spec"]["containers"][0]["image"] = "exchange:bad"
    for _ in range(5):
        cluster.step()
    newer = asked(**image("2"))
    order: list[Key] = []
    while not (planned := one_pass(cluster, newer)).converged:
        order += applied(planned.actions)
        assert "ubscore" not in (unready := unready_stages(cluster, newer)) or "ubscore-standby" not in unready
    assert [key for key in order if key in (UBSCORE, STANDBY)] == [UBSCORE, STANDBY]


def never_ready(cluster: SimulatedCluster, name: str) -> None:
    cluster.pods[name]["status"] = {"phase": "Running"}
    for live in cluster.objects.values():
        if live["kind"] in ("Deployment", "StatefulSet"):
            cluster._count(live, {"updateRevision": live["status"].get("updateRevision", "")})


def test_what_is_starting_is_waited_for_and_not_for_ever() -> None:
    cluster, newer = running(), asked(ubscore={"resources": {"requests": {"cpu": "1"}}})
    gateway = next(name for name in cluster.pods if name.startswith("demo-gateway"))
    never_ready(cluster, gateway)
    cluster.pods[gateway]["metadata"]["creationTimestamp"] = cluster._time()
    assert next_plan(cluster, newer).actions == ()
    assert next_plan(cluster, newer).waiting_for == "gateway"
    cluster.now += STARTS_WITHIN - timedelta(seconds=1)
    assert next_plan(cluster, newer).actions == ()
    cluster.now += timedelta(seconds=1)
    assert applied(next_plan(cluster, newer).actions) == [STANDBY]


def test_somebody_scales_a_core_to_0_while_another_rolls_and_the_core_comes_first() -> None:
    cluster, newer = running(), asked(ubscore={"resources": {"requests": {"cpu": "1"}}})
    cluster.edit(MATCHER, {"replicas": 0})
    cluster.step()
    planned = next_plan(cluster, newer)
    assert applied(planned.actions) == [MATCHER]
    assert planned.reason == "demo-matcher: somebody scaled it to 0"


# Stuck pods


def test_a_pod_of_an_older_version_that_is_broken_is_deleted() -> None:
    exchange, cluster = asked(), SimulatedCluster()
    wanted = with_spec(exchange, UBSCORE, ordered)
    while not one_pass(cluster, exchange, wanted).converged:
        assert cluster.now.hour == 0
    for _ in range(9):
        one_pass(cluster, exchange, with_spec(exchange, UBSCORE, ordered_and_bad))
    assert applied(one_pass(cluster, exchange, wanted).actions) == [UBSCORE]
    for _ in range(9):
        cluster.step()
    assert images(cluster)["demo-ubscore"] == "exchange:bad"
    (action,) = one_pass(cluster, exchange, wanted).actions
    assert isinstance(action, DeletePod)
    assert action.name == "demo-ubscore-1"
    assert "of an older version: pod demo-ubscore-1 cannot get its image" in action.why
    while not one_pass(cluster, exchange, wanted).converged:
        assert cluster.now.hour == 0


def test_a_pod_of_an_older_version_that_waits_for_a_newer_one_stays() -> None:
    cluster = running()
    broker = Key("StatefulSet", "demo-redpanda")
    for name, revision in (("demo-redpanda-2", "new"), ("demo-redpanda-1", "old")):
        cluster.pods[name]["metadata"]["labels"]["controller-revision-hash"] = revision
        never_ready(cluster, name)
    cluster.objects[broker]["status"]["updateRevision"] = "new"
    assert next_plan(cluster, asked()).actions == ()
    cluster._run(cluster.pods["demo-redpanda-2"])
    (action,) = next_plan(cluster, asked()).actions
    assert isinstance(action, DeletePod)
    assert action.name == "demo-redpanda-1"


# Volumes


def test_a_volume_grows_first_and_then_its_set_is_made_anew_around_its_pods() -> None:
    cluster, larger = running(), asked(ubscore={"storage": "20Gi"})
    pods = {name: pod["metadata"]["creationTimestamp"] for name, pod in cluster.pods.items()}
    claims = [f"data-demo-ubscore-{number}" for number in range(2)]
    claims += [f"data-demo-ubscore-standby-{number}" for number in range(2)]
    actions = converge(cluster, larger)
    assert actions[:4] == [GrowVolume(claim, "20Gi") for claim in claims]
    kinds = [(type(action), getattr(action, "orphan", None)) for action in actions[4:]]
    assert kinds == [(Delete, True), (Apply, None)] * 2
    assert {name: pod["metadata"]["creationTimestamp"] for name, pod in cluster.pods.items()} == pods


def test_a_volume_that_cannot_grow_stops_nothing_else() -> None:
    cluster = running()
    cluster.can_grow = False
    both = asked(ubscore={"storage": "20Gi"}, **image("2"))
    for _ in range(80):
        planned = one_pass(cluster, both)
    assert {type(action) for action in planned.actions} == {GrowVolume}
    assert planned.waiting_for == ""
    assert set(images(cluster).values()) == {"exchange:2", "docker.io/redpandadata/redpanda:v24.3.9"}
    assert len([key for key in cluster.objects if key.kind == "Job"]) == 2


def test_a_volume_that_is_larger_than_wanted_is_left_alone() -> None:
    cluster = running()
    claim = cluster.objects[Key("PersistentVolumeClaim", "data-demo-ubscore-0")]
    claim["spec"]["resources"]["requests"]["storage"] = "1Ti"
    assert next_plan(cluster, asked()).converged


# Autoscaling


def test_an_autoscaler_owns_the_number_of_gateways() -> None:
    cluster = running(**AUTOSCALED)
    assert cluster.objects[GATEWAY]["spec"]["replicas"] == 2
    cluster.edit(GATEWAY, {"replicas": 7})
    for _ in range(9):
        cluster.step()
    assert next_plan(cluster, asked(**AUTOSCALED)).converged
    converge(cluster, asked(**AUTOSCALED | image("2")))
    assert cluster.objects[GATEWAY]["spec"]["replicas"] == 7


def test_switching_an_autoscaler_on_keeps_the_number_of_gateways() -> None:
    cluster = running()
    assert applied(converge(cluster, asked(**AUTOSCALED))) == [SCALER, GATEWAY]
    assert cluster.objects[GATEWAY]["spec"]["replicas"] == 3


def test_switching_an_autoscaler_off_takes_it_away_before_the_number_is_set() -> None:
    cluster = running(**AUTOSCALED)
    actions = converge(cluster, asked())
    assert [type(action) for action in actions] == [Delete, Apply]
    assert cluster.objects[GATEWAY]["spec"]["replicas"] == 3


def test_an_autoscaled_workload_that_somebody_scaled_to_0_is_started_again() -> None:
    cluster = running(**AUTOSCALED)
    cluster.edit(GATEWAY, {"replicas": 0})
    cluster.step()
    (action,) = next_plan(cluster, asked(**AUTOSCALED)).actions
    assert isinstance(action, Apply)
    assert action.drift
    assert action.manifest["spec"]["replicas"] == 2
    assert next_plan(running(**AUTOSCALED), asked(**AUTOSCALED)).converged


# Whose it is


def take(cluster: SimulatedCluster, key: Key, **metadata: Any) -> None:
    cluster.objects[key]["metadata"] = {"name": key.name, "uid": "x", "generation": 1, **metadata}
    cluster.foreign.add(key)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({}, "was made by somebody else, as it lacks our labels, and is left alone"),
        (
            {"labels": {"app.kubernetes.io/instance": "demo", "app.kubernetes.io/managed-by": "Helm"}},
            "was made by somebody else",
        ),
        (
            {"ownerReferences": [{"kind": "Exchange", "name": "demo", "uid": "old", "controller": True}]},
            "belongs to Exchange demo (uid old) and is left alone",
        ),
    ],
)
@pytest.mark.parametrize("key", [SERVICE, MATCHER])
def test_what_belongs_to_somebody_else_is_left_alone(key: Key, metadata: dict[str, Any], why: str) -> None:
    cluster, exchange = running(), asked(**image("2"))
    take(cluster, key, **metadata)
    for _ in range(40):
        planned = one_pass(cluster, exchange)
    assert planned.waiting_for == (FOUNDATION if key == SERVICE else "matcher")
    assert planned.broken
    assert planned.reason.startswith(f"{key.kind} {key.name} {why}")
    assert planned.reason.endswith("delete it, or give the Exchange another name")
    assert not planned.converged


def test_what_is_ours_by_its_owner_gets_its_labels_back() -> None:
    cluster = running()
    del cluster.objects[SERVICE]["metadata"]["labels"]
    observed = cluster.observe()
    observed.objects[SERVICE] = cluster.objects[SERVICE]  # type: ignore[index]
    (action,) = plan(asked(), wanted_by(asked()), observed, cluster.now).actions
    assert isinstance(action, Apply)
    assert action.drift


def test_what_is_being_deleted_is_made_again_only_when_it_is_gone() -> None:
    cluster = running()
    for key, waited_for in ((SERVICE, FOUNDATION), (MATCHER, "matcher")):
        cluster.objects[key]["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
        planned = next_plan(cluster, asked())
        assert planned.actions == ()
        assert (planned.waiting_for, planned.broken) == (waited_for, False)
        assert planned.reason == f"{key.kind} {key.name} is being deleted; it is made again once it is gone"
        cluster.step()
        assert applied(next_plan(cluster, asked()).actions) == [key]
        converge(cluster, asked())


def test_what_cannot_be_changed_is_made_anew() -> None:
    cluster = running()
    headless = Key("Service", "demo-ubscore")
    cluster.edit(headless, {"clusterIP": "10.96.0.9"})
    assert deleted(next_plan(cluster, asked()).actions) == [headless]
    converge(cluster, asked())
    assert cluster.objects[headless]["spec"]["clusterIP"] == "None"


def test_keys_that_are_there_stay() -> None:
    cluster = SimulatedCluster()
    cluster.add({"kind": "Secret", "metadata": {"name": "demo-keys", "labels": {"app.kubernetes.io/instance": "demo"}}})
    assert not any(isinstance(action, CreateKeys) for action in converge(cluster, asked()))


def test_keys_that_are_gone_are_not_replaced_but_asked_for() -> None:
    cluster, newer = running(), asked(**image("2"))
    keys = cluster.objects.pop(Key("Secret", "demo-keys"))
    cluster.objects.pop(SERVICE)
    planned = next_plan(cluster, newer)
    assert SERVICE in applied(planned.actions)
    assert not {key.kind for key in applied(planned.actions)} & {"Deployment", "StatefulSet", "Job"}
    assert not any(isinstance(action, CreateKeys) for action in planned.actions)
    assert (planned.waiting_for, planned.broken) == (FOUNDATION, True)
    assert planned.reason.endswith("sealed with its keys: bring it back from a copy")
    cluster.add(keys)
    converge(cluster, newer)


def test_keys_are_not_made_for_volumes_that_were_kept() -> None:
    cluster = running()
    kept = {key: one for key, one in cluster.objects.items() if key.kind == "PersistentVolumeClaim"}
    cluster.objects, cluster.pods = kept, {}
    assert not any(isinstance(action, CreateKeys) for action in next_plan(cluster, asked()).actions)


def test_keys_are_made_although_somebody_else_has_a_name_of_ours() -> None:
    cluster = SimulatedCluster()
    cluster.add({"kind": "StatefulSet", "metadata": {"name": "demo-matcher"}, "spec": {}})
    cluster.foreign.add(MATCHER)
    assert next_plan(cluster, asked()).actions[0] == CreateKeys("demo-keys")
