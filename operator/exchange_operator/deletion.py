"""How an exchange goes, one step after the other; the finalizer asks until it is done. Pure.

First nobody can place orders any more, then the cores end in order and leave a final snapshot, then the rest. With
deletionPolicy Retain, volumes, keys, topics and keyspace stay; with Delete they go at the end.

Nothing is remembered from pass to pass: each step is seen from what is still there. Every wait has an end. What could
not be removed is named, and the resource goes.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from exchange_operator.actions import Action, Apply, Delete, Observed
from exchange_operator.manifests import jobs
from exchange_operator.names import COMPONENT, Key, Manifest, key_of, keys_name
from exchange_operator.ownership import is_going, is_made_by_exchange
from exchange_operator.readiness import condition, readiness
from exchange_operator.resource import Exchange

STUCK_AFTER: Final = timedelta(minutes=3)
"""For how long a pod may be there after it should have ended: its node may be gone."""
JOB_HAS: Final = timedelta(seconds=180)
"""For how long a Job that deletes something outside may be there: a little more than it gives itself."""

_STEPS: Final = (
    ("gateway",),
    ("ubscore-standby", "matcher-standby"),
    ("ubscore", "matcher"),
    ("settlement", "order-history", "backup"),
)
_DEPENDENCIES: Final = ("redpanda", "scylla")
_PODS_OF: Final = frozenset({"Deployment", "StatefulSet", "CronJob", "Job"})
_KEPT: Final = frozenset({"PersistentVolumeClaim", "Secret"})


class DeletionPlan(NamedTuple):
    """actions: to do now, in this order. done: whether nothing is left after them, and the resource may go.

    message: what is being waited for, or, when done, what was left behind; empty when nothing was.
    """

    actions: tuple[Action, ...]
    done: bool
    message: str


class _Step(NamedTuple):
    """actions: what begins it. waiting: for what; empty when it is over. left: what it could not remove."""

    actions: tuple[Action, ...] = ()
    waiting: str = ""
    left: str = ""


def plan_deletion(exchange: Exchange, observed: Observed, now: datetime) -> DeletionPlan:
    """What to do next about an exchange that is being deleted."""
    left = []
    for step in _steps(exchange, observed, now):
        if step.actions or step.waiting:
            return DeletionPlan(step.actions, False, step.waiting)
        if step.left:
            left.append(step.left)
    return DeletionPlan(tuple(_rest(exchange, observed)), True, "; ".join(left))


def _steps(exchange: Exchange, observed: Observed, now: datetime) -> Iterator[_Step]:
    for components in _STEPS:
        yield _end(components, observed, now)
    if exchange.spec.deletion_policy == "Delete":
        # What the operator runs goes with its volumes.
        if exchange.spec.redpanda.external is not None:
            yield _run(jobs.delete_topics(exchange), "the topics", observed, now)
        if exchange.spec.scylla.external is not None:
            yield _run(jobs.drop_schema(exchange), "the keyspace", observed, now)
    yield _end(_DEPENDENCIES, observed, now)


def _end(components: tuple[str, ...], observed: Observed, now: datetime) -> _Step:
    """Delete the workloads of components, and wait until their pods are gone."""
    mine = [(key, one) for key, one in sorted(observed.objects.items()) if _component(one) in components]
    workloads = [key for key, one in mine if key.kind in _PODS_OF and is_made_by_exchange(one) and not is_going(one)]
    pods = [pod for pod in observed.pods if _component(pod) in components and not _has_ended(pod)]
    there = sorted(pod["metadata"]["name"] for pod in pods if not _is_stuck(pod, now))
    deleting = tuple(Delete(key, "the Exchange is being deleted") for key in workloads)
    waiting = f"waiting until {', '.join(there)} ended" if there else ""
    stuck = sorted(pod["metadata"]["name"] for pod in pods if _is_stuck(pod, now))
    left = f"{', '.join(stuck)} did not end: its node may be gone, look for it there" if stuck else ""
    return _Step(deleting, waiting or (f"ending {', '.join(components)}" if deleting else ""), left)


def _run(made: tuple[Manifest, Manifest], what: str, observed: Observed, now: datetime) -> _Step:
    """Have a Job delete something outside, within a bounded time."""
    settings, job = made
    live = observed.objects.get(key_of(job))
    if live is None:
        why = f"{what} go with the Exchange"
        return _Step((Apply(settings, why), Apply(job, why)), f"deleting {what}")
    state = readiness(live, observed.pods)
    if state.ready:
        return _Step()
    age = now - _time(live["metadata"]["creationTimestamp"])
    if condition(live, "Failed").get("status") == "True" or age > JOB_HAS:
        return _Step(left=f"{what} could not be deleted and are left behind: {state.why}")
    return _Step(waiting=f"deleting {what}: {state.why}")


def _rest(exchange: Exchange, observed: Observed) -> Iterator[Action]:
    """All that is still there, but for what is kept."""
    everything = exchange.spec.deletion_policy == "Delete"
    keys = Key("Secret", keys_name(exchange))
    for key, live in sorted(observed.objects.items()):
        ours = is_made_by_exchange(live) or key == keys or key.kind == "PersistentVolumeClaim"
        if ours and not is_going(live) and (everything or key.kind not in _KEPT):
            yield Delete(key, "the Exchange is being deleted")


def _component(live: Manifest) -> str:
    return str((live["metadata"].get("labels") or {}).get(COMPONENT, ""))


def _has_ended(pod: Manifest) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _is_stuck(pod: Manifest, now: datetime) -> bool:
    """Whether it is there long after the time at which it should have been gone."""
    until = pod["metadata"].get("deletionTimestamp")
    return until is not None and now - _time(until) > STUCK_AFTER


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
