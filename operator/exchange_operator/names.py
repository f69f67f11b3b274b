"""What the operator's objects are called and how they are told apart: names, labels, owners, fingerprints. Pure."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from exchange_operator.resource import API_VERSION, GROUP, KIND, Exchange

Manifest = dict[str, Any]
"""An object of Kubernetes, as JSON."""

APPLIED: Final = f"{GROUP}/applied"
"""Annotation: the fingerprint of the manifest as it was built. See `stamped`."""

MANAGER: Final = "exchange-operator"
"""In the labels, and as the manager of the fields that we apply."""

_PREFIX: Final = "app.kubernetes.io"
COMPONENT: Final = f"{_PREFIX}/component"
INSTANCE: Final = f"{_PREFIX}/instance"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
"""The label in which a StatefulSet's pod finds its number."""

_DIGITS: Final = 10
_MAX_KEYSPACE: Final = 48


class Key(NamedTuple):
    """Which object it is, within the namespace of its exchange."""

    kind: str
    name: str


def key_of(manifest: Mapping[str, Any]) -> Key:
    """The key of an object, ours or live."""
    return Key(manifest["kind"], manifest["metadata"]["name"])


def fingerprint(value: Any) -> str:
    """Ten hexadecimal digits that are the same for the same JSON, in whatever order its keys come."""
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:_DIGITS]


def object_name(exchange: Exchange, component: str) -> str:
    """The name of the object of a component, such as demo-gateway."""
    return f"{exchange.name}-{component}"


def keys_name(exchange: Exchange) -> str:
    """The Secret with the exchange's own keys. It has no owner: without it, what is kept cannot be read."""
    return object_name(exchange, "keys")


def host_name(exchange: Exchange, service: str, pod: int | None = None) -> str:
    """Where a Service of the exchange's namespace is found; with `pod`, that pod of the StatefulSet of this name."""
    host = f"{service}.{exchange.namespace}.svc"
    return host if pod is None else f"{service}-{pod}.{host}"


def selector(exchange: Exchange, component: str = "") -> dict[str, str]:
    """Labels by which a component's pods, or all objects of the exchange, are found. They never change."""
    found = {f"{_PREFIX}/name": "exchange", INSTANCE: exchange.name}
    return found | {COMPONENT: component} if component else found


def labels(exchange: Exchange, component: str) -> dict[str, str]:
    """Of everything we make. Not the version: a label that changes would roll the pods that have it."""
    whose = {f"{_PREFIX}/part-of": "exchange-platform", f"{_PREFIX}/managed-by": MANAGER}
    return selector(exchange, component) | whose


def owner_reference(exchange: Exchange) -> Manifest:
    """Says that the object goes when the exchange does."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": exchange.name,
        "uid": exchange.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def manifest(api_version: str, kind: str, exchange: Exchange, component: str, name: str = "", **rest: Any) -> Manifest:
    """An object of the exchange. name: that of the component without. rest: what stands beside `metadata`."""
    metadata = {
        "name": name or object_name(exchange, component),
        "namespace": exchange.namespace,
        "labels": labels(exchange, component),
        "ownerReferences": [owner_reference(exchange)],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | rest


def stamped(built: Manifest) -> Manifest:
    """The manifest with its own fingerprint, by which a later pass sees whether it would write the same again."""
    metadata = built["metadata"]
    annotations = metadata.get("annotations", {}) | {APPLIED: fingerprint(built)}
    return built | {"metadata": metadata | {"annotations": annotations}}


def topic_prefix(exchange: Exchange) -> str:
    """In front of the exchange's topics; its own when none is given, so that several exchanges share brokers."""
    given = exchange.spec.redpanda.topic_prefix
    return f"{exchange.namespace}.{exchange.name}." if given is None else given


def keyspace(exchange: Exchange) -> str:
    """The exchange's keyspace; its own when none is given, so that several exchanges share a database.

    CQL allows letters, digits and '_', 48 of them, with a letter first. A name that has to be changed for that, or
    that would be the database's own, such as system_auth, ends in a fingerprint, so that no two are the same.
    """
    external = exchange.spec.scylla.external
    if external is not None and external.keyspace:
        return external.keyspace
    plain = f"{exchange.namespace}_{exchange.name}"
    if re.fullmatch(r"[a-z][a-z0-9]*_[a-z0-9]+", plain) and len(plain) <= _MAX_KEYSPACE and plain[:7] != "system_":
        return plain
    cleaned = re.sub(r"[^a-z0-9]", "_", plain)
    lettered = cleaned if cleaned[0].isalpha() else f"x{cleaned}"
    return f"{lettered[: _MAX_KEYSPACE - _DIGITS - 1]}_{fingerprint([exchange.namespace, exchange.name])}"
