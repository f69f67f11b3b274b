"""Requests to the Kubernetes API server, each with a time-out, and what can become of them. `cluster` calls it.

Objects are what JSON makes of them. Names of an object come from the resource's and are checked by the API server, so
that a path needs no escaping.

    ClusterError             something did not work; the message says what, and what to do
    ├── ClusterUnavailable   nobody answers, or not now: try again
    └── Refused              the API server does not do this: trying again changes nothing by itself
        ├── NotFound         there is no such object
        └── Conflict         it is there already, or is not what it was when it was read
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import kubernetes.client
import kubernetes.config
import urllib3.exceptions
import yaml

from exchange_operator.names import MANAGER, Manifest
from exchange_operator.resource import API_VERSION, KIND, PLURAL
from services.domain.errors import ConfigError, ExchangeError

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
_CONNECTIONS: Final = 16
_PAGE: Final = 500

JSON: Final = "application/json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
OPERATIONS: Final = "application/json-patch+json"

_NO_CONFIGURATION: Final = (kubernetes.config.ConfigException, OSError, yaml.YAMLError, TypeError)
"""What reading a kubeconfig raises, also when the file is something else: TypeError when it is YAML of another kind."""


class ClusterError(ExchangeError):
    """Something about the cluster did not work."""


class ClusterUnavailable(ClusterError):
    """The API server does not answer, or not now. Whether a write took effect is unknown; ours can be repeated."""


class Refused(ClusterError):
    """The API server does not do this."""


class NotFound(Refused):
    """There is no such object, or kind of object."""


class Conflict(Refused):
    """It is there already, or is not what it was when it was read."""


class Kind(NamedTuple):
    """How the API server calls a kind of object."""

    api_version: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Of one object, or of all in the namespace. namespace: empty for what belongs to none."""
        prefix = "api" if "/" not in self.api_version else "apis"
        where = ("namespaces", namespace) if namespace else ()
        return "/".join(("", prefix, self.api_version, *where, self.plural, name, subresource)).rstrip("/")


KINDS: Final[Mapping[str, Kind]] = {
    "Pod": Kind("v1", "pods"),
    "Event": Kind("v1", "events"),
    "Secret": Kind("v1", "secrets"),
    "Service": Kind("v1", "services"),
    "ConfigMap": Kind("v1", "configmaps"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims"),
    "Deployment": Kind("apps/v1", "deployments"),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "Job": Kind("batch/v1", "jobs"),
    "CronJob": Kind("batch/v1", "cronjobs"),
    "Ingress": Kind("networking.k8s.io/v1", "ingresses"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": Kind("autoscaling/v2", "horizontalpodautoscalers"),
    "ServiceMonitor": Kind("monitoring.coreos.com/v1", "servicemonitors"),
    KIND: Kind(API_VERSION, PLURAL),
}


class KubernetesApi:
    """The API server, for any number of threads."""

    def __init__(self, configuration: kubernetes.client.Configuration) -> None:
        configuration.connection_pool_maxsize = _CONNECTIONS
        # A pass is repeated anyway; urllib3's own three attempts would only make its time-outs four times as long.
        configuration.retries = False
        self._client = kubernetes.client.ApiClient(configuration)

    def get(self, path: str, what: str, accept: str = JSON, **query: str) -> Any:
        """What is at the path. what: for the error's sentence."""
        return self._request("GET", path, what, accept=accept, query=query)

    def list(self, path: str, what: str, selector: str) -> list[Manifest]:
        """All objects with those labels."""
        items: list[Manifest] = []
        query = {"labelSelector": selector, "limit": str(_PAGE)}
        while True:
            page = self.get(path, what, **query)
            items += page["items"]
            if not (more := page["metadata"].get("continue")):
                return items
            query["continue"] = more

    def create(self, path: str, what: str, body: Manifest) -> Any:
        """Make an object. Raises Conflict when it is there."""
        return self._request("POST", path, what, body=body, query={"fieldManager": MANAGER})

    def patch(self, path: str, what: str, body: Any, content_type: str, **query: str) -> Any:
        """Change an object; with APPLY, or make it."""
        query["fieldManager"] = MANAGER
        return self._request("PATCH", path, what, body=body, content_type=content_type, query=query)

    def delete(self, path: str, what: str, options: Manifest) -> Any:
        """Delete an object. Raises NotFound when it is gone, and Conflict when a precondition does not hold."""
        return self._request("DELETE", path, what, body=options)

    def close(self) -> None:
        """Give up the connections."""
        self._client.rest_client.pool_manager.clear()

    def _request(
        self,
        method: str,
        path: str,
        what: str,
        *,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            return self._client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            )
        except kubernetes.client.ApiException as error:
            raise _explained(error, what) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterUnavailable(f"{what}: the API server does not answer: {error}") from error


def connect() -> KubernetesApi:
    """The cluster that the process runs in, else the one that KUBECONFIG tells of.

    Raises ConfigError when there is neither.
    """
    configuration = kubernetes.client.Configuration()
    try:
        try:
            kubernetes.config.load_incluster_config(client_configuration=configuration)
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(client_configuration=configuration)
    except _NO_CONFIGURATION as error:
        raise ConfigError(
            f"no Kubernetes cluster: run in a pod with a ServiceAccount, or let KUBECONFIG name a kubeconfig: {error}"
        ) from error
    return KubernetesApi(configuration)


def _explained(error: kubernetes.client.ApiException, what: str) -> ClusterError:
    """The error as ours, with a sentence."""
    said = _said(error)
    match error.status:
        case 404:
            return NotFound(f"{what}: {said}")
        case 409:
            return Conflict(f"{what}: {said}")
        case 401:
            return ClusterUnavailable(f"{what}: the API server does not know us (yet, or any more): {said}")
        case 403 if "exceeded quota: " in said:
            return Refused(f"{what}: {said}; raise the namespace's ResourceQuota, or ask for less")
        case 403 if 'User "' in said:  # Others are of admission: they say why, and no right of ours changes it.
            return Refused(f"{what}: {said}; give the operator's ServiceAccount this right (the chart does)")
        case 0:
            return ClusterUnavailable(f"{what}: no TLS connection to the API server: {said}")
        case 429 | 500 | 502 | 503 | 504:
            return ClusterUnavailable(f"{what}: the API server cannot do it now: {said}")
        case _:
            return Refused(f"{what}: the API server refuses it: {said}")


def _said(error: kubernetes.client.ApiException) -> str:
    """What the API server answered, in words: its first line, behind which there may be a comparison."""
    try:
        status = json.loads(error.body or "")
        return str(status["message"]).partition("\n")[0]
    except (ValueError, KeyError, TypeError):
        return " ".join(f"{error.status or ''} {error.reason}".split())
