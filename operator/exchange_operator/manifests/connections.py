"""How the services reach the brokers, the database and each other: settings, and the Secrets that these name.

Nothing secret stands in settings. Passwords and certificates are files of a volume; user names, which the settings
want as text, come as environment variables.
"""

from typing import Any, Final, NamedTuple

from exchange_operator.names import host_name, keys_name, keyspace, object_name, topic_prefix
from exchange_operator.resource import Exchange, Matcher, Tls, Ubscore

Json = dict[str, Any]

SECRETS: Final = "/etc/exchange-secrets"
"""Where the volume of `SecretFile`s is."""
INTERNAL_PORT: Final = 3100
KAFKA_PORT: Final = 9092
CQL_PORT: Final = 9042

_MOST_COPIES: Final = 3
_PORTS: Final = {"http": 80, "https": 443}
"""Of a URL that names none."""


class SecretFile(NamedTuple):
    """A key of a Secret as a file. path: within SECRETS."""

    secret: str
    key: str
    path: str

    @property
    def where(self) -> str:
        """As the settings name it."""
        return f"{SECRETS}/{self.path}"


class Section(NamedTuple):
    """A part of a component's settings. files, variables: what it needs besides; variables as a container has them."""

    settings: Json
    files: tuple[SecretFile, ...] = ()
    variables: tuple[Json, ...] = ()


def broker(exchange: Exchange) -> Section:
    """The brokers, and which topics there are ours."""
    external = exchange.spec.redpanda.external
    prefix = {"topicPrefix": topic_prefix(exchange)} if topic_prefix(exchange) else {}
    if external is None:
        return Section({"broker": {"bootstrapServers": _managed_brokers(exchange)} | prefix})
    settings: Json = {"bootstrapServers": external.bootstrap_servers} | prefix
    tls = _tls(external.tls, "broker")
    if external.sasl is None:
        return Section({"broker": settings | tls.settings}, tls.files)
    secret = external.sasl.secret_ref.name
    password = SecretFile(secret, "password", "broker/password")
    sasl = {"sasl": {"mechanism": external.sasl.mechanism, "passwordFile": password.where}}
    username = _from_secret("EXCHANGE_BROKER__SASL__USERNAME", secret, "username")
    return Section({"broker": settings | tls.settings | sasl}, (*tls.files, password), (username,))


def broker_ports(exchange: Exchange) -> list[int]:
    """On which ports brokers are asked, sorted. Each broker must answer on one of them."""
    external = exchange.spec.redpanda.external
    if external is None:
        return [KAFKA_PORT]
    return sorted({int(server.rpartition(":")[2]) for server in external.bootstrap_servers})


def replication(exchange: Exchange) -> int:
    """Copies of a new topic. Redpanda wants an odd number of them."""
    redpanda = exchange.spec.redpanda
    if redpanda.external is not None:
        return redpanda.external.replication
    return _MOST_COPIES if _managed_broker_count(exchange) >= _MOST_COPIES else 1


def database(exchange: Exchange) -> Section:
    """The database, and which keyspace there is ours."""
    external = exchange.spec.scylla.external
    if external is None:
        hosts = _managed_nodes(exchange)
        return Section({"database": {"contactPoints": hosts, "keyspace": keyspace(exchange)}})
    settings: Json = {
        "contactPoints": external.contact_points,
        "port": external.port,
        "keyspace": keyspace(exchange),
    }
    if external.local_datacenter:
        settings["localDatacenter"] = external.local_datacenter
    tls = _tls(external.tls, "database")
    if external.credentials_secret_ref is None:
        return Section({"database": settings | tls.settings}, tls.files)
    secret = external.credentials_secret_ref.name
    password = SecretFile(secret, "password", "database/password")
    login = {"passwordFile": password.where}
    username = _from_secret("EXCHANGE_DATABASE__USERNAME", secret, "username")
    return Section({"database": settings | tls.settings | login}, (*tls.files, password), (username,))


def database_port(exchange: Exchange) -> int:
    """On which port every node of the database is asked."""
    external = exchange.spec.scylla.external
    return CQL_PORT if external is None else external.port


def replication_factor(exchange: Exchange) -> int:
    """Copies in a new keyspace."""
    scylla = exchange.spec.scylla
    if scylla.external is not None:
        return scylla.external.replication_factor
    return min(_MOST_COPIES, len(_managed_nodes(exchange)))


def telemetry(exchange: Exchange) -> Section:
    """Where traces go. Nothing is said where there are none: then no pod has to start anew for what it does not do."""
    wanted = exchange.spec.observability
    if not wanted.otlp_endpoint:
        return Section({})
    said = {
        "otlpEndpoint": _otlp_url(wanted.otlp_endpoint),
        "otlpProtocol": wanted.otlp_protocol,
        "traceSampleRatio": wanted.trace_sample_ratio,
    }
    return Section({"telemetry": said})


