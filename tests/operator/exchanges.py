"""Exchanges for tests of the operator that have a real API server."""

import itertools
from pathlib import Path
from typing import Any, Final

import kubernetes.client
import kubernetes.config
import yaml
from exchange_operator.kubernetes_api import KubernetesApi
from exchange_operator.resource import Exchange, parse

from tests.cluster.client import Client
from tests.support.processes import ROOT

CRD: Final = ROOT / "charts" / "exchange-operator" / "templates" / "crd.yaml"
_numbers = itertools.count(1)


def minimal(name: str = "demo", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """As somebody writes it who wants one of each, on a broker and a database of his own. spec: more of it."""
    return {
        "apiVersion": "trading.exchange/v1alpha1",
        "kind": "Exchange",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "image": {"repository": "exchange-platform", "tag": "0.1.0"},
            "assets": [{"name": "BTC", "scale": 8}, {"name": "USDT", "scale": 8}],
            "redpanda": {"external": {"bootstrapServers": ["broker:9092"]}},
            "scylla": {"external": {"contactPoints": ["database"]}},
            **spec,
        },
    }


def know_exchanges(server: Client) -> None:
    """Have the kind served. Doing it again changes nothing."""
    server.kubectl("apply", "--server-side", "-f", str(CRD))
    server.kubectl("wait", "crd/exchanges.trading.exchange", "--for=condition=Established")


def new_namespace(server: Client) -> str:
    """One that nobody else uses."""
    name = f"test-{next(_numbers)}-{Path(server.kubeconfig).stat().st_mtime_ns % 10_000}"
    server.kubectl("create", "namespace", name)
    return name


def create(server: Client, manifest: dict[str, Any]) -> Exchange:
    """Have somebody apply it, and read it back."""
    server.apply(yaml.safe_dump(manifest))
    metadata = manifest["metadata"]
    return parse(server.get("-n", metadata["namespace"], f"exchange/{metadata['name']}"))


def api_of(server: Client) -> KubernetesApi:
    """Requests to that server, as administrator."""
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(server.kubeconfig), client_configuration=configuration)
    return KubernetesApi(configuration)
