"""What a pass sees of the cluster, and what it does to it. `reconcile` calls it, from any thread.

Everything is as it was planned, whoever did something meanwhile: what is to be deleted and is gone is deleted, what is
to be made and is there is made, and an object that another of its name has replaced is left alone.
"""

import base64
import binascii
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal, assert_never

import msgspec

from exchange_operator import kubernetes_api as api
from exchange_operator.actions import Action, Apply, CreateKeys, Delete, DeletePod, GrowVolume, Observed
from exchange_operator.kubernetes_api import KINDS, ClusterError, Conflict, KubernetesApi, NotFound, Refused
from exchange_operator.manifests import Capabilities
from exchange_operator.names import MANAGER, Key, Manifest, key_of, keys_name, labels, selector
from exchange_operator.resource import GROUP, KIND, Exchange
from services.domain.errors import ConfigError
from services.runtime.credentials import CREDENTIALS_FILE, ApiCredentials, Credentials, new_files

CAPABILITIES_SECONDS: Final = 60.0
"""For how long it is remembered which kinds the cluster knows."""
MANAGED_BY: Final = f"app.kubernetes.io/managed-by={MANAGER}"
"""Selects what we made, of whatever exchange."""

_PEERINGS: Final = {kind: api.Kind("kopf.dev/v1", f"{kind.lower()}s") for kind in ("KopfPeering", "ClusterKopfPeering")}
_OBSERVED: Final = (
    "ConfigMap",
    "CronJob",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
    "StatefulSet",
)
_MAX_MESSAGE: Final = 1024
"""Bytes of an event's message."""


