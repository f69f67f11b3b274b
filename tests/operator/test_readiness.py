"""Whether a workload does what it should, and if not why, in words."""

from typing import Any

import pytest
from exchange_operator.readiness import Count, count, pod_readiness, pods_of, readiness

from tests.operator.live_objects import ended, job, pod, waiting, workload


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_all_pods_at_the_newest_version_are_ready(kind: str) -> None:
    assert readiness(workload(kind=kind, replicas=3), ()) == (True, False, "")


@pytest.mark.parametrize(
    "live",
    [
        workload(replicas=3, ready=2),
        workload(replicas=3, updated=1),
        workload(replicas=3, availableReplicas=2),
        workload(kind="Deployment", replicas=2) | {"status": {"observedGeneration": 1}},
    ],
)
def test_less_than_all_is_not_ready(live: dict[str, Any]) -> None:
    found = readiness(live, ())
    assert not found.ready
    assert not found.broken
    assert "of" in found.why


def test_an_old_pod_that_still_runs_is_waited_for() -> None:
    live = workload(kind="Deployment", replicas=2)
    live["status"]["replicas"] = 3
    assert not readiness(live, ()).ready


def test_a_status_of_an_older_version_says_nothing() -> None:
    live = workload(generation=2)
    live["status"]["observedGeneration"] = 1
    assert readiness(live, ()) == (False, False, "demo-ubscore: Kubernetes has not looked at its newest version yet")
    del live["status"]
    assert not readiness(live, ()).ready


def test_a_workload_that_somebody_scaled_to_0_is_not_ready() -> None:
    assert readiness(workload(replicas=0), ()) == (False, True, "demo-ubscore: somebody scaled it to 0")


def test_only_its_own_pods_count() -> None:
    live = workload(replicas=1, ready=0)
    other = pod("demo-ubscore-standby", **waiting("CrashLoopBackOff"))
    assert pods_of(live, (other, pod(), pod(number=1))) == (pod(), pod(number=1))
    found = readiness(live, (other, pod()))
    assert not found.broken
    assert found.why == (
        "demo-ubscore: 0 of 1 ready, 1 of 1 at the newest version; pod demo-ubscore-0 runs and is not ready yet"
    )


def test_a_workload_that_selects_nothing_has_no_pods() -> None:
    live = workload()
    live["spec"]["selector"] = {}
    assert pods_of(live, (pod(),)) == ()


def test_a_broken_pod_is_told_before_one_that_is_starting() -> None:
    pods = (pod(number=0), pod(number=1, **waiting("ImagePullBackOff", "not found")))
    found = readiness(workload(replicas=2, ready=0), pods)
    assert found.broken
    assert "pod demo-ubscore-1 cannot get its image exchange:2: ImagePullBackOff: not found" in found.why


