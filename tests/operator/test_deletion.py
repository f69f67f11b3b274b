"""How an exchange goes, on a simulated cluster."""

from datetime import timedelta
from typing import Any, Final

import pytest
from exchange_operator.actions import Apply, Delete, DeletePod
from exchange_operator.deletion import JOB_HAS, STEP_HAS, STUCK_AFTER, DeletionPlan, Progress, plan_deletion
from exchange_operator.names import Key, key_of
from exchange_operator.resource import Exchange
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.manifest_examples import exchange_of, merged
from tests.operator.simulated_cluster import STEP, SimulatedCluster, converge, one_pass

SPEC: Final[dict[str, Any]] = {
    "image": {"repository": "exchange", "tag": "1"},
    "assets": [{"name": "BTC", "scale": 8}],
    "redpanda": {"external": {"bootstrapServers": ["broker:9092"]}},
    "scylla": {"external": {"contactPoints": ["database"]}},
    "ubscore": {"shards": 2, "standby": True},
    "gateway": {"replicas": 2, "ingress": {"host": "a.example.com"}, "autoscaling": {}},
    "backup": {"target": "s3://a/b"},
}
MANAGED: Final = {"redpanda": {"managed": {"replicas": 3}}, "scylla": {"managed": {}}}
ORDER: Final = ["gateway", "standby", "core", "projection", "job", "dependency"]
_KINDS: Final = {
    "demo-gateway": "gateway",
    "demo-ubscore-standby": "standby",
    "demo-ubscore": "core",
    "demo-matcher": "core",
    "demo-settlement": "projection",
    "demo-order-history": "projection",
    "demo-redpanda": "dependency",
    "demo-scylla": "dependency",
}


def asked(policy: str = "Retain", managed: bool = False, **spec: Any) -> Exchange:
    without = {key: value for key, value in SPEC.items() if not (managed and key in MANAGED)}
    return exchange_of(merged(without | (MANAGED if managed else {}), {"deletionPolicy": policy, **spec}))


_running: dict[str, SimulatedCluster] = {}


def running(exchange: Exchange) -> SimulatedCluster:
    """A cluster of its own, in which the exchange runs."""
    if str(exchange) not in _running:
        cluster = SimulatedCluster()
        converge(cluster, exchange)
        _running[str(exchange)] = cluster
    cluster = _running[str(exchange)].copy()
    cluster.pods_may_go = True
    cluster.data_may_go = exchange.spec.deletion_policy == "Delete"
    return cluster


class Going:
    """An exchange that is being deleted, pass by pass."""

    def __init__(self, cluster: SimulatedCluster, exchange: Exchange) -> None:
        self.cluster = cluster
        self.exchange = exchange
        self.progress: Progress | None = None
        self.order: list[str] = []
        self.refused: tuple[str, ...] = ()
        """Kinds of objects that the API server does not take any more."""

    def look(self) -> DeletionPlan:
        return plan_deletion(self.exchange, self.cluster.observe(), self.cluster.now, self.progress)

    def one_pass(self, most: int | None = None) -> DeletionPlan:
        planned = self.look()
        self.progress = planned.progress
        for action in planned.actions[:most]:
            if isinstance(action, Apply) and action.manifest["kind"] in self.refused:
                break
            self.cluster.execute(action)
            self._note(action)
        self.cluster.step()
        return planned

    def to_the_end(self, passes: int = 200) -> DeletionPlan:
        for _ in range(passes):
            planned = self.one_pass()
            if planned.done:
                return planned
        raise AssertionError(f"after {passes} passes: {planned}")

    def _note(self, action: Any) -> None:
        """What was begun, and that nothing of an earlier step was still there then."""
        if isinstance(action, Apply) and action.manifest["kind"] == "Job":
            name = "job"
        elif isinstance(action, Delete) and action.key.kind in ("Deployment", "StatefulSet"):
            name = _KINDS[action.key.name]
        else:
            return
        waiting = self.cluster.pods.keys() - self.cluster.lost_pods
        there = {_KINDS[pod] for pod in (_workload_of(one) for one in waiting)}
        assert not there & set(ORDER[: ORDER.index(name)]), (name, there)
        if name not in self.order:
            self.order.append(name)


def _workload_of(pod: str) -> str:
    return max((name for name in _KINDS if pod.startswith(f"{name}-")), key=len)


def left(cluster: SimulatedCluster) -> set[str]:
    return {key.kind for key in cluster.objects}


