"""Whether a workload does what it should, and if not why, in words that a person understands."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from exchange_operator.names import Manifest

_IMAGE_REASONS: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_STARTING_REASONS: Final = frozenset({"ContainerCreating", "PodInitializing"})
_MAX_MESSAGE: Final = 300
"""Characters of what somebody else said."""


class Readiness(NamedTuple):
    """Of one workload or pod.

    broken: it will not get well by waiting alone.
    why: what is missing; empty when it is ready.
    """

    ready: bool
    broken: bool = False
    why: str = ""


class Count(NamedTuple):
    """Of a workload's pods. ready: at any version."""

    desired: int
    updated: int
    ready: int


def readiness(live: Manifest, pods: Iterable[Manifest]) -> Readiness:
    """Whether a Deployment or StatefulSet runs all its pods at its newest version, or a Job is complete.

    live: as the API server gives it. pods: of the namespace, or some of it; those of others do not matter.
    """
    mine = pods_of(live, pods)
    if live["kind"] == "Job":
        return _job(live, mine)
    return _workload(live, mine)


def count(live: Manifest) -> Count:
    """How many pods a Deployment or StatefulSet wants and has."""
    status = live.get("status", {})
    return Count(_replicas(live), status.get("updatedReplicas", 0), status.get("readyReplicas", 0))


def pods_of(workload: Manifest, pods: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """The pods that the workload selects, by name."""
    wanted = workload["spec"].get("selector", {}).get("matchLabels", {})
    mine = (pod for pod in pods if wanted and wanted.items() <= pod["metadata"].get("labels", {}).items())
    return tuple(sorted(mine, key=lambda pod: str(pod["metadata"]["name"])))


def is_looked_at(live: Manifest) -> bool:
    """Whether its status tells of its newest version."""
    return bool(live.get("status", {}).get("observedGeneration", 0) >= live["metadata"].get("generation", 1))


def condition(live: Manifest, kind: str) -> Mapping[str, Any]:
    """The condition of that type; empty when there is none."""
    for one in live.get("status", {}).get("conditions") or ():
        if one["type"] == kind:
            return dict(one)
    return {}


def _replicas(live: Manifest) -> int:
    return int(live["spec"].get("replicas", 1))


# Deployments and StatefulSets


def _workload(live: Manifest, pods: tuple[Manifest, ...]) -> Readiness:
    name, status, wanted = live["metadata"]["name"], live.get("status", {}), _replicas(live)
    if not is_looked_at(live):
        return Readiness(False, why=f"{name}: Kubernetes has not looked at its newest version yet")
    enough = [status.get(field, 0) >= wanted for field in ("updatedReplicas", "readyReplicas", "availableReplicas")]
    if wanted == 0:
        return Readiness(False, True, f"{name}: somebody scaled it to 0")
    if all(enough) and status.get("replicas", 0) == wanted:
        return Readiness(True)
    number = count(live)
    head = f"{name}: {number.ready} of {wanted} ready, {number.updated} of {wanted} at the newest version"
    trouble = _refused_pods(live) or _worst(pods)
    if trouble is None:
        return Readiness(False, why=head)
    return Readiness(False, trouble.broken, f"{head}; {trouble.why}")


def _refused_pods(live: Manifest) -> Readiness | None:
    failure = condition(live, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    return Readiness(False, True, f"its pods are refused: {_short(failure.get('message', ''))}")


def _worst(pods: Iterable[Manifest]) -> Readiness | None:
    """Of the first broken pod, or else of the first that is not ready."""
    troubles = [ready for pod in pods if not (ready := pod_readiness(pod)).ready]
    return next((trouble for trouble in troubles if trouble.broken), troubles[0] if troubles else None)


# Jobs


def _job(live: Manifest, pods: tuple[Manifest, ...]) -> Readiness:
    name = live["metadata"]["name"]
    if condition(live, "Complete").get("status") == "True":
        return Readiness(True)
    failed, times = condition(live, "Failed"), live.get("status", {}).get("failed", 0)
    if failed.get("status") == "True":
        return Readiness(False, True, f"{name} failed: {_last_words(pods) or _short(failed.get('message', ''))}")
    if times:
        said = _last_words(pods) or "its pod is gone"
        return Readiness(False, True, f"{name} failed {_times(times)} and is tried again: {said}")
    trouble = _worst(pods)
    if trouble is None:
        return Readiness(False, why=f"{name} is not done yet")
    return Readiness(False, trouble.broken, f"{name} is not done yet: {trouble.why}")


def _last_words(pods: Iterable[Manifest]) -> str:
    """What the pod that failed last said."""
    failed = [pod for pod in pods if pod.get("status", {}).get("phase") == "Failed"]
    newest = max(failed, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)
    return pod_readiness(newest).why if newest is not None else ""


# Pods


def pod_readiness(pod: Manifest) -> Readiness:
    """Whether a pod gets traffic, or has done its work."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        return Readiness(False, why=f"pod {name} is ending")
    if status.get("phase") == "Succeeded" or condition(pod, "Ready").get("status") == "True":
        return Readiness(True)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Readiness(False, True, f"pod {name} fits on no node: {_short(scheduled.get('message', ''))}")
    for trouble in map(_container, _containers(status)):
        if trouble is not None:
            return trouble._replace(why=f"pod {name} {trouble.why}")
    if status.get("phase") == "Failed":
        said = f"{status.get('reason', '')}: {_short(status.get('message', ''))}"
        return Readiness(False, True, f"pod {name} failed: {said}")
    doing = "runs and is not ready yet" if status.get("phase") == "Running" else "is being started"
    return Readiness(False, why=f"pod {name} {doing}")


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _container(status: Mapping[str, Any]) -> Readiness | None:
    """Why one container keeps its pod from being ready; None when it does not, or nothing is known."""
    waiting = status.get("state", {}).get("waiting")
    if waiting is not None:
        return _waiting(status, waiting)
    ended = status.get("state", {}).get("terminated")
    if ended is not None and ended.get("exitCode", 0) != 0:
        return Readiness(False, True, _ended(ended))
    before = status.get("lastState", {}).get("terminated")
    if before is not None and not status.get("ready", False):
        return Readiness(False, why=f"was started again and is not ready yet; before, it {_ended(before)}")
    return None


def _waiting(status: Mapping[str, Any], waiting: Mapping[str, Any]) -> Readiness | None:
    reason, message = waiting.get("reason", ""), _short(waiting.get("message", ""))
    if not reason or reason in _STARTING_REASONS:
        return None
    if reason in _IMAGE_REASONS:
        return Readiness(False, True, f"cannot get its image {status.get('image', '')}: {reason}: {message}")
    if reason == "CrashLoopBackOff":
        ended = status.get("lastState", {}).get("terminated") or {}
        return Readiness(False, True, f"crashes again and again: it {_ended(ended)}")
    return Readiness(False, True, f"cannot be started: {reason}: {message}")


def _ended(ended: Mapping[str, Any]) -> str:
    if ended.get("reason") == "OOMKilled":
        return "was killed, as it used more memory than its limit"
    message = _short(ended.get("message", ""))
    return f"ended with exit code {ended.get('exitCode', 'unknown')}{': ' if message else ''}{message}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _short(message: str) -> str:
    """The end of a message, on one line: what a program says last says most."""
    line = " ".join(message.split())
    return line if len(line) <= _MAX_MESSAGE else f"…{line[-_MAX_MESSAGE:]}"
