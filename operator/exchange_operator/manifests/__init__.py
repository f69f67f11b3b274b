"""From an exchange to the objects of Kubernetes that it is made of. Pure: the same exchange, the same objects.

A pod template holds only what the resource asks for and the name of its settings, never anything of the operator's
own: so a newer operator rolls nothing by itself. Whoever changes what a template says makes every exchange roll when
the operator is upgraded; the golden files of the tests show it.

Quantities are canonical ("1", "500m", "1Gi"), as the API server writes them, and what is empty is left out, as it
would not keep it.
"""

from typing import NamedTuple

from exchange_operator.manifests import (
    accounts,
    backup,
    cores,
    gateway,
    jobs,
    monitoring,
    network,
    projections,
    redpanda,
    scylla,
    settings,
)
from exchange_operator.names import Manifest, stamped
from exchange_operator.resource import Exchange


class Capabilities(NamedTuple):
    """What the cluster knows besides Kubernetes' own kinds."""

    service_monitor: bool = False


class Stage(NamedTuple):
    """Workloads or a Job, all of which must be ready before those of the next stage are changed."""

    name: str
    manifests: tuple[Manifest, ...]


class Desired(NamedTuple):
    """All objects of an exchange.

    foundation: what rolls nothing; it is applied first, and always. stages: in the order of a first start, which is
    that of an upgrade too.
    """

    foundation: tuple[Manifest, ...]
    stages: tuple[Stage, ...]


def desired(exchange: Exchange, capabilities: Capabilities) -> Desired:
    """What there should be of an exchange. Each object carries its fingerprint; see `names.stamped`."""
    stages = tuple(Stage(name, tuple(map(stamped, made))) for name, made in _stages(exchange))
    return Desired(tuple(map(stamped, _foundation(exchange, capabilities))), stages)


def _foundation(exchange: Exchange, capabilities: Capabilities) -> tuple[Manifest, ...]:
    spec = exchange.spec
    managed_log = redpanda.surroundings(exchange) if spec.redpanda.managed is not None else ()
    managed_store = scylla.surroundings(exchange, spec.scylla.managed) if spec.scylla.managed is not None else ()
    watched = capabilities.service_monitor and spec.observability.service_monitor
    return (
        accounts.service_account(exchange),
        *settings.config_maps(exchange),
        *network.policies(exchange),
        *managed_log,
        *managed_store,
        *cores.surroundings(exchange),
        *projections.surroundings(exchange),
        *gateway.surroundings(exchange),
        *backup.surroundings(exchange),
        *((monitoring.service_monitor(exchange),) if watched else ()),
    )


def _stages(exchange: Exchange) -> list[tuple[str, tuple[Manifest, ...]]]:
    """A standby is a stage of its own, before that of its core."""
    spec, stages = exchange.spec, []
    if spec.redpanda.managed is not None:
        stages.append(("broker", (redpanda.stateful_set(exchange, spec.redpanda.managed),)))
    if spec.scylla.managed is not None:
        stages.append(("database", (scylla.stateful_set(exchange, spec.scylla.managed),)))
    stages += [("topics", (jobs.apply_topics(exchange),)), ("schema", (jobs.apply_schema(exchange),))]
    for core in cores.CORES:
        stages += [(name, (cores.stateful_set(exchange, name),)) for name in cores.components(exchange, core)]
    stages += [(name, (projections.stateful_set(exchange, name),)) for name in projections.PROJECTIONS]
    return [*stages, (gateway.COMPONENT, (gateway.deployment(exchange),))]