@pytest.mark.parametrize("managed", [False, True])
def test_retain_goes_step_by_step_and_keeps_what_holds_data(managed: bool) -> None:
    exchange = asked(managed=managed)
    cluster = running(exchange)
    claims = {key for key in cluster.objects if key.kind == "PersistentVolumeClaim"}
    going = Going(cluster, exchange)
    assert going.to_the_end().message == ""
    assert going.order == [name for name in ORDER if name != "job" and (managed or name != "dependency")]
    assert cluster.objects.keys() == claims | {Key("Secret", "demo-keys")}
    assert cluster.pods == {}


def test_delete_has_jobs_delete_topics_and_keyspace_before_volumes_and_keys_go() -> None:
    exchange = asked("Delete")
    cluster = running(exchange)
    going = Going(cluster, exchange)
    ran: list[str] = []
    while not (planned := going.one_pass()).done:
        ran += [one.manifest["spec"]["template"]["spec"]["containers"][0]["args"] for one in _jobs(planned)]
        assert Key("Secret", "demo-keys") in cluster.objects
        assert "PersistentVolumeClaim" in left(cluster)
    assert ran == [["topics", "delete", "--yes"], ["schema", "drop", "--yes"]]
    assert planned.message == ""
    assert cluster.objects == {}
    assert going.order == ORDER[:-1]


def _jobs(planned: DeletionPlan) -> list[Apply]:
    return [one for one in planned.actions if isinstance(one, Apply) and one.manifest["kind"] == "Job"]


def test_what_the_operator_runs_goes_with_its_volumes_and_without_jobs() -> None:
    exchange = asked("Delete", managed=True)
    cluster = running(exchange)
    going = Going(cluster, exchange)
    going.to_the_end()
    assert "job" not in going.order
    assert cluster.objects == {}


def test_it_says_what_it_waits_for() -> None:
    exchange = asked()
    going = Going(running(exchange), exchange)
    first = going.one_pass()
    assert first.actions[0] == Delete(Key("CronJob", "demo-backup"), "the Exchange is being deleted")
    assert first.message.startswith("waiting until demo-gateway-")
    assert first.message.endswith(" ended")
    assert first.progress == Progress("gateway and backup", first.progress.since)


def test_a_first_start_in_its_middle_goes_too_and_its_jobs_end_before_those_that_delete() -> None:
    exchange, cluster = asked("Delete"), SimulatedCluster()
    for _ in range(2):
        one_pass(cluster, exchange)
    (key,) = [key for key in cluster.objects if key.kind == "Job"]
    cluster.jobs_hang = cluster.pods_may_go = cluster.data_may_go = True
    going = Going(cluster, exchange)
    going.one_pass()  # No more backups.
    assert going.one_pass().actions == (Delete(key, "the Exchange is being deleted"),)
    assert len(_jobs(going.one_pass())) == 1
    cluster.jobs_hang = False
    going.to_the_end()
    assert cluster.objects == {}


def test_nothing_there_is_done_at_once() -> None:
    planned = plan_deletion(asked(), SimulatedCluster().observe(), SimulatedCluster().now)
    assert (planned.actions, planned.done, planned.message) == ((), True, "")


def test_a_paused_exchange_goes_too() -> None:
    exchange = asked(paused=True)
    cluster = running(asked())
    Going(cluster, exchange).to_the_end()
    assert left(cluster) == {"PersistentVolumeClaim", "Secret"}


# What does not go


def test_a_pod_of_a_lost_node_is_waited_for_for_some_minutes_and_named() -> None:
    exchange = asked()
    cluster = running(exchange)
    cluster.lost_pods = {"demo-ubscore-1"}
    begun = cluster.now
    going = Going(cluster, exchange)
    said = "demo-ubscore-1 did not end: its node may be gone, and it may still run there"
    assert going.to_the_end().message == said
    assert STUCK_AFTER < cluster.now - begun < STUCK_AFTER + timedelta(minutes=3)
    assert left(cluster) == {"PersistentVolumeClaim", "Secret"}


def test_a_pod_of_a_lost_node_does_not_need_anybody_to_remember() -> None:
    exchange = asked()
    cluster = running(exchange)
    cluster.lost_pods = {"demo-ubscore-1", "demo-matcher-0"}
    going = Going(cluster, exchange)
    for _ in range(60):
        going.progress = None
        planned = going.one_pass()
        if planned.done:
            break
    assert planned.message.startswith("demo-matcher-0, demo-ubscore-1 did not end")


def test_pods_that_nothing_controls_any_more_are_deleted() -> None:
    exchange = asked()
    cluster = running(exchange)
    del cluster.objects[Key("StatefulSet", "demo-ubscore")]
    going = Going(cluster, exchange)
    ended: list[str] = []
    while not (planned := going.one_pass()).done:
        ended += [one.name for one in planned.actions if isinstance(one, DeletePod)]
    assert ended == ["demo-ubscore-0", "demo-ubscore-1"]
    assert cluster.pods == {}


