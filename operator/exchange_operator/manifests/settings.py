"""The settings file of each component, in a ConfigMap that is named by what it holds and never changes.

Each component has its own, with the sections that it reads and no others: so a change rolls only those whom it is
about. It holds no assets and no symbols; these go to the running exchange through its API.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import yaml

from exchange_operator.manifests import connections
from exchange_operator.manifests.connections import INTERNAL_PORT, SecretFile, Section
from exchange_operator.names import Manifest, fingerprint, manifest, object_name
from exchange_operator.resource import Exchange

FILE: Final = "exchange.yaml"
REST_PORT: Final = 3001
STANDBY: Final = "-standby"
"""A core with this behind its name is a standby."""


class Settings(NamedTuple):
    """What a component reads at its start. files: of Secrets. variables: of the environment."""

    config_map: Manifest
    files: tuple[SecretFile, ...]
    variables: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """Of the ConfigMap."""
        return str(self.config_map["metadata"]["name"])


def settings_of(exchange: Exchange, component: str) -> Settings:
    """The settings of a component. A standby has those of its core."""
    core = component.removesuffix(STANDBY)
    sections = [section(exchange) for section in _SECTIONS[core]]
    merged: dict[str, Any] = {}
    for section in sections:
        for key, members in section.settings.items():
            merged[key] = merged.get(key, {}) | members
    return Settings(
        _config_map(exchange, core, merged),
        tuple(file for section in sections for file in section.files),
        tuple(variable for section in sections for variable in section.variables),
    )


def config_maps(exchange: Exchange) -> tuple[Manifest, ...]:
    """Those of all components that the exchange has."""
    components = [name for name in _SECTIONS if name != "backup" or exchange.spec.backup is not None]
    return tuple(settings_of(exchange, component).config_map for component in components)


def _config_map(exchange: Exchange, component: str, settings: Mapping[str, Any]) -> Manifest:
    text = yaml.safe_dump(dict(settings), width=1000)
    name = f"{object_name(exchange, component)}-config-{fingerprint(text)}"
    return manifest("v1", "ConfigMap", exchange, component, name, immutable=True, data={FILE: text})


def _process(exchange: Exchange) -> Section:
    internal = {"host": "0.0.0.0", "port": INTERNAL_PORT}  # noqa: S104  NetworkPolicies say who gets there
    log = {"level": exchange.spec.observability.log_level}
    return Section({"log": log, "internal": internal} | connections.telemetry(exchange).settings)


def _server(exchange: Exchange) -> Section:
    server = {"host": "0.0.0.0", "port": REST_PORT}  # noqa: S104
    limits = exchange.spec.gateway.rate_limits
    rates = {
        who: {"perSecond": limit.per_second, "burst": limit.burst}
        for who, limit in (("caller", limits.caller), ("anonymous", limits.anonymous))
    }
    return Section({"server": server, "gateway": {"rateLimits": rates}})


def _journal(exchange: Exchange) -> Section:
    return Section({"journal": {"snapshotInterval": exchange.spec.ubscore.snapshot_interval}})


def _topics(exchange: Exchange) -> Section:
    topics = {"replication": connections.replication(exchange), "retention": exchange.spec.redpanda.retention}
    backup = exchange.spec.backup
    # Frames are kept until the next backup but one.
    interval = {} if backup is None else {"backup": {"interval": backup.interval}}
    return Section({"broker": topics} | interval)


def _keyspace(exchange: Exchange) -> Section:
    return Section({"database": {"replicationFactor": connections.replication_factor(exchange)}})


def _backup(exchange: Exchange) -> Section:
    backup = exchange.spec.backup
    assert backup is not None, "who wants no backups needs no settings for them"
    return Section({"backup": {"target": backup.target, "interval": backup.interval, "keep": backup.keep}})


_CORE: Final = (_process, connections.broker, connections.shards, connections.secret_key, _journal)
_PROJECTION: Final = (_process, connections.broker, connections.database, connections.shards)
_SECTIONS: Final[Mapping[str, tuple[Callable[[Exchange], Section], ...]]] = {
    "topics": (connections.broker, connections.shards, _journal, _topics),
    "schema": (connections.database, _keyspace),
    "ubscore": _CORE,
    "matcher": _CORE,
    "settlement": _PROJECTION,
    "order-history": _PROJECTION,
    "gateway": (
        _process,
        _server,
        connections.broker,
        connections.database,
        connections.shards,
        connections.addresses,
        connections.members,
        connections.secret_key,
        connections.credentials,
        connections.issuers,
    ),
    "backup": (
        connections.broker,
        connections.database,
        connections.shards,
        connections.addresses,
        connections.secret_key,
        # To restore is to make topics and tables.
        _journal,
        _topics,
        _keyspace,
        _backup,
    ),
}
