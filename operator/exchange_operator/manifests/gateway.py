"""The gateways: a Deployment, what leads to it, and what keeps enough of them."""

from typing import Final

from exchange_operator.manifests import pods, workloads
from exchange_operator.manifests.connections import INTERNAL_PORT
from exchange_operator.manifests.quantities import resources
from exchange_operator.manifests.settings import REST_PORT, settings_of
from exchange_operator.names import Manifest, manifest, object_name, selector
from exchange_operator.resource import Exchange

COMPONENT: Final = "gateway"
HTTP: Final = "http"
_DRAIN_SECONDS: Final = 5
"""Until no node and no controller sends a pod that ends another request."""


def deployment(exchange: Exchange) -> Manifest:
    """A new gateway is ready before an old one ends. The number is the autoscaler's, when there is one."""
    gateway, settings = exchange.spec.gateway, settings_of(exchange, COMPONENT)
    asked = resources(gateway.resources, cpu="250m", memory="256Mi")
    container = pods.service(pods.program(exchange, COMPONENT, [COMPONENT], settings, asked))
    container["ports"].append({"name": HTTP, "containerPort": REST_PORT})
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": _DRAIN_SECONDS}}}
    spread = pods.spread(exchange, COMPONENT)
    template = pods.template(exchange, COMPONENT, container, pods.volumes(settings), topologySpreadConstraints=spread)
    spec = {
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": selector(exchange, COMPONENT)},
        "template": template,
    }
    if gateway.autoscaling is None:
        spec["replicas"] = gateway.replicas
    return manifest("apps/v1", "Deployment", exchange, COMPONENT, spec=spec)


def surroundings(exchange: Exchange) -> tuple[Manifest, ...]:
    """Service, PodDisruptionBudget, and, where they are asked for, HorizontalPodAutoscaler and Ingress."""
    gateway = exchange.spec.gateway
    ports = {HTTP: REST_PORT, pods.INTERNAL: INTERNAL_PORT}
    found = [workloads.service(exchange, COMPONENT, ports), workloads.disruption_budget(exchange, COMPONENT)]
    if gateway.autoscaling is not None:
        found.append(_autoscaler(exchange))
    if gateway.ingress is not None:
        found.append(_ingress(exchange))
    return tuple(found)


def _autoscaler(exchange: Exchange) -> Manifest:
    autoscaling = exchange.spec.gateway.autoscaling
    assert autoscaling is not None
    target = {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_percent}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(exchange, COMPONENT)},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return manifest("autoscaling/v2", "HorizontalPodAutoscaler", exchange, COMPONENT, spec=spec)


def _ingress(exchange: Exchange) -> Manifest:
    ingress = exchange.spec.gateway.ingress
    assert ingress is not None
    backend = {"service": {"name": object_name(exchange, COMPONENT), "port": {"name": HTTP}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec: Manifest = {"rules": [{"host": ingress.host, "http": {"paths": [path]}}]}
    if ingress.class_name:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_name:
        spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret_name}]
    made = manifest("networking.k8s.io/v1", "Ingress", exchange, COMPONENT, spec=spec)
    if ingress.annotations:
        made["metadata"]["annotations"] = dict(ingress.annotations)
    return made
