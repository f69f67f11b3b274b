"""What to do next so that a cluster becomes what is desired. `reconcile` asks after every event, and carries it out.

Nothing is remembered from pass to pass: killed at any point, the operator goes on from what it finds.

- The foundation (what starts no process) is kept as wanted at all times.
- Workloads and Jobs follow one after the other, in the order of the stages. None is made or changed before all in front
  of it are ready: a version that does not get well stops there, and all behind it go on with what they have.
- What is down is repaired before what is ready is changed, as there is nothing to lose: a standby is not taken away
  while it does the work, and who takes a bad version back has the victim back first.
- What is no longer wanted goes: at once, or, when pods may lean on it, after all has converged.
  Volumes and keys never go.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from exchange_operator.actions import Action, Apply, CreateKeys, Delete, DeletePod, GrowVolume, Observed, Plan
from exchange_operator.drift import missing_from, quantity
from exchange_operator.manifests import Desired
from exchange_operator.names import APPLIED, Key, Manifest, key_of, keys_name
from exchange_operator.ownership import is_going, is_made_by_exchange, not_ours
from exchange_operator.readiness import Readiness, condition, count, is_looked_at, pod_readiness, pods_of, readiness
from exchange_operator.resource import Exchange

__all__ = ["Action", "Apply", "CreateKeys", "Delete", "DeletePod", "GrowVolume", "Observed", "Plan", "plan"]

FOUNDATION: Final = "foundation"
"""Waited for when an object of ours is somebody else's, or still goes."""

FAILED_JOB_RESTS: Final = timedelta(seconds=60)
"""For how long a failed Job can be looked at before it is run again."""

STARTS_WITHIN: Final = timedelta(minutes=5)
"""After that, what is not ready no longer keeps those in front of it from being changed."""

_MAX_PATHS: Final = 3
_NEVER_DELETED: Final = frozenset({"PersistentVolumeClaim", "Secret"})
_REVISION: Final = "controller-revision-hash"
_LEANED_ON: Final = frozenset({"ConfigMap", "Service", "ServiceAccount"})
_IMMUTABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"),
    "Deployment": ("spec.selector",),
    "Service": ("spec.clusterIP",),
    "ConfigMap": ("data",),
}
"""Fields that the API server refuses to change: the object is made anew, and a StatefulSet's pods stay."""


class _Look(NamedTuple):
    """At one workload or Job.

    todo: what makes it as wanted; nothing when it is, or when that is out of reach.
    down: whether there is nothing to lose by it. starting: whether it may get ready by waiting a little.
    """

    stage: str
    todo: tuple[Action, ...]
    ready: Readiness
    down: bool = False
    starting: bool = False


def plan(exchange: Exchange, desired: Desired, observed: Observed, now: datetime) -> Plan:
    """What to do now; nothing when all is as desired."""
    blocked = _blocked(exchange, desired, observed)
    always = (*_keys(exchange, observed), *_foundation(desired, observed), *_removals(desired, observed))
    growth = tuple(_growth(desired, observed))
    staged = blocked or _stages(desired, observed, now)
    if always or staged.waiting_for:
        return staged._replace(actions=always + growth + staged.actions)
    return Plan(growth + tuple(_late_removals(desired, observed)))


# Foundation


def _keys(exchange: Exchange, observed: Observed) -> Iterator[Action]:
    if not _lacks_keys(exchange, observed) and Key("Secret", keys_name(exchange)) not in observed.objects:
        yield CreateKeys(keys_name(exchange))


def _lacks_keys(exchange: Exchange, observed: Observed) -> bool:
    """Whether there were keys, and now there are none. New ones would fit nothing that was sealed with the old."""
    if Key("Secret", keys_name(exchange)) in observed.objects:
        return False
    there = observed.objects.values()
    return any(one["kind"] == "PersistentVolumeClaim" or _runs_for_us(one) for one in there)


def _runs_for_us(live: Manifest) -> bool:
    return live["kind"] in ("Deployment", "StatefulSet") and is_made_by_exchange(live)


def _blocked(exchange: Exchange, desired: Desired, observed: Observed) -> Plan | None:
    """Why pods could not lean on the foundation, as a plan without actions."""
    if _lacks_keys(exchange, observed):
        name = keys_name(exchange)
        why = f"Secret {name} is gone, and what is stored was sealed with its keys: bring it back from a copy"
        return Plan((), FOUNDATION, why, broken=True)
    for wanted in desired.foundation:
        live = observed.objects.get(key_of(wanted))
        if live is not None and (why := _out_of_reach(live, wanted)):
            return Plan((), FOUNDATION, why, broken=not is_going(live))
    return None


def _foundation(desired: Desired, observed: Observed) -> Iterator[Action]:
    for wanted in desired.foundation:
        live = observed.objects.get(key_of(wanted))
        if live is None or not _out_of_reach(live, wanted):
            yield from _write(wanted, live)


