"""The shapes that several components share: StatefulSets, their headless Services, PodDisruptionBudgets."""

from typing import Any, Final

from exchange_operator.manifests.pods import one_of
from exchange_operator.manifests.quantities import canonical
from exchange_operator.names import Manifest, labels, manifest, object_name, selector
from exchange_operator.resource import Exchange

POD_NAME: Final[Manifest] = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
POD_IP: Final[Manifest] = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
"""Variables by which a pod knows itself."""


def stateful_set(exchange: Exchange, component: str, replicas: int, template: Manifest, **more: Any) -> Manifest:
    """Pods with numbers, at most one of each. They start and stop all at once; an update takes one after the other."""
    spec = {
        "serviceName": object_name(exchange, component),
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": selector(exchange, component)},
        "template": template,
    }
    return manifest("apps/v1", "StatefulSet", exchange, component, spec=spec | more)


def volume_of_each(exchange: Exchange, component: str, storage: str, storage_class: str) -> Manifest:
    """What makes a StatefulSet give each pod a volume named `data`, which outlives the pod, and the StatefulSet too.

    Whether it outlives the exchange is for its deletion policy, and for whoever carries that out, to say.
    """
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": canonical(storage)}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    claim = {"metadata": {"name": "data", "labels": labels(exchange, component)}, "spec": spec}
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    return {"volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": kept}


def headless(exchange: Exchange, component: str, **ports: int) -> Manifest:
    """A Service that gives each pod of a StatefulSet a name, before it is ready too: peers want it at their start."""
    return service(exchange, component, ports, clusterIP="None", publishNotReadyAddresses=True)


def service(exchange: Exchange, component: str, ports: dict[str, int], **more: Any) -> Manifest:
    """A Service on a component's pods. ports: by the name of the container's port."""
    listed = [{"name": name, "port": port, "targetPort": name} for name, port in ports.items()]
    spec = {"selector": selector(exchange, component), "ports": listed}
    return manifest("v1", "Service", exchange, component, spec=spec | more)


def disruption_budget(exchange: Exchange, component: str, *more: str) -> Manifest:
    """Whoever empties nodes takes one pod of these components at a time; those that are not ready, whenever.

    Without the latter a node whose pods wait for a broker that is away could never be emptied.
    """
    found = {"matchLabels": selector(exchange), "matchExpressions": [one_of(component, *more)]}
    spec = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": found}
    return manifest("policy/v1", "PodDisruptionBudget", exchange, component, spec=spec)


def tcp_probes(port: str) -> Manifest:
    """Whether a server that is not ours listens: ten minutes to begin, and one to come back."""
    asked = {"tcpSocket": {"port": port}, "timeoutSeconds": 5}
    return {
        "startupProbe": asked | {"periodSeconds": 2, "failureThreshold": 300},
        "livenessProbe": asked | {"periodSeconds": 10, "failureThreshold": 6},
    }
