"""What the pods of all components have in common: as whom they run, what they mount, how their health is asked.

They meet the *restricted* pod security standard, on a root file system that is read-only. Everything here comes from
the resource or never changes; see the package.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from exchange_operator.manifests.connections import INTERNAL_PORT, SECRETS, SecretFile
from exchange_operator.manifests.settings import FILE, STANDBY, Settings
from exchange_operator.names import COMPONENT, POD_INDEX, Manifest, labels, object_name, selector
from exchange_operator.resource import Exchange

USER: Final = 10001
"""As whom our image runs."""
DATA: Final = "/data"
LIVE: Final = "/health/live"
READY: Final = "/health/ready"
INTERNAL: Final = "internal"
"""Name of the port that answers health, metrics and the reads of other processes."""

_SETTINGS: Final = "/etc/exchange"
_GRACE_SECONDS: Final = 60
_READABLE_BY_GROUP: Final = 0o440
_ZONE: Final = "topology.kubernetes.io/zone"
_HOST: Final = "kubernetes.io/hostname"

TEMPORARY: Final[Manifest] = {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}
TEMPORARY_MOUNT: Final[Manifest] = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108
MEMBER: Final[Manifest] = {
    "name": "SHARD",
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{POD_INDEX}']"}},
}
"""Tells a StatefulSet's pod its number."""


def template(exchange: Exchange, component: str, container: Manifest, volumes: list[Manifest], **more: Any) -> Manifest:
    """A pod of one container. more: what else its specification says, or says otherwise."""
    scheduling = exchange.spec.scheduling
    spec: Manifest = {
        "serviceAccountName": object_name(exchange, "exchange"),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": security(USER),
        "containers": [container],
        "volumes": volumes,
    }
    optional = {
        "imagePullSecrets": [{"name": name} for name in exchange.spec.image.pull_secrets],
        "nodeSelector": scheduling.node_selector,
        "tolerations": msgspec.to_builtins(scheduling.tolerations),
        "priorityClassName": scheduling.priority_class_name,
    }
    spec |= {key: value for key, value in optional.items() if value} | more
    return {"metadata": {"labels": labels(exchange, component)}, "spec": spec}


def security(user: int) -> Manifest:
    """Of a pod. Volumes belong to the user's group."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def hardened(container: Manifest) -> Manifest:
    """A container that cannot become more than it is, and whose last words are kept when it fails."""
    security_context = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return container | {"securityContext": security_context, "terminationMessagePolicy": "FallbackToLogsOnError"}


def program(
    exchange: Exchange, component: str, arguments: Sequence[str], settings: Settings, resources: Manifest
) -> Manifest:
    """A container that runs `exchange` with the arguments, and ends by itself."""
    image = exchange.spec.image
    mounts = [{"name": "settings", "mountPath": _SETTINGS, "readOnly": True}, TEMPORARY_MOUNT]
    if settings.files:
        mounts.append({"name": "secrets", "mountPath": SECRETS, "readOnly": True})
    return hardened(
        {
            "name": component.removesuffix(STANDBY),
            "image": image.name,
            "imagePullPolicy": image.pull_policy,
            "args": list(arguments),
            "env": [{"name": "EXCHANGE_CONFIG", "value": f"{_SETTINGS}/{FILE}"}, *settings.variables],
            "volumeMounts": mounts,
            "resources": resources,
        }
    )


def service(container: Manifest) -> Manifest:
    """The container of a program that runs until it is told to stop.

    It answers whether it is live from its first second on, and is ready once it does its work: to replay a journal or
    to wait for the brokers may take long, and restarting would not help.
    """
    probes = {
        "startupProbe": _probe(LIVE, period=2, failures=300),
        "livenessProbe": _probe(LIVE, period=10, failures=6),
        "readinessProbe": _probe(READY, period=2, failures=3),
    }
    return container | {"ports": [{"name": INTERNAL, "containerPort": INTERNAL_PORT}]} | probes


def volumes(settings: Settings) -> list[Manifest]:
    """What `program` mounts."""
    found: list[Manifest] = [{"name": "settings", "configMap": {"name": settings.name}}, TEMPORARY]
    if settings.files:
        sources = [_source(file) for file in settings.files]
        found.append({"name": "secrets", "projected": {"defaultMode": _READABLE_BY_GROUP, "sources": sources}})
    return found


def spread(exchange: Exchange, *components: str) -> list[Manifest]:
    """Pods of these components away from each other: other zones, other nodes, where there are any."""
    among = {"matchLabels": selector(exchange), "matchExpressions": [one_of(*components)]}
    constraint = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": among}
    return [constraint | {"topologyKey": key} for key in (_ZONE, _HOST)]


def apart_from_twin(exchange: Exchange, component: str) -> Manifest:
    """The affinity of a core's pods: a shard and its standby on two nodes, where there are two."""
    core = component.removesuffix(STANDBY)
    twin = {
        "topologyKey": _HOST,
        "labelSelector": {"matchLabels": selector(exchange), "matchExpressions": [one_of(core, core + STANDBY)]},
        "matchLabelKeys": [POD_INDEX],
    }
    rule = {"weight": 100, "podAffinityTerm": twin}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [rule]}}


def one_of(*components: str) -> Manifest:
    """An expression of a label selector."""
    return {"key": COMPONENT, "operator": "In", "values": list(components)}


def _probe(path: str, period: int, failures: int) -> Manifest:
    asked = {"path": path, "port": INTERNAL}
    return {"httpGet": asked, "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 5}


def _source(file: SecretFile) -> Manifest:
    return {"secret": {"name": file.secret, "items": [{"key": file.key, "path": file.path}]}}
