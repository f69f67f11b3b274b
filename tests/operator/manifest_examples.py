"""The examples of k8s/ as exchanges, and what the operator makes of them, for tests of its builders."""

from collections.abc import Iterator
from typing import Any, Final

import yaml
from exchange_operator.manifests import Capabilities, Desired, desired
from exchange_operator.names import Manifest
from exchange_operator.resource import Exchange, parse

from tests.support.processes import ROOT

NAMES: Final = ("minimal", "production", "two-shards")
ALL: Final = Capabilities(service_monitor=True)
BTC_USDT: Final = {
    "name": "BTC_USDT",
    "base": "BTC",
    "quote": "USDT",
    "tickSize": "0.01",
    "lotSize": "0.00001",
    "minNotional": "5",
    "makerFee": "0.001",
    "takerFee": "0.001",
}
WORKLOADS: Final = ("Deployment", "StatefulSet", "Job", "CronJob")


def example(name: str, **spec: Any) -> Exchange:
    """That example, in a namespace `trading`. spec: what it says otherwise."""
    body = yaml.safe_load((ROOT / "k8s" / f"exchange-{name}.yaml").read_text())
    return exchange_of(body["spec"] | spec, body["metadata"]["name"])


def exchange_of(spec: dict[str, Any], name: str = "demo", namespace: str = "trading", **metadata: Any) -> Exchange:
    """An exchange with this specification, as if it were read from a cluster."""
    whole = {"name": name, "namespace": namespace, "uid": "00000000-0000-4000-8000-000000000001", "generation": 1}
    return parse({"metadata": whole | metadata, "spec": spec})


def smallest() -> dict[str, Any]:
    """A specification with brokers and a database that the operator runs, and backups."""
    return {
        "image": {"repository": "exchange-platform", "tag": "1"},
        "assets": [{"name": "BTC", "scale": 8}],
        "redpanda": {"managed": {}},
        "scylla": {"managed": {}},
        "backup": {"target": "s3://bucket/backups"},
    }


def everything(name: str = "demo") -> Exchange:
    """One that has all that can be asked for."""
    managed = {"managed": {"replicas": 3, "storageClassName": "fast"}}
    spec = {
        "image": {"repository": "exchange-platform", "tag": "1", "pullPolicy": "Always", "pullSecrets": ["registry"]},
        "assets": [{"name": "BTC", "scale": 8}],
        "redpanda": managed,
        "scylla": managed,
        "gateway": {
            "autoscaling": {"minReplicas": 2, "maxReplicas": 5},
            "ingress": {"host": "a.example.com", "annotations": {"a": "b"}},
            "issuers": [{"issuer": "i", "algorithm": "EdDSA", "publicKeySecretRef": {"name": "i", "key": "pem"}}],
        },
        "ubscore": {"shards": 64, "standby": True},
        "matcher": {"shards": 64, "standby": True},
        "backup": {"target": "s3://bucket/backups", "credentialsSecretRef": {"name": "store"}},
        "scheduling": {"tolerations": [{"operator": "Exists"}], "priorityClassName": "high"},
        "observability": {"otlpEndpoint": "collector:4318", "otlpProtocol": "http", "traceSampleRatio": "1"},
    }
    return exchange_of(spec, name)


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both, at every depth; `other` wins."""
    nested = {
        key: merged(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
        for key, value in other.items()
    }
    return one | nested


def manifests(made: Desired) -> list[Manifest]:
    """All of them, in their order."""
    return [*made.foundation, *(manifest for stage in made.stages for manifest in stage.manifests)]


def of(exchange: Exchange) -> dict[tuple[str, str], Manifest]:
    """Everything that is made of it, by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests(desired(exchange, ALL))}


def templates(exchange: Exchange) -> dict[str, Manifest]:
    """The pod template of each workload, by its kind and name."""
    found = ((one, pod_template(one)) for one in manifests(desired(exchange, ALL)))
    return {f"{one['kind']}/{one['metadata']['name']}": template for one, template in found if template is not None}


def pod_template(manifest: Manifest) -> Manifest | None:
    """None when it makes no pods."""
    if manifest["kind"] == "CronJob":
        return dict(manifest["spec"]["jobTemplate"]["spec"]["template"])
    return dict(manifest["spec"]["template"]) if manifest["kind"] in WORKLOADS else None


def container(template: Manifest) -> Manifest:
    """The only one of a pod."""
    (one,) = template["spec"]["containers"]
    return dict(one)


def components(exchange: Exchange) -> dict[str, Manifest]:
    """Pod templates by component; those of the brokers and the database that the operator runs are left out."""
    by_component = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]: template
        for template in templates(exchange).values()
    }
    return {name: template for name, template in by_component.items() if name not in ("redpanda", "scylla")}


def environment(template: Manifest) -> Iterator[Manifest]:
    """The variables of a pod's container."""
    yield from container(template).get("env", [])
