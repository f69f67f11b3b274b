"""Settlement and order history: members of a group, which share the shards and keep nothing outside of the database.

Each is a StatefulSet without volumes: a member's number must be its own, and a StatefulSet never has two pods of one.
"""

from typing import Final

from exchange_operator.manifests import pods, workloads
from exchange_operator.manifests.connections import INTERNAL_PORT
from exchange_operator.manifests.quantities import resources
from exchange_operator.manifests.settings import settings_of
from exchange_operator.names import Manifest
from exchange_operator.resource import Exchange

SETTLEMENT: Final = "settlement"
ORDER_HISTORY: Final = "order-history"
PROJECTIONS: Final = (SETTLEMENT, ORDER_HISTORY)


def stateful_set(exchange: Exchange, component: str) -> Manifest:
    """The members of one projection."""
    spec, settings = exchange.spec, settings_of(exchange, component)
    projection = spec.settlement if component == SETTLEMENT else spec.order_history
    asked = resources(projection.resources, cpu="100m", memory="256Mi")
    container = pods.service(pods.program(exchange, component, [component], settings, asked))
    container["env"].append(pods.MEMBER)
    spread = pods.spread(exchange, component)
    template = pods.template(exchange, component, container, pods.volumes(settings), topologySpreadConstraints=spread)
    return workloads.stateful_set(exchange, component, projection.replicas, template)


def surroundings(exchange: Exchange) -> tuple[Manifest, ...]:
    """A headless Service and a PodDisruptionBudget of each."""
    found = []
    for component in PROJECTIONS:
        found.append(workloads.headless(exchange, component, internal=INTERNAL_PORT))
        found.append(workloads.disruption_budget(exchange, component))
    return tuple(found)
