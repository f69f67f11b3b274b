"""What tells Prometheus where the exchange's metrics are, where its operator is installed."""

from typing import Final

from exchange_operator.manifests import cores, gateway, pods, projections
from exchange_operator.names import COMPONENT, INSTANCE, Manifest, manifest, selector
from exchange_operator.resource import Exchange

_COMPONENT: Final = "metrics"
_INTERVAL: Final = "15s"


def service_monitor(exchange: Exchange) -> Manifest:
    """Every process of the exchange, by the Services that lead to them."""
    measured = [
        gateway.COMPONENT,
        *(component for core in cores.CORES for component in cores.components(exchange, core)),
        *projections.PROJECTIONS,
    ]
    spec = {
        "selector": {"matchLabels": selector(exchange), "matchExpressions": [pods.one_of(*measured)]},
        "endpoints": [{"port": pods.INTERNAL, "path": "/metrics", "interval": _INTERVAL}],
        "jobLabel": COMPONENT,
        "targetLabels": [INSTANCE],
    }
    return manifest("monitoring.coreos.com/v1", "ServiceMonitor", exchange, _COMPONENT, spec=spec)