def _growth(desired: Desired, observed: Observed) -> Iterator[Action]:
    """Claims that are smaller than wanted. Nothing waits for them: a storage class may be unable to grow."""
    sizes = dict(_claim_patterns(desired))
    for key, claim in sorted(observed.objects.items()):
        if key.kind == "PersistentVolumeClaim" and not is_going(claim):
            there = claim["spec"]["resources"]["requests"]["storage"]
            for pattern, size in sizes.items():
                if re.fullmatch(pattern, key.name) and quantity(there) < quantity(size):
                    yield GrowVolume(key.name, size)


def _claim_patterns(desired: Desired) -> Iterator[tuple[str, str]]:
    """The names that a StatefulSet gives to claims, each with the size that is wanted."""
    for workload in (one for stage in desired.stages for one in stage.manifests):
        for template in workload["spec"].get("volumeClaimTemplates", ()):
            name = f"{template['metadata']['name']}-{workload['metadata']['name']}"
            yield f"{re.escape(name)}-[0-9]+", template["spec"]["resources"]["requests"]["storage"]


def _out_of_reach(live: Manifest, wanted: Manifest) -> str:
    if is_going(live):
        return f"{live['kind']} {live['metadata']['name']} is being deleted; it is made again once it is gone"
    return not_ours(live, wanted)


def _write(wanted: Manifest, live: Manifest | None) -> Iterator[Action]:
    """What makes the live object as wanted, if it is not."""
    if live is None:
        yield Apply(wanted, "it is missing")
        return
    drifted = missing_from(live, wanted)
    fixed = [path for path in drifted if path.startswith(_IMMUTABLE.get(wanted["kind"], ()))]
    if fixed:
        why = f"{_listed(fixed)} cannot be changed, so it is made anew"
        yield Delete(key_of(wanted), why, orphan=wanted["kind"] == "StatefulSet")
    elif _hash(live) != _hash(wanted):
        yield Apply(wanted, "it is wanted differently")
    elif drifted:
        yield Apply(wanted, f"somebody changed {_listed(drifted)}", drift=True)


def _listed(paths: list[str]) -> str:
    more = len(paths) - _MAX_PATHS
    return ", ".join(paths[:_MAX_PATHS]) + (f" and {more} more" if more > 0 else "")


def _hash(manifest: Manifest) -> str:
    return str((manifest["metadata"].get("annotations") or {}).get(APPLIED, ""))


# Stages


