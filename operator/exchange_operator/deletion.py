"""How an exchange goes, one step after the other; the finalizer asks until it is done. Pure.

First nobody can place orders any more, then the cores end in order and leave a final snapshot, then the rest. With
deletionPolicy Retain, volumes, keys, topics and keyspace stay; with Delete they go at the end.

Each step is seen from what is still there, so that an operator that is killed goes on. Every wait has an end: what
could not be removed is named, and the resource goes. `Progress` only makes ends surer; without it, the waits for what
never came to be, such as a Job that the API server refuses, have none.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from exchange_operator.actions import Action, Apply, Delete, DeletePod, Observed
from exchange_operator.manifests import jobs
from exchange_operator.names import COMPONENT, Manifest, key_of, keys_name, labels
from exchange_operator.ownership import identity, is_going, is_made_by_exchange
from exchange_operator.readiness import condition, readiness
from exchange_operator.resource import Exchange

STUCK_AFTER: Final = timedelta(minutes=3)
"""For how long a pod may be there after it should have ended: its node may be gone."""
JOB_HAS: Final = timedelta(minutes=3)
"""For how long a Job that deletes something outside may be there: a little more than it gives itself."""
STEP_HAS: Final = timedelta(minutes=5)
"""For how long any step is waited for, whatever the reason."""

_STEPS: Final = (
    ("gateway", "backup"),
    ("ubscore-standby", "matcher-standby"),
    ("ubscore", "matcher"),
    ("settlement", "order-history"),
    # Topics that are made while they are deleted would stay.
    (jobs.TOPICS, jobs.SCHEMA),
)
_DEPENDENCIES: Final = ("redpanda", "scylla")
_HAVE_PODS: Final = frozenset({"Deployment", "StatefulSet", "CronJob", "Job"})
_HOLD_DATA: Final = frozenset({"PersistentVolumeClaim", "Secret"})
_JOB_NAME: Final = "batch.kubernetes.io/job-name"
_REST: Final = "rest"
_WHY: Final = "the Exchange is being deleted"


class Progress(NamedTuple):
    """Which step is waited for since when, and what the steps before it could not remove."""

    step: str = ""
    since: datetime | None = None
    left: tuple[str, ...] = ()


class DeletionPlan(NamedTuple):
    """actions: to do now, in this order. done: whether nothing is left after them, and the resource may go.

    message: what is being waited for, or, when done, what was left behind; empty when nothing was.
    progress: to give to the next pass, also when an action failed.
    """

    actions: tuple[Action, ...]
    done: bool
    message: str
    progress: Progress


class _Step(NamedTuple):
    """actions: what begins it. waiting: for what; empty when it is over. left: what it could not remove."""

    name: str
    actions: tuple[Action, ...] = ()
    waiting: str = ""
    left: str = ""


def plan_deletion(
    exchange: Exchange, observed: Observed, now: datetime, progress: Progress | None = None
) -> DeletionPlan:
    """What to do next about an exchange that is being deleted; that it is paused does not matter.

    progress: as the last plan had it; None when nobody knows any more: then waits begin anew.
    """
    steps, before = tuple(_steps(exchange, observed, now)), progress or Progress()
    names = [*(step.name for step in steps), _REST]
    first = names.index(before.step) if before.step in names else 0
    left = before.left if first else ()
    for step in steps[first:]:
        since = before.since if step.name == before.step and before.since else now
        if step.waiting and now - since <= STEP_HAS:
            return DeletionPlan(step.actions, False, step.waiting, Progress(step.name, since, left))
        given_up = f"gave up {step.waiting}" if step.waiting else ""
        left += tuple(filter(None, (step.left, given_up)))
    return DeletionPlan(tuple(_rest(exchange, observed)), True, "; ".join(left), Progress(_REST, now, left))


def _steps(exchange: Exchange, observed: Observed, now: datetime) -> Iterator[_Step]:
    tasks = tuple(_tasks(exchange))
    apart = {key_of(job).name for _, _, job in tasks}
    for components in _STEPS:
        yield _end(components, observed, now, apart)
    for what, settings, job in tasks:
        yield _run(what, settings, job, observed, now)
    yield _end(_DEPENDENCIES, observed, now, apart)


def _tasks(exchange: Exchange) -> Iterator[tuple[str, Manifest, Manifest]]:
    """What is to be deleted outside: in words, and the Job that does it behind its settings.

    What the operator runs itself goes with its volumes.
    """
    if exchange.spec.deletion_policy == "Delete":
        if exchange.spec.redpanda.external is not None:
            yield ("the topics", *jobs.delete_topics(exchange))
        if exchange.spec.scylla.external is not None:
            yield ("the keyspace", *jobs.drop_schema(exchange))


def _end(components: tuple[str, ...], observed: Observed, now: datetime, apart: set[str]) -> _Step:
    """Delete the workloads of components, and wait until their pods are gone. apart: Jobs that are left alone."""
    name = " and ".join(components)
    workloads = [key for key, one in sorted(observed.objects.items()) if _is_workload(one, components, apart)]
    begin = tuple(Delete(key, _WHY) for key in workloads if not is_going(observed.objects[key]))
    pods = [pod for pod in observed.pods if _component(pod) in components and not _has_ended(pod, apart)]
    # Nobody else ends those whose workload was deleted without them.
    lost = [] if workloads else [pod for pod in pods if not is_going(pod)]
    actions = begin + tuple(DeletePod(pod["metadata"]["name"], _WHY) for pod in lost)
    there = _names(pod for pod in pods if not _is_stuck(pod, now))
    stuck = _names(pod for pod in pods if _is_stuck(pod, now))
    left = f"{stuck} did not end: its node may be gone, and it may still run there" if stuck else ""
    waiting = f"waiting until {there} ended" if there else f"ending {name}" if begin else ""
    return _Step(name, actions, waiting, left)


def _is_workload(live: Manifest, components: tuple[str, ...], apart: set[str]) -> bool:
    mine = live["kind"] in _HAVE_PODS and _component(live) in components and is_made_by_exchange(live)
    return mine and live["metadata"]["name"] not in apart


def _run(what: str, settings: Manifest, job: Manifest, observed: Observed, now: datetime) -> _Step:
    """Have a Job delete something outside, within a bounded time."""
    live = observed.objects.get(key_of(job))
    if live is None:
        why = f"{what} go with the Exchange"
        return _Step(what, (Apply(settings, why), Apply(job, why)), f"deleting {what}")
    state = readiness(live, observed.pods)
    if state.ready:
        return _Step(what)
    age = now - _time(live["metadata"]["creationTimestamp"])
    if condition(live, "Failed").get("status") == "True" or age > JOB_HAS:
        return _Step(what, left=f"{what} could not be deleted and stay: {state.why}")
    return _Step(what, waiting=f"deleting {what}: {state.why}")


def _rest(exchange: Exchange, observed: Observed) -> Iterator[Action]:
    """All that is still there, but for what is kept, and what only looks like ours."""
    everything, ours = exchange.spec.deletion_policy == "Delete", identity(labels(exchange, ""))
    for key, live in sorted(observed.objects.items()):
        if key.kind not in _HOLD_DATA:
            goes = is_made_by_exchange(live)
        else:
            data = key.kind == "PersistentVolumeClaim" or key.name == keys_name(exchange)
            goes = everything and data and ours.items() <= _labels(live).items()
        if goes and not is_going(live):
            yield Delete(key, _WHY)


def _labels(live: Manifest) -> dict[str, str]:
    return live["metadata"].get("labels") or {}


def _component(live: Manifest) -> str:
    return _labels(live).get(COMPONENT, "")


def _has_ended(pod: Manifest, apart: set[str]) -> bool:
    """Whether nobody waits for it."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed") or _labels(pod).get(_JOB_NAME) in apart


def _is_stuck(pod: Manifest, now: datetime) -> bool:
    """Whether it is there long after the time at which it should have been gone."""
    until = pod["metadata"].get("deletionTimestamp")
    return until is not None and now - _time(until) > STUCK_AFTER


def _names(pods: Iterable[Manifest]) -> str:
    return ", ".join(sorted(pod["metadata"]["name"] for pod in pods))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