def test_a_job_that_fails_is_named_and_the_rest_goes() -> None:
    exchange = asked("Delete", image={"tag": "bad"})
    cluster = running(asked("Delete"))
    going = Going(cluster, exchange)
    message = going.to_the_end().message
    assert "the topics could not be deleted and stay: demo-topics-delete-" in message
    assert "; the keyspace could not be deleted and stay: demo-schema-drop-" in message
    assert message.endswith("failed: BackoffLimitExceeded")
    assert cluster.objects == {}


@pytest.mark.parametrize("remembered", [True, False])
def test_jobs_that_never_end_are_given_up(remembered: bool) -> None:
    exchange = asked("Delete")
    cluster = running(exchange)
    cluster.jobs_hang = True
    going = Going(cluster, exchange)
    begun = cluster.now
    while not (planned := going.one_pass()).done:
        going.progress = going.progress if remembered else None
        assert cluster.now - begun < 2 * JOB_HAS + timedelta(minutes=3)
    assert planned.message.count("could not be deleted and stay: ") == 2
    assert cluster.objects == {}


def test_a_job_that_may_not_be_made_is_given_up() -> None:
    """As in a namespace that is being deleted itself."""
    exchange = asked("Delete")
    cluster = running(exchange)
    going = Going(cluster, exchange)
    going.refused = ("Job", "ConfigMap")
    begun = cluster.now
    assert going.to_the_end().message == "gave up deleting the topics; gave up deleting the keyspace"
    assert 2 * STEP_HAS < cluster.now - begun < 2 * STEP_HAS + timedelta(minutes=3)
    assert cluster.objects == {}


def test_what_was_given_up_is_not_tried_again_when_the_end_fails() -> None:
    exchange = asked("Delete")
    going = Going(running(exchange), exchange)
    going.refused = ("Job", "ConfigMap")
    while not (planned := going.look()).done:
        going.one_pass()
    going.progress = planned.progress
    again = going.look()
    assert again.done
    assert again.message == planned.message
    assert again.actions == planned.actions


# Whose it is


def test_volumes_and_secrets_of_others_stay() -> None:
    exchange = asked("Delete")
    cluster = running(exchange)
    chart = {f"app.kubernetes.io/{key}": value for key, value in (("instance", "demo"), ("managed-by", "Helm"))}
    ours = cluster.objects[Key("Secret", "demo-keys")]["metadata"]["labels"]
    others = [
        {"kind": "PersistentVolumeClaim", "metadata": {"name": "data-demo-postgresql-0", "labels": chart}},
        {"kind": "Secret", "metadata": {"name": "demo-broker-login", "labels": ours}},
        {"kind": "ConfigMap", "metadata": {"name": "demo-notes", "labels": ours}},
    ]
    for one in others:
        cluster.add(one)
    Going(cluster, exchange).to_the_end()
    assert cluster.objects.keys() == set(map(key_of, others))


def test_keys_that_somebody_brought_himself_stay() -> None:
    exchange = asked("Delete")
    cluster = running(exchange)
    keys = cluster.objects[Key("Secret", "demo-keys")]
    keys["metadata"]["labels"] = {}
    Going(cluster, exchange).to_the_end()
    assert cluster.objects.keys() == {Key("Secret", "demo-keys")}


# Whatever happens


@settings(max_examples=25, deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.integers(0, 30),
    st.lists(st.tuples(st.none() | st.integers(0, 2), st.booleans()), max_size=20),
    st.sets(st.sampled_from(["demo-ubscore-0", "demo-matcher-0", "demo-settlement-0"]), max_size=2),
)
def test_it_ends_wherever_the_operator_is_killed(
    delete: bool, managed: bool, started: int, killed: list[tuple[int | None, bool]], lost: set[str]
) -> None:
    exchange, cluster = asked("Delete" if delete else "Retain", managed), SimulatedCluster()
    for _ in range(started):
        one_pass(cluster, exchange)
    claims = {key for key in cluster.objects if key.kind in ("PersistentVolumeClaim", "Secret")}
    cluster.pods_may_go, cluster.data_may_go, cluster.lost_pods = True, delete, lost
    going, begun = Going(cluster, exchange), cluster.now
    for most, is_forgotten in killed:
        going.one_pass(most)
        going.progress = None if is_forgotten else going.progress
    going.to_the_end()
    assert cluster.objects.keys() == (set() if delete else claims)
    assert cluster.pods.keys() <= lost
    assert cluster.now - begun < len(killed) * STEP + timedelta(minutes=20)
