"""Live objects as an API server gives them, for tests of what the operator decides."""

from typing import Any

Manifest = dict[str, Any]


def workload(
    name: str = "demo-ubscore",
    kind: str = "StatefulSet",
    replicas: int = 1,
    ready: int | None = None,
    updated: int | None = None,
    generation: int = 1,
    **status: Any,
) -> Manifest:
    """A Deployment or StatefulSet; all its pods are ready and at its newest version unless said otherwise."""
    up = replicas if ready is None else ready
    return {
        "kind": kind,
        "metadata": {"name": name, "generation": generation},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {"containers": [{"name": "main", "image": "exchange:1"}]}},
        },
        "status": {
            "observedGeneration": generation,
            "replicas": replicas,
            "readyReplicas": up,
            "availableReplicas": up,
            "updatedReplicas": replicas if updated is None else updated,
            **status,
        },
    }


def job(name: str = "demo-topics-1", done: str = "", since: str = "2025-01-01T00:00:00Z", **status: Any) -> Manifest:
    """A Job. done: Complete, or Failed."""
    conditions = [{"type": done, "status": "True", "lastTransitionTime": since, "message": "it was"}] if done else []
    return {
        "kind": "Job",
        "metadata": {"name": name, "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": name}}},
        "status": {"conditions": conditions, **status},
    }


def pod(of: str = "demo-ubscore", number: int | str = 0, ready: bool = False, **status: Any) -> Manifest:
    """A pod of that workload."""
    return {
        "kind": "Pod",
        "metadata": {"name": f"{of}-{number}", "labels": {"app": of}},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            **status,
        },
    }


def waiting(reason: str, message: str = "", **rest: Any) -> dict[str, Any]:
    """The status of a pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "main", "image": "exchange:2", "state": state, **rest}]}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}
