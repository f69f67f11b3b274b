"""Who may speak with whom. Nothing, but for what is said here; probes of the node's kubelet always come through.

Brokers and databases of somebody else, and what takes traces, are known by name, and policies know addresses only: so
their ports are open to everywhere. Brokers that tell clients other ports than those of `bootstrapServers`, and pods
that answer a Service on another port, want a policy besides ours: policies add up.
"""

from typing import Final

from exchange_operator.manifests import backup, connections, cores, gateway, jobs, pods, projections, redpanda, scylla
from exchange_operator.manifests.connections import INTERNAL_PORT
from exchange_operator.manifests.settings import REST_PORT, STANDBY
from exchange_operator.names import Manifest, manifest, selector
from exchange_operator.resource import Exchange

_CORES: Final = tuple(name for core in cores.CORES for name in (core, f"{core}{STANDBY}"))
_PROCESSES: Final = (gateway.COMPONENT, *_CORES, *projections.PROJECTIONS)
_READERS: Final = (gateway.COMPONENT, backup.COMPONENT)
"""Those who read from the cores."""
_OF_BROKER: Final = (*_PROCESSES, jobs.TOPICS, backup.COMPONENT)
_OF_DATABASE: Final = (gateway.COMPONENT, *projections.PROJECTIONS, jobs.SCHEMA, backup.COMPONENT)
_DNS_PORT: Final = 53


def policies(exchange: Exchange) -> tuple[Manifest, ...]:
    """The NetworkPolicies, when they are wanted."""
    if not exchange.spec.network_policy.enabled:
        return ()
    found = [
        _broker_clients(exchange),
        _database_clients(exchange),
        _cores(exchange),
        _core_readers(exchange),
        _members(exchange),
        _watchers(exchange),
        _metrics(exchange),
        _rest(exchange),
    ]
    if exchange.spec.redpanda.managed is not None:
        found.append(_brokers(exchange))
    if exchange.spec.scylla.managed is not None:
        found.append(_database(exchange))
    if exchange.spec.backup is not None:
        found.append(_backups(exchange))
    if (port := connections.telemetry_port(exchange)) is not None:
        found.append(_policy(exchange, "traces", _PROCESSES, egress=[{"ports": _ports(port)}]))
    # Last, so that to switch policies on denies nothing that the others allow, not for a moment.
    return (*found, _default(exchange))


def _default(exchange: Exchange) -> Manifest:
    """Names of hosts, and nothing else, for every pod of ours."""
    dns = {"ports": [{"protocol": "UDP", "port": _DNS_PORT}, *_ports(_DNS_PORT)]}
    spec = {
        "podSelector": {"matchLabels": selector(exchange)},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [dns],
    }
    return manifest("networking.k8s.io/v1", "NetworkPolicy", exchange, "default", spec=spec)


def _broker_clients(exchange: Exchange) -> Manifest:
    rule: Manifest = {"ports": _ports(*connections.broker_ports(exchange))}
    if exchange.spec.redpanda.managed is not None:
        rule["to"] = _pods(exchange, redpanda.COMPONENT)
    return _policy(exchange, "broker-clients", _OF_BROKER, egress=[rule])


def _brokers(exchange: Exchange) -> Manifest:
    own = (redpanda.COMPONENT,)
    among = _ports(connections.KAFKA_PORT, redpanda.RPC_PORT)
    clients = {"from": _pods(exchange, *_OF_BROKER), "ports": _ports(connections.KAFKA_PORT)}
    ingress = [clients, {"from": _pods(exchange, *own), "ports": among}]
    return _policy(exchange, "redpanda", own, ingress=ingress, egress=[{"to": _pods(exchange, *own), "ports": among}])


def _database_clients(exchange: Exchange) -> Manifest:
    rule: Manifest = {"ports": _ports(connections.database_port(exchange))}
    if exchange.spec.scylla.managed is not None:
        rule["to"] = _pods(exchange, scylla.COMPONENT)
    return _policy(exchange, "database-clients", _OF_DATABASE, egress=[rule])


def _database(exchange: Exchange) -> Manifest:
    own, among = (scylla.COMPONENT,), _ports(scylla.STORAGE_PORT)
    clients = {"from": _pods(exchange, *_OF_DATABASE), "ports": _ports(connections.CQL_PORT)}
    ingress = [clients, {"from": _pods(exchange, *own), "ports": among}]
    return _policy(exchange, "scylla", own, ingress=ingress, egress=[{"to": _pods(exchange, *own), "ports": among}])


def _cores(exchange: Exchange) -> Manifest:
    rule = {"from": _pods(exchange, *_READERS), "ports": _ports(INTERNAL_PORT)}
    return _policy(exchange, "cores", _CORES, ingress=[rule])


def _core_readers(exchange: Exchange) -> Manifest:
    rule = {"to": _pods(exchange, *_CORES), "ports": _ports(INTERNAL_PORT)}
    return _policy(exchange, "core-readers", _READERS, egress=[rule])


def _members(exchange: Exchange) -> Manifest:
    rule = {"from": _pods(exchange, gateway.COMPONENT), "ports": _ports(INTERNAL_PORT)}
    return _policy(exchange, "members", projections.PROJECTIONS, ingress=[rule])


def _watchers(exchange: Exchange) -> Manifest:
    """The gateways show how all processes are."""
    rule = {"to": _pods(exchange, *projections.PROJECTIONS), "ports": _ports(INTERNAL_PORT)}
    return _policy(exchange, "watchers", (gateway.COMPONENT,), egress=[rule])


def _metrics(exchange: Exchange) -> Manifest:
    name = exchange.spec.network_policy.scrape_namespace
    namespace = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    rule = {"from": [namespace], "ports": _ports(INTERNAL_PORT)}
    return _policy(exchange, "metrics", _PROCESSES, ingress=[rule])


def _rest(exchange: Exchange) -> Manifest:
    """Everybody may ask; the gateway says who gets an answer."""
    return _policy(exchange, "rest", (gateway.COMPONENT,), ingress=[{"ports": _ports(REST_PORT)}])


def _backups(exchange: Exchange) -> Manifest:
    """A target may be anywhere, on any port: only its URL, or a Secret, knows."""
    return _policy(exchange, "backup", (backup.COMPONENT,), egress=[{}])


def _policy(exchange: Exchange, name: str, components: tuple[str, ...], **rules: list[Manifest]) -> Manifest:
    """rules: ingress and egress."""
    spec = {
        "podSelector": {"matchLabels": selector(exchange), "matchExpressions": [pods.one_of(*components)]},
        "policyTypes": [direction.capitalize() for direction in rules],
    }
    return manifest("networking.k8s.io/v1", "NetworkPolicy", exchange, name, spec=spec | rules)


def _pods(exchange: Exchange, *components: str) -> list[Manifest]:
    selected = {"matchLabels": selector(exchange), "matchExpressions": [pods.one_of(*components)]}
    return [{"podSelector": selected}]


def _ports(*numbers: int) -> list[Manifest]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