def telemetry_port(exchange: Exchange) -> int | None:
    """On which port traces are taken; None when there are none."""
    endpoint = exchange.spec.observability.otlp_endpoint
    if not endpoint:
        return None
    scheme, _, rest = _otlp_url(endpoint).partition("://")
    port = rest.rstrip("/").partition(":")[2]
    return int(port) if port else _PORTS[scheme]


def _otlp_url(endpoint: str) -> str:
    return endpoint if "://" in endpoint else f"http://{endpoint}"


def secret_key(exchange: Exchange) -> Section:
    """The secret that all processes of the exchange share."""
    file = SecretFile(keys_name(exchange), "secret.key", "keys/secret.key")
    return Section({"auth": {"secretKeyFile": file.where}}, (file,))


def credentials(exchange: Exchange) -> Section:
    """The first API keys."""
    file = SecretFile(keys_name(exchange), "credentials.json", "keys/credentials.json")
    return Section({"auth": {"credentialsFile": file.where}}, (file,))


def issuers(exchange: Exchange) -> Section:
    """Others whose tokens are taken."""
    entries, files = [], []
    for index, issuer in enumerate(exchange.spec.gateway.issuers):
        reference = issuer.public_key_secret_ref
        file = SecretFile(reference.name, reference.key, f"issuers/{index}.pem")
        entry = {"issuer": issuer.issuer, "algorithm": issuer.algorithm, "publicKeyFile": file.where}
        entries.append(entry | ({"audience": issuer.audience} if issuer.audience else {}))
        files.append(file)
    return Section({"auth": {"issuers": entries}} if entries else {}, tuple(files))


def shards(exchange: Exchange) -> Section:
    """How many shards each core has."""
    spec = exchange.spec
    return Section({"ubscore": {"shards": spec.ubscore.shards}, "matcher": {"shards": spec.matcher.shards}})


def addresses(exchange: Exchange) -> Section:
    """Where the cores answer reads: by shard, the active one and its standby."""
    cores: dict[str, Ubscore | Matcher] = {"ubscore": exchange.spec.ubscore, "matcher": exchange.spec.matcher}
    return Section(
        {
            name: {"addresses": [_core_urls(exchange, name, shard, core.standby) for shard in range(core.shards)]}
            for name, core in cores.items()
        }
    )


def members(exchange: Exchange) -> Section:
    """Where every member of settlement and of order history says how it is."""
    spec = exchange.spec
    replicas = {"settlement": spec.settlement.replicas, "order-history": spec.order_history.replicas}
    urls = {name: [_url(exchange, name, member) for member in range(count)] for name, count in replicas.items()}
    return Section(
        {"settlement": {"addresses": urls["settlement"]}, "orderHistory": {"addresses": urls["order-history"]}}
    )


def managed_node(exchange: Exchange, index: str) -> str:
    """By which name clients know a node of a managed database. index: a number, or what stands for it."""
    return host_name(exchange, f"{object_name(exchange, 'scylla')}-{index}")


def _core_urls(exchange: Exchange, core: str, shard: int, standby: bool) -> list[str]:
    names = [core, f"{core}-standby"] if standby else [core]
    return [_url(exchange, name, shard) for name in names]


def _url(exchange: Exchange, component: str, pod: int) -> str:
    return f"http://{host_name(exchange, object_name(exchange, component), pod)}:{INTERNAL_PORT}"


def _managed_broker_count(exchange: Exchange) -> int:
    managed = exchange.spec.redpanda.managed
    return 1 if managed is None else managed.replicas


def _managed_brokers(exchange: Exchange) -> list[str]:
    name = object_name(exchange, "redpanda")
    return [f"{host_name(exchange, name, index)}:{KAFKA_PORT}" for index in range(_managed_broker_count(exchange))]


def _managed_nodes(exchange: Exchange) -> list[str]:
    managed = exchange.spec.scylla.managed
    return [managed_node(exchange, str(index)) for index in range(1 if managed is None else managed.replicas)]


def _tls(tls: Tls | None, folder: str) -> Section:
    """The settings are those of a `tls` key beside others."""
    if tls is None or not tls.enabled:
        return Section({})
    settings: Json = {"enabled": True}
    files: list[SecretFile] = []
    if tls.ca_secret_ref is not None:
        files.append(SecretFile(tls.ca_secret_ref.name, tls.ca_secret_ref.key, f"{folder}/ca.crt"))
        settings["caFile"] = files[-1].where
    if tls.client_secret_ref is not None:
        own = [SecretFile(tls.client_secret_ref.name, key, f"{folder}/{key}") for key in ("tls.crt", "tls.key")]
        settings |= {"certFile": own[0].where, "keyFile": own[1].where}
        files += own
    return Section({"tls": settings}, tuple(files))


def _from_secret(variable: str, secret: str, key: str) -> Json:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