class Cluster:
    """The cluster through its API server. clock: seconds, of any begin."""

    def __init__(self, kubernetes: KubernetesApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = kubernetes
        self._clock = clock
        self._capabilities = Capabilities()
        self._capabilities_until = float("-inf")

    def require(self, namespaces: Sequence[str], peering: str) -> None:
        """Look that the cluster is prepared: it knows Exchanges, and has the peering objects, if there is peering.

        namespaces: those that are watched, or none for all. Raises ConfigError when something is missing.
        """
        if not self._serves(KIND):
            raise ConfigError(f"the cluster does not know {KINDS[KIND].plural}.{GROUP}: install the chart with its CRD")
        if peering:
            for namespace in namespaces or ("",):
                self._require_peering(namespace, peering)

    def _require_peering(self, namespace: str, name: str) -> None:
        where, kind = (f" in namespace {namespace}", "KopfPeering") if namespace else ("", "ClusterKopfPeering")
        try:
            self._api.get(_PEERINGS[kind].path(namespace, name), f"{kind} {name}{where}", api.METADATA_ONLY)
        except NotFound as error:
            raise ConfigError(
                f"there is no {kind} {name}{where}: make one, as the chart does, or run with --standalone"
            ) from error

    # Reading

    def exchange(self, namespace: str, name: str) -> Manifest | None:
        """The resource as it is now; None when there is none. Raises ClusterError, as all of these do."""
        return self._get(Key(KIND, name), namespace)

    def capabilities(self) -> Capabilities:
        """Which kinds the cluster knows that not every cluster does. At most CAPABILITIES_SECONDS old."""
        if self._clock() >= self._capabilities_until:
            self._capabilities = Capabilities(service_monitor=self._serves("ServiceMonitor"))
            self._capabilities_until = self._clock() + CAPABILITIES_SECONDS
        return self._capabilities

    def observe(self, exchange: Exchange, wanted: Iterable[Key]) -> Observed:
        """What there is of the exchange: all that has its labels, and whatever has the name of one of `wanted`."""
        kinds = [*_OBSERVED, *(["ServiceMonitor"] if self.capabilities().service_monitor else [])]
        ours = f"{_query(selector(exchange))},{MANAGED_BY}"
        objects = {key_of(one): one for kind in kinds for one in self._list(kind, exchange.namespace, ours)}
        for key in {*wanted, Key("Secret", keys_name(exchange))} - objects.keys():
            if (one := self._get(key, exchange.namespace)) is not None:
                objects[key] = one
        pods = self._list("Pod", exchange.namespace, _query(selector(exchange)))
        return Observed(objects, tuple(pods))

    def admin_key(self, exchange: Exchange) -> ApiCredentials:
        """The exchange's first key, which may administer it. Raises ClusterError when its Secret does not have it."""
        name = keys_name(exchange)
        what = _described("Secret", exchange.namespace, name)
        secret = self._api.get(KINDS["Secret"].path(exchange.namespace, name), what)
        try:
            encoded = base64.b64decode(secret["data"][CREDENTIALS_FILE], validate=True)
            return msgspec.json.decode(encoded, type=Credentials).admin
        except (KeyError, TypeError, binascii.Error, msgspec.DecodeError) as error:
            raise ClusterError(
                f"{what}: its {CREDENTIALS_FILE} has no admin key; bring the Secret back from a backup: {error}"
            ) from error

    # Writing

    def execute(self, exchange: Exchange, action: Action, observed: Observed) -> None:
        """Do one thing of a plan that was made of `observed`."""
        match action:
            case Apply(manifest):
                self._apply(manifest, exchange.namespace)
            case Delete(key, _, orphan):
                self._delete(key, exchange.namespace, observed.objects[key], "Orphan" if orphan else "Background")
            case DeletePod(name):
                pod = next(one for one in observed.pods if one["metadata"]["name"] == name)
                self._delete(Key("Pod", name), exchange.namespace, pod, "Background")
            case CreateKeys(name):
                self._create_keys(exchange, name)
            case GrowVolume(claim, size):
                self._grow(exchange.namespace, claim, size)
            case _:
                assert_never(action)

    def put_status(self, resource: Manifest, status: Manifest) -> bool:
        """Make the status of an Exchange this one. Returns whether it was another before.

        resource: as it was read. Nothing happens to another Exchange that has its name by now.
        """
        if resource.get("status", {}) == status:
            return False
        metadata = resource["metadata"]
        what = _described(KIND, metadata["namespace"], metadata["name"])
        path = KINDS[KIND].path(metadata["namespace"], metadata["name"], "status")
        same = {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}
        # One value for all of it: a merge would leave what the new status does not say any more.
        with suppress(NotFound):
            self._api.patch(path, what, [same, {"op": "add", "path": "/status", "value": status}], api.OPERATIONS)
        return True

    def post_event(self, resource: Manifest, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Tell it to whoever describes the resource. Every call is one more: call it when something is new."""
        metadata, now = resource["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {field: metadata[field] for field in ("name", "namespace", "uid")}
        body = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {"apiVersion": resource["apiVersion"], "kind": resource["kind"], **involved},
            "type": kind,
            "reason": reason,
            "message": message.encode()[:_MAX_MESSAGE].decode(errors="ignore"),
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        what = f"an event about {_described(KIND, metadata['namespace'], metadata['name'])}"
        self._api.create(KINDS["Event"].path(metadata["namespace"]), what, body)

    def close(self) -> None:
        """Give up the connections."""
        self._api.close()

    # One object

    def _list(self, kind: str, namespace: str, query: str) -> list[Manifest]:
        """All of a kind. An item of a list does not say of which kind it is."""
        what = f"the list of {kind}s of namespace {namespace}"
        try:
            items = self._api.list(KINDS[kind].path(namespace), what, query)
        except NotFound:
            return []  # The kind is gone since somebody looked.
        return [_plain(one, kind) for one in items]

    def _get(self, key: Key, namespace: str) -> Manifest | None:
        # What is in a Secret is nobody's business but its reader's.
        accept = api.METADATA_ONLY if key.kind == "Secret" else api.JSON
        try:
            path = KINDS[key.kind].path(namespace, key.name)
            return _plain(self._api.get(path, _described(key.kind, namespace, key.name), accept), key.kind)
        except NotFound:
            return None

    def _apply(self, manifest: Manifest, namespace: str) -> None:
        kind, name = key_of(manifest)
        path = KINDS[kind].path(namespace, name)
        self._api.patch(path, _described(kind, namespace, name), manifest, api.APPLY, force="true")

    def _delete(self, key: Key, namespace: str, seen: Manifest, propagation: str) -> None:
        """Delete what was seen; not what has its name by now."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": seen["metadata"]["uid"]},
        }
        what = _described(key.kind, namespace, key.name)
        with suppress(NotFound, Conflict):
            self._api.delete(KINDS[key.kind].path(namespace, key.name), what, options)

    def _create_keys(self, exchange: Exchange, name: str) -> None:
        """Make the Secret with the exchange's own keys. It has no owner, and one that is there stays what it is."""
        data = {file: base64.b64encode(content).decode() for file, content in new_files().items()}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": exchange.namespace, "labels": labels(exchange, "keys")},
            "type": "Opaque",
            "data": data,
        }
        with suppress(Conflict):
            what = _described("Secret", exchange.namespace, name)
            self._api.create(KINDS["Secret"].path(exchange.namespace), what, body)

    def _grow(self, namespace: str, claim: str, size: str) -> None:
        what = _described("PersistentVolumeClaim", namespace, claim)
        body = {"spec": {"resources": {"requests": {"storage": size}}}}
        try:
            with suppress(NotFound):
                self._api.patch(KINDS["PersistentVolumeClaim"].path(namespace, claim), what, body, api.MERGE)
        except Refused as error:
            raise Refused(
                f"{what} cannot grow to {size}; it must be bound to a volume, and its StorageClass must have "
                f"allowVolumeExpansion: true: {error}"
            ) from error

    def _serves(self, kind: str) -> bool:
        """Whether the cluster knows the kind."""
        known = KINDS[kind]
        try:
            found = self._api.get(f"/apis/{known.api_version}", f"the kinds of {known.api_version}")
        except NotFound:
            return False
        return any(one["name"] == known.plural for one in found["resources"])


def _plain(live: Manifest, kind: str) -> Manifest:
    """Without who manages which field, which is most of an object and nobody's business here."""
    metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
    return {**live, "apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": metadata}


def _query(wanted: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def _described(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}"
