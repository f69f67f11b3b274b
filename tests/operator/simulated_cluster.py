"""A tiny cluster: objects, an API server's rules, and the controllers that make pods of workloads.

It refuses what an API server refuses, and fails the test when something is done that must never be done. What an image
is like stands in its tag: one with `bad` never gets ready, and a Job of it fails.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from exchange_operator.actions import Action, Apply, CreateKeys, Delete, DeletePod, GrowVolume, Observed, Plan
from exchange_operator.drift import quantity
from exchange_operator.manifests import Capabilities, Desired, Stage, desired
from exchange_operator.names import Key, Manifest, fingerprint, key_of, stamped
from exchange_operator.plan import plan
from exchange_operator.readiness import readiness
from exchange_operator.resource import Exchange

STEP: Final = timedelta(seconds=10)
_REVISION: Final = "controller-revision-hash"


def copied(value: Any) -> Any:
    """A deep copy of what can be JSON; several times as fast as any."""
    return msgspec.json.decode(msgspec.json.encode(value))


class SimulatedCluster:
    """The namespace of one exchange. Its clock moves by STEP at every step."""

    def __init__(self) -> None:
        self.objects: dict[Key, Manifest] = {}
        self.pods: dict[str, Manifest] = {}
        self.now = datetime(2025, 1, 1, tzinfo=UTC)
        self.foreign: set[Key] = set()
        self.can_grow = True
        self.jobs_hang = False
        self.pods_may_go = self.data_may_go = False
        self.lost_pods: set[str] = set()
        self._number = 0

    # What the operator sees and does

    def observe(self) -> Observed:
        """A copy of everything: what is done with it changes nothing here."""
        objects = {key: copied(one) for key, one in self.objects.items()}
        return Observed(objects, tuple(map(copied, self.pods.values())))

    def copy(self) -> "SimulatedCluster":
        """Another one that is like this one, and goes its own way."""
        other = SimulatedCluster()
        other.objects = {key: copied(one) for key, one in self.objects.items()}
        other.pods = {name: copied(one) for name, one in self.pods.items()}
        other.now, other.foreign, other._number = self.now, set(self.foreign), self._number
        return other

    def execute(self, action: Action) -> None:
        """Raises AssertionError when an API server would refuse it, or nobody may ever do it."""
        match action:
            case Apply(manifest):
                self._apply(manifest)
            case Delete(key, _, orphan):
                self._delete(key, orphan)
            case DeletePod(name):
                assert self.pods_may_go or not self._is_ready(self.pods[name]), f"{name} served"
                self.pods[name]["metadata"]["deletionTimestamp"] = self._time()
            case CreateKeys(name):
                assert Key("Secret", name) not in self.objects, "keys are never written over"
                whose = {"name": "exchange", "instance": name.removesuffix("-keys"), "managed-by": "exchange-operator"}
                labels = {f"app.kubernetes.io/{key}": value for key, value in whose.items()}
                self.add({"kind": "Secret", "metadata": {"name": name, "labels": labels}})
            case GrowVolume(claim, size):
                requests = self.objects[Key("PersistentVolumeClaim", claim)]["spec"]["resources"]["requests"]
                assert quantity(size) > quantity(requests["storage"]), "a volume only grows"
                if self.can_grow:
                    requests["storage"] = size

    def add(self, manifest: Manifest) -> None:
        """An object that somebody else made."""
        live = copied(manifest)
        self._number += 1
        live["metadata"] |= {"uid": f"uid-{self._number}", "generation": 1, "creationTimestamp": self._time()}
        self.objects[key_of(live)] = live

    def edit(self, key: Key, spec: dict[str, Any]) -> None:
        """Somebody changes fields of an object's spec."""
        self.objects[key]["spec"] |= spec
        self.objects[key]["metadata"]["generation"] += 1

    def _apply(self, manifest: Manifest) -> None:
        key = key_of(manifest)
        assert key not in self.foreign, f"{key} is somebody else's"
        live = self.objects.get(key)
        if live is None:
            self.add(_with_defaults(manifest))
            return
        assert "deletionTimestamp" not in live["metadata"], f"{key} is being deleted"
        new = _with_defaults(manifest)
        for field in _FIXED.get(key.kind, ()):
            assert new["spec"].get(field) == live["spec"].get(field), f"{key}: {field} cannot change"
        assert key.kind != "ConfigMap" or new["data"] == live["data"], f"{key} is immutable"
        changed = new.get("spec") != live.get("spec")
        kept = {field: live["metadata"][field] for field in ("uid", "creationTimestamp")}
        new["metadata"] |= kept | {"generation": live["metadata"]["generation"] + changed}
        self.objects[key] = {**new, "status": live.get("status", {})}

    def _delete(self, key: Key, orphan: bool) -> None:
        assert self.data_may_go or key.kind not in ("PersistentVolumeClaim", "Secret"), f"{key} holds data"
        assert key not in self.foreign, f"{key} is somebody else's"
        live = self.objects[key]
        assert "deletionTimestamp" not in live["metadata"], f"{key} is deleted twice"
        live["metadata"]["deletionTimestamp"] = self._time()
        if not orphan:
            for pod in self._pods_of(live):
                pod["metadata"]["deletionTimestamp"] = self._time()

    # What goes on by itself

    def step(self) -> None:
        """Time goes on, and every controller does a little."""
        self.now += STEP
        for key in [key for key, one in self.objects.items() if "deletionTimestamp" in one["metadata"]]:
            del self.objects[key]
        ending = {name for name, pod in self.pods.items() if "deletionTimestamp" in pod["metadata"]}
        for name in ending - self.lost_pods:
            del self.pods[name]
        for pod in self.pods.values():
            self._run(pod)
        self._scale()
        for live in list(self.objects.values()):
            controller = {"StatefulSet": self._stateful_set, "Deployment": self._deployment, "Job": self._job}
            if live["kind"] in controller:
                controller[live["kind"]](live)

    def _run(self, pod: Manifest) -> None:
        image = pod["spec"]["containers"][0]["image"]
        if "bad" in image:
            waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
            pod["status"] = {"phase": "Pending", "containerStatuses": [{"image": image, "state": waiting}]}
        else:
            pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}

    def _scale(self) -> None:
        for scaler in [one for one in self.objects.values() if one["kind"] == "HorizontalPodAutoscaler"]:
            live = self.objects.get(Key("Deployment", scaler["spec"]["scaleTargetRef"]["name"]))
            least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
            if live is not None and live["spec"]["replicas"] and not least <= live["spec"]["replicas"] <= most:
                self.edit(key_of(live), {"replicas": min(max(live["spec"]["replicas"], least), most)})

    def _stateful_set(self, live: Manifest) -> None:
        spec, name = live["spec"], live["metadata"]["name"]
        revision = fingerprint(spec["template"])
        wanted = [f"{name}-{number}" for number in range(spec["replicas"])]
        for pod in self._pods_of(live):
            if pod["metadata"]["name"] not in wanted:
                pod["metadata"]["deletionTimestamp"] = self._time()
        for pod_name in wanted:
            if pod_name not in self.pods:
                self._claim(live, pod_name)
                self._start(live, pod_name, revision)
                if spec.get("podManagementPolicy") != "Parallel":
                    break
        self._roll(live, wanted, revision)
        self._count(live, {"updateRevision": revision})

    def _roll(self, live: Manifest, wanted: list[str], revision: str) -> None:
        """One pod at a time, the last first. One that is not ready is waited for, and for ever unless Parallel."""
        pods = [self.pods[name] for name in wanted if name in self.pods]
        if live["spec"].get("podManagementPolicy") != "Parallel" and not all(map(self._is_ready, pods)):
            return
        for pod in reversed(pods):
            if pod["metadata"]["labels"][_REVISION] != revision:
                pod["metadata"].setdefault("deletionTimestamp", self._time())
                return
            if not self._is_ready(pod):
                return

    def _claim(self, live: Manifest, pod: str) -> None:
        for template in live["spec"].get("volumeClaimTemplates", ()):
            labels = template["metadata"].get("labels", {}) | live["spec"]["selector"]["matchLabels"]
            claim = {
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": f"{template['metadata']['name']}-{pod}", "labels": labels},
                "spec": copied(template["spec"]),
            }
            if key_of(claim) not in self.objects:
                self.add(claim)

    def _deployment(self, live: Manifest) -> None:
        spec, name = live["spec"], live["metadata"]["name"]
        revision = fingerprint(spec["template"])
        pods = self._pods_of(live)
        new = [pod for pod in pods if pod["metadata"]["labels"][_REVISION] == revision]
        old = [pod for pod in pods if pod not in new]
        if len(new) < spec["replicas"] and len(pods) <= spec["replicas"]:
            self._number += 1
            self._start(live, f"{name}-{revision}-{self._number}", revision)
        ready = [pod for pod in pods if self._is_ready(pod)]
        spare = [pod for pod in old if not self._is_ready(pod)] or old or new
        if len(pods) > spec["replicas"] and (len(ready) > spec["replicas"] or not self._is_ready(spare[0])):
            spare[0]["metadata"]["deletionTimestamp"] = self._time()
        self._count(live, {})

    def _job(self, live: Manifest) -> None:
        if any(one["status"] == "True" for one in live.setdefault("status", {}).get("conditions", ())):
            return
        bad = "bad" in live["spec"]["template"]["spec"]["containers"][0]["image"]
        if live["status"].setdefault("active", 0) and not self.jobs_hang:
            done = {"type": "Failed" if bad else "Complete", "status": "True", "message": "BackoffLimitExceeded"}
            live["status"]["conditions"] = [{**done, "lastTransitionTime": self._time()}]
        live["status"]["active"] = 1

    def _start(self, live: Manifest, name: str, revision: str) -> None:
        template = live["spec"]["template"]
        labels = {**template["metadata"]["labels"], _REVISION: revision}
        self.pods[name] = {
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "creationTimestamp": self._time()},
            "spec": copied(template["spec"]),
            "status": {"phase": "Pending"},
        }

    def _count(self, live: Manifest, more: dict[str, Any]) -> None:
        pods = self._pods_of(live)
        revision = fingerprint(live["spec"]["template"])
        ready = sum(map(self._is_ready, pods))
        live["status"] = {
            "observedGeneration": live["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": sum(pod["metadata"]["labels"][_REVISION] == revision for pod in pods),
            **more,
        }

    def _pods_of(self, live: Manifest) -> list[Manifest]:
        wanted = live["spec"].get("selector", {}).get("matchLabels", {}) if live["kind"] in _WORKLOADS else {}
        pods = self.pods.values()
        return [pod for pod in pods if wanted and wanted.items() <= pod["metadata"]["labels"].items()]

    def _is_ready(self, pod: Manifest) -> bool:
        conditions: Iterator[Any] = iter(pod["status"].get("conditions", ()))
        return "deletionTimestamp" not in pod["metadata"] and any(one["status"] == "True" for one in conditions)

    def _time(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")


_WORKLOADS: Final = ("StatefulSet", "Deployment")
_FIXED: Final = {
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
    "Deployment": ("selector",),
    "Job": ("template",),
}


def _with_defaults(manifest: Manifest) -> Manifest:
    """As the API server stores it."""
    live = copied(manifest)
    spec = live.get("spec", {})
    if live["kind"] in _WORKLOADS:
        spec.setdefault("replicas", 1)
        spec.setdefault("progressDeadlineSeconds", 600)
        spec["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
        for template in spec.get("volumeClaimTemplates", ()):
            template["status"] = {"phase": "Pending"}
    if live["kind"] == "Service":
        spec.setdefault("clusterIP", "10.96.0.7")
    return live


_built: dict[bytes, Desired] = {}


def wanted_by(exchange: Exchange) -> Desired:
    """What the builders make of it; made once, as it takes long."""
    key = msgspec.json.encode(exchange)
    if key not in _built:
        _built[key] = desired(exchange, Capabilities(service_monitor=True))
    return _built[key]


def with_spec(exchange: Exchange, key: Key, change: Callable[[Manifest], None]) -> Desired:
    """What is wanted, but for the specification of one workload or Job."""

    def changed(manifest: Manifest) -> Manifest:
        if key_of(manifest) != key:
            return manifest
        new = copied(manifest)
        change(new["spec"])
        return stamped(new)

    wanted = wanted_by(exchange)
    stages = (Stage(stage.name, tuple(map(changed, stage.manifests))) for stage in wanted.stages)
    return Desired(wanted.foundation, tuple(stages))


def bad_image(spec: Manifest) -> None:
    """Let the pods never get ready, or the Job fail."""
    spec["template"]["spec"]["containers"][0]["image"] = "exchange:bad"


def one_pass(
    cluster: SimulatedCluster, exchange: Exchange, wanted: Desired | None = None, most: int | None = None
) -> Plan:
    """Plan and carry out, and let time go on.

    wanted: other than what the builders say. most: after so many actions the operator is killed.
    """
    wanted, observed = wanted or wanted_by(exchange), cluster.observe()
    planned = plan(exchange, wanted, observed, cluster.now)
    _check_order(planned, wanted, observed)
    for action in planned.actions[:most]:
        cluster.execute(action)
    cluster.step()
    return planned


def converge(cluster: SimulatedCluster, exchange: Exchange, passes: int = 120) -> list[Action]:
    """Pass after pass until all is as wanted. Returns what was done; raises AssertionError when it takes longer."""
    done: list[Action] = []
    planned = Plan(())
    for _ in range(passes):
        planned = one_pass(cluster, exchange)
        done += planned.actions
        if planned.converged:
            return done
    raise AssertionError(f"after {passes} passes: {planned}")


def unready_stages(cluster: SimulatedCluster, exchange: Exchange) -> set[str]:
    """Stages whose workload or Job is there and not ready."""
    return {name for name, ready in _stages(cluster, exchange).items() if not ready}


class Watch:
    """Sees what was ready and is not any more: something was taken away, by whomever."""

    def __init__(self) -> None:
        self._was_ready: set[str] = set()

    def lost(self, cluster: SimulatedCluster, exchange: Exchange) -> set[str]:
        """Stages that were ready when somebody looked, are there and are not ready now."""
        stages = _stages(cluster, exchange)
        self._was_ready = {name for name in stages if name in self._was_ready or stages[name]}
        return {name for name in self._was_ready if not stages[name]}


def _stages(cluster: SimulatedCluster, exchange: Exchange) -> dict[str, bool]:
    """Whether each stage is ready; those of which nothing is there are left out."""
    observed = cluster.observe()
    there = [
        (stage.name, observed.objects[key_of(one)])
        for stage in wanted_by(exchange).stages
        for one in stage.manifests
        if key_of(one) in observed.objects
    ]
    return {name: readiness(live, observed.pods).ready for name, live in there}


def _check_order(planned: Plan, wanted: Desired, observed: Observed) -> None:
    """Whatever has its turn, all in front of it must be ready, and it is the only one."""
    staged = [key_of(one) for stage in wanted.stages for one in stage.manifests]
    touched = {key_of(action.manifest) for action in planned.actions if isinstance(action, Apply)}
    turns = [number for number, key in enumerate(staged) if key in touched]
    assert len(turns) <= 1, planned
    for key in staged[: max(turns, default=0)]:
        assert readiness(observed.objects[key], observed.pods).ready, (key, planned)