def _stages(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """The one workload or Job that has its turn, and what is waited for."""
    wanted = [(stage.name, one) for stage in desired.stages for one in stage.manifests]
    looks = [_look(stage, one, desired, observed, now) for stage, one in wanted]
    ill = next((look for look in looks if not look.ready.ready), None)
    up = looks if ill is None else looks[: looks.index(ill)]
    change = next((look for look in up if look.todo), None)
    if ill is None:
        return Plan(()) if change is None else Plan(change.todo, change.stage, f"{change.stage} is being changed")
    if change is None or (ill.down and ill.todo):
        return Plan(ill.todo, ill.stage, ill.ready.why, ill.ready.broken)
    return Plan(() if ill.starting else change.todo, ill.stage, ill.ready.why, ill.ready.broken)


def _look(stage: str, wanted: Manifest, desired: Desired, observed: Observed, now: datetime) -> _Look:
    live, is_job = observed.objects.get(key_of(wanted)), wanted["kind"] == "Job"
    if live is None:
        made = Apply(_with_replicas(wanted, None, desired), "it is missing")
        what = f"{wanted['kind']} {wanted['metadata']['name']} is being made"
        return _Look(stage, (made,), Readiness(False, why=what), down=not is_job)
    if why := _out_of_reach(live, wanted):
        return _Look(stage, (), Readiness(False, not is_going(live), why), starting=is_going(live))
    ready = readiness(live, observed.pods)
    if is_job:
        todo = tuple(_job_again(wanted, live, ready, now))
    else:
        todo = tuple(_rewrite(wanted, live, desired)) or tuple(_stuck_pods(live, observed))
    down = not is_job and not ready.ready and (ready.broken or count(live).ready == 0)
    return _Look(stage, todo, ready, down, not ready.broken and _is_young(live, observed, now))


def _is_young(live: Manifest, observed: Observed, now: datetime) -> bool:
    """Whether it, or a pod of it, is new or about to be."""
    pods = pods_of(live, observed.pods)
    if any(map(is_going, pods)) or not (live["kind"] == "Job" or is_looked_at(live)):
        return True
    born = [datetime.fromisoformat(one["metadata"]["creationTimestamp"]) for one in (live, *pods)]
    return now - max(born) < STARTS_WITHIN


def _job_again(wanted: Manifest, live: Manifest, ready: Readiness, now: datetime) -> Iterator[Action]:
    """A complete Job is a record. One that failed is run again after a while; one that differs, at once."""
    failed = condition(live, "Failed")
    if ready.ready:
        return
    if failed.get("status") == "True":
        if now - datetime.fromisoformat(failed["lastTransitionTime"]) >= FAILED_JOB_RESTS:
            yield Delete(key_of(wanted), "it failed; it is run again")
    elif tuple(_write(wanted, live)):
        yield Delete(key_of(wanted), "it is wanted differently; it is run again")


def _rewrite(wanted: Manifest, live: Manifest, desired: Desired) -> Iterator[Action]:
    written = tuple(_write(wanted, live))
    filled = _with_replicas(wanted, live, desired)
    for action in written:
        yield action._replace(manifest=filled) if isinstance(action, Apply) else action
    if not written and filled is not wanted and live["spec"].get("replicas") == 0:
        yield Apply(filled, "somebody changed spec.replicas to 0, which switches its autoscaler off", drift=True)


def _with_replicas(wanted: Manifest, live: Manifest | None, desired: Desired) -> Manifest:
    """The manifest with the number of pods that there is, when an autoscaler owns that number.

    A manager that stops to name a field that only it had takes the field away, and without it the API server says 1.
    """
    if wanted["kind"] not in ("Deployment", "StatefulSet") or "replicas" in wanted["spec"]:
        return wanted
    least = max((_least_replicas(one, wanted) for one in desired.foundation), default=1)
    there = live["spec"].get("replicas", 1) if live is not None else 0
    return {**wanted, "spec": {**wanted["spec"], "replicas": there or least}}


def _least_replicas(autoscaler: Manifest, workload: Manifest) -> int:
    spec: dict[str, Any] = autoscaler.get("spec", {})
    target = spec.get("scaleTargetRef", {})
    matches = (target.get("kind"), target.get("name")) == (workload["kind"], workload["metadata"]["name"])
    return int(spec.get("minReplicas", 1)) if matches else 1


def _stuck_pods(live: Manifest, observed: Observed) -> Iterator[Action]:
    """Pods of an older version that are not ready: a StatefulSet may wait for them for ever.

    Those that are broken go at once. One that merely is not ready may wait for a newer one, and stays as long as
    a newer one is not ready either: brokers must not go one after the other.
    """
    newest = live.get("status", {}).get("updateRevision")
    if live["kind"] != "StatefulSet" or not newest or not is_looked_at(live):
        return
    pods = [(pod, pod_readiness(pod)) for pod in pods_of(live, observed.pods) if not is_going(pod)]
    unready = [(pod, ready) for pod, ready in pods if not ready.ready]
    old = [(pod, ready) for pod, ready in unready if pod["metadata"]["labels"].get(_REVISION) != newest]
    broken = [(pod, ready) for pod, ready in old if ready.broken]
    for pod, ready in broken or (old[:1] if len(old) == len(unready) else []):
        yield DeletePod(pod["metadata"]["name"], f"it is of an older version: {ready.why}")


# What is no longer wanted


def _removals(desired: Desired, observed: Observed) -> Iterator[Action]:
    """What goes at once. A policy for all pods goes before those that make exceptions from it."""
    gone = [(key, live) for key, live in _unwanted(desired, observed) if not _is_late(live)]
    for key, _ in sorted(gone, key=lambda one: (_exceptions(one[1]), one[0])):
        yield Delete(key, "it is no longer wanted")


def _late_removals(desired: Desired, observed: Observed) -> Iterator[Action]:
    used = set(_config_maps(list(observed.objects.values()))) | set(_config_maps(list(observed.pods)))
    for key, live in sorted(_unwanted(desired, observed), key=lambda one: one[0]):
        if _is_late(live) and not (key.kind == "ConfigMap" and key.name in used):
            yield Delete(key, "it is no longer wanted")


def _unwanted(desired: Desired, observed: Observed) -> Iterator[tuple[Key, Manifest]]:
    staged = (one for stage in desired.stages for one in stage.manifests)
    wanted = {key_of(one) for one in (*desired.foundation, *staged)}
    for key, live in observed.objects.items():
        if key not in wanted and key.kind not in _NEVER_DELETED and is_made_by_exchange(live) and not is_going(live):
            yield key, live


def _is_late(live: Manifest) -> bool:
    """Whether it stays until all has converged. A complete Job does: who goes back to its version needs no new one."""
    return live["kind"] in _LEANED_ON or (live["kind"] == "Job" and readiness(live, ()).ready)


def _exceptions(live: Manifest) -> int:
    """How narrow the selection of a NetworkPolicy is."""
    pods = live.get("spec", {}).get("podSelector", {})
    return len(pods.get("matchLabels", ())) + len(pods.get("matchExpressions", ()))


def _config_maps(value: Any) -> Iterator[str]:
    """Names of the ConfigMaps that are referred to anywhere in it."""
    if isinstance(value, list):
        for item in value:
            yield from _config_maps(item)
    elif isinstance(value, Mapping):
        for field, item in value.items():
            if field in ("configMap", "configMapRef", "configMapKeyRef") and isinstance(item, Mapping):
                yield str(item.get("name", ""))
            yield from _config_maps(item)
