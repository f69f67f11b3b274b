"""Who the pods are to the cluster: an account of their own, which may do nothing there."""

from exchange_operator.names import Manifest, manifest
from exchange_operator.resource import Exchange


def service_account(exchange: Exchange) -> Manifest:
    """Of all pods of the exchange. They get no token."""
    return manifest("v1", "ServiceAccount", exchange, "exchange", automountServiceAccountToken=False)