def test_pods_that_may_not_be_made_are_told_of() -> None:
    live = workload(kind="Deployment", replicas=2, ready=0, updated=0)
    live["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}]
    found = readiness(live, ())
    assert found.broken
    assert found.why.endswith("its pods are refused: exceeded quota: small")


POD_CASES = [
    (waiting("ErrImagePull", "no such host"), True, "cannot get its image exchange:2: ErrImagePull: no such host"),
    (
        waiting("CrashLoopBackOff", "back-off 40s", lastState=ended(1, "Settings: broker is\n  missing\n")),
        True,
        "crashes again and again: it ended with exit code 1: Settings: broker is missing",
    ),
    (
        waiting("CrashLoopBackOff", lastState=ended(137, reason="OOMKilled")),
        True,
        "crashes again and again: it was killed, as it used more memory than its limit",
    ),
    (waiting("CrashLoopBackOff"), True, "crashes again and again: it ended with exit code unknown"),
    (
        waiting("CreateContainerConfigError", 'secret "scylla" not found'),
        True,
        'cannot be started: CreateContainerConfigError: secret "scylla" not found',
    ),
    (waiting("ContainerCreating"), False, "is being started"),
    ({"phase": "Pending"}, False, "is being started"),
    ({"containerStatuses": [{"state": ended(2, "why")}]}, True, "ended with exit code 2: why"),
    (
        {"containerStatuses": [{"state": {"running": {}}, "lastState": ended(1), "ready": False}]},
        False,
        "was started again and is not ready yet; before, it ended with exit code 1",
    ),
    ({"initContainerStatuses": [{"state": ended(3)}]}, True, "ended with exit code 3"),
    (
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"},
        True,
        "failed: Evicted: The node was low on memory",
    ),
    (
        {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient memory"}],
        },
        True,
        "fits on no node: 0/1 nodes: Insufficient memory",
    ),
    ({"containerStatuses": [{"state": {"running": {}}, "ready": False}]}, False, "runs and is not ready yet"),
]


@pytest.mark.parametrize(("status", "broken", "words"), POD_CASES)
def test_a_pod_that_is_not_ready_says_why(status: dict[str, Any], broken: bool, words: str) -> None:
    assert pod_readiness(pod(**status)) == (False, broken, f"pod demo-ubscore-0 {words}")


def test_a_pod_that_ends_is_not_ready_and_not_broken() -> None:
    ending = pod(ready=True)
    ending["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert pod_readiness(ending) == (False, False, "pod demo-ubscore-0 is ending")


def test_pods_that_serve_or_are_done_are_ready() -> None:
    assert pod_readiness(pod(ready=True)).ready
    assert pod_readiness(pod(phase="Succeeded")).ready


def test_a_long_message_keeps_its_end() -> None:
    said = pod_readiness(pod(**waiting("CreateContainerError", "x" * 1000 + " the reason")))
    assert len(said.why) < 400
    assert said.why.endswith("the reason")


def test_a_complete_job_is_ready() -> None:
    assert readiness(job(done="Complete"), ()).ready


def test_a_job_that_runs_is_waited_for() -> None:
    assert readiness(job(), ()) == (False, False, "demo-topics-1 is not done yet")
    busy = pod("demo-topics-1", "x")
    assert readiness(job(active=1), (busy,)).why == (
        "demo-topics-1 is not done yet: pod demo-topics-1-x runs and is not ready yet"
    )


def test_a_job_that_cannot_start_is_broken() -> None:
    stuck = pod("demo-topics-1", "x", **waiting("ImagePullBackOff", "gone"))
    assert readiness(job(active=1), (stuck,)).broken


def failed_pod(number: str, created: str, message: str) -> dict[str, Any]:
    one = pod("demo-topics-1", number, phase="Failed", containerStatuses=[{"state": ended(1, message)}])
    one["metadata"]["creationTimestamp"] = created
    return one


def test_a_job_that_is_tried_again_tells_what_the_last_try_said() -> None:
    pods = (
        failed_pod("b", "2025-01-01T00:00:00Z", "first"),
        failed_pod("a", "2025-01-01T00:01:00Z", "last"),
        pod("demo-topics-1", "c"),
    )
    assert readiness(job(failed=2, active=1), pods) == (
        False,
        True,
        "demo-topics-1 failed 2 times and is tried again: pod demo-topics-1-a ended with exit code 1: last",
    )
    assert readiness(job(failed=1), ()).why == "demo-topics-1 failed once and is tried again: its pod is gone"


def test_a_failed_job_tells_what_its_pod_said_or_else_what_kubernetes_says() -> None:
    said = readiness(job(done="Failed", failed=3), (failed_pod("a", "", "The broker refused the login."),))
    assert said.broken
    assert said.why == (
        "demo-topics-1 failed: pod demo-topics-1-a ended with exit code 1: The broker refused the login."
    )
    assert readiness(job(done="Failed"), ()).why == "demo-topics-1 failed: it was"


def test_counts_tell_of_pods_at_any_version() -> None:
    assert count(workload(replicas=3, ready=2, updated=1)) == Count(3, 1, 2)
    fresh = workload()
    del fresh["status"], fresh["spec"]["replicas"]
    assert count(fresh) == Count(1, 0, 0)
