"""The `Exchange` resource: what a person may ask for. The CRD is made from these types; see `crd`.

Bounds stand here alone. What no single field can say (one of two, never changes, only grows) is a rule of CEL beside
the type that it is about, with the sentence that `kubectl apply` answers.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

GROUP: Final = "trading.exchange"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "Exchange"
PLURAL: Final = "exchanges"

_MAX_SYMBOLS: Final = 500
_MAX_ASSETS: Final = 200
_MAX_SHARDS: Final = 64

Json = dict[str, Any]


def _rules(*rules: tuple[str, str]) -> Json:
    """CEL rules, each with the sentence for when it does not hold."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def _constant(what: str, instead: str) -> Json:
    return _rules(("self == oldSelf", f"{what} cannot change: {instead}"))


# Single values

Text = Annotated[str, Meta(min_length=1, max_length=253)]
Host = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", max_length=253)]
HostPort = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$", max_length=259)]
ObjectName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
"""Of another object of the cluster."""
AssetName = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,16}$", max_length=16)]
SymbolName = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,16}_[A-Z0-9]{1,16}$", max_length=33)]
Amount = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,18})?$", max_length=37)]
Rate = Annotated[str, Meta(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$", max_length=8)]
"""A share of one, to six decimals."""
Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$", max_length=12)]
Retention = Annotated[str, Meta(pattern=r"^([1-9][0-9]{0,8}(ms|s|m|h|d)|forever)$", max_length=12)]
Quantity = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$", max_length=20)]
Storage = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$",
        max_length=12,
        description="Size of each volume. It can only grow.",
        extra_json_schema=_rules(
            (
                "quantity(self).compareTo(quantity(oldSelf)) >= 0",
                "storage can only grow: a volume cannot be made smaller; set it to at least what it was",
            )
        ),
    ),
]
StorageClass = Annotated[
    str,
    Meta(
        max_length=253,
        description="Class of the volumes; the cluster's default without.",
        extra_json_schema=_constant(
            "storageClassName", "a volume stays where it is; restore a backup into a new Exchange to move"
        ),
    ),
]
Shards = Annotated[
    int,
    Meta(
        ge=1,
        le=_MAX_SHARDS,
        description="Number of shards, each one process with a volume of its own. It can never change.",
        extra_json_schema=_constant(
            "shards", "users and symbols belong to their shard for ever; set it to what it was"
        ),
    ),
]
Keyspace = Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,47})?$", max_length=48)]
TopicPrefix = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]*$", max_length=150)]
Status = Literal["Trading", "Halted", "CancelOnly"]
Interval = Literal["15m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the resource. Fields that are not known are left to the API server, which prunes them."""


# What everything has


class Image(_Part, frozen=True):
    """Which program runs."""

    repository: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$",
            max_length=255,
            description="Where the image of all services comes from, without its tag.",
        ),
    ]
    tag: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$",
            max_length=128,
            description="Version of the exchange. Change it to upgrade, one component after the other.",
        ),
    ]
    pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], Meta(description="When a node fetches the image.")
    ] = "IfNotPresent"
    pull_secrets: Annotated[
        list[ObjectName], Meta(max_length=10, description="Secrets of this namespace with the registry's credentials.")
    ] = []

    @property
    def name(self) -> str:
        """As a container wants it."""
        return f"{self.repository}:{self.tag}"


class Amounts(_Part, frozen=True):
    """Of a machine."""

    cpu: Annotated[Quantity | None, Meta(description="Cores, such as 500m or 2.")] = None
    memory: Annotated[Quantity | None, Meta(description="Bytes, such as 512Mi or 2Gi.")] = None


class Resources(_Part, frozen=True):
    """What each pod of a component asks for, and what it gets at most. Without: the operator's defaults."""

    requests: Annotated[Amounts, Meta(description="What a node must have free.")] = Amounts()
    limits: Annotated[Amounts, Meta(description="What a pod cannot go beyond.")] = Amounts()


class Toleration(_Part, frozen=True):
    """As of a pod."""

    key: Annotated[str, Meta(max_length=317, description="Of the taint; every taint without.")] = ""
    operator: Annotated[Literal["Exists", "Equal"], Meta(description="How the value is compared.")] = "Equal"
    value: Annotated[str, Meta(max_length=63, description="Of the taint.")] = ""
    effect: Annotated[
        Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"], Meta(description="Of the taint; all without.")
    ] = ""


class Scheduling(_Part, frozen=True):
    """Where pods run."""

    node_selector: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(max_length=20, description="Labels that a node must have."),
    ] = {}
    tolerations: Annotated[list[Toleration], Meta(max_length=20, description="Taints that do not matter.")] = []
    priority_class_name: Annotated[str, Meta(max_length=253, description="Priority of all pods.")] = ""


class SecretKey(_Part, frozen=True):
    """One value of a Secret of this namespace."""

    name: Annotated[ObjectName, Meta(description="Of the Secret.")]
    key: Annotated[Text, Meta(description="In the Secret.")]


class SecretName(_Part, frozen=True):
    """A Secret of this namespace."""

    name: Annotated[ObjectName, Meta(description="Of the Secret.")]


class Tls(_Part, frozen=True):
    """Encrypted connections."""

    enabled: Annotated[bool, Meta(description="Whether to speak TLS.")] = True
    ca_secret_ref: Annotated[
        SecretKey | None, Meta(description="Who signed the server's certificate, PEM; who the system trusts without.")
    ] = None
    client_secret_ref: Annotated[
        SecretName | None,
        Meta(description="Our own certificate, where one is asked for: a Secret of type kubernetes.io/tls."),
    ] = None


# What is traded


class Asset(_Part, frozen=True):
    """Something that has balances."""

    name: Annotated[AssetName, Meta(description="Such as BTC.")]
    scale: Annotated[
        int,
        Meta(ge=0, le=12, description="Decimals of the smallest unit. It can never change."),
    ]


class Symbol(_Part, frozen=True):
    """Two assets that are traded for each other. Changes take effect within seconds, without a restart."""

    name: Annotated[SymbolName, Meta(description="BASE_QUOTE.")]
    base: Annotated[AssetName, Meta(description="What is bought and sold; one of spec.assets.")]
    quote: Annotated[AssetName, Meta(description="What is paid with; one of spec.assets.")]
    tick_size: Annotated[Amount, Meta(description="Step of prices, in quote. It can never change.")]
    lot_size: Annotated[Amount, Meta(description="Step of quantities, in base. It can never change.")]
    min_notional: Annotated[Amount, Meta(description="Smallest price × quantity of an order, in quote.")]
    maker_fee: Annotated[Rate, Meta(description="Share of what the resting order's side receives.")]
    taker_fee: Annotated[Rate, Meta(description="Share of what the incoming order's side receives.")]
    band: Annotated[
        Rate, Meta(description="How far a price may be from the last trade's, as a share of it; 0: any price.")
    ] = "0"
    matcher_shard: Annotated[
        int, Meta(ge=0, le=_MAX_SHARDS - 1, description="Which matcher has its book. It can never change.")
    ] = 0
    status: Annotated[
        Status, Meta(description="Trading; CancelOnly: orders can be cancelled and none placed; Halted: neither.")
    ] = "Trading"


# The broker


class Sasl(_Part, frozen=True):
    """Who we are to the broker."""

    mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="How it is proven.")]
    secret_ref: Annotated[SecretName, Meta(description="A Secret with the keys username and password.")]


class ExternalRedpanda(_Part, frozen=True):
    """Brokers that somebody else runs: Redpanda, or what else speaks the Kafka protocol."""

    bootstrap_servers: Annotated[
        list[HostPort],
        Meta(min_length=1, max_length=20, description="host:port, any of which tells of all the others."),
    ]
    replication: Annotated[int, Meta(ge=1, le=9, description="Copies of every new topic.")] = 3
    tls: Annotated[Tls | None, Meta(description="Encryption; none without.")] = None
    sasl: Annotated[Sasl | None, Meta(description="Login; none without.")] = None


class ManagedRedpanda(_Part, frozen=True):
    """Brokers that the operator runs: small ones, for development."""

    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=9,
            description="Brokers. It can never change.",
            extra_json_schema=_constant("replicas of managed brokers", "use external brokers to grow"),
        ),
    ] = 1
    storage: Storage = "20Gi"
    storage_class_name: StorageClass = ""
    image: Annotated[Text, Meta(description="Of Redpanda.")] = "docker.io/redpandadata/redpanda:v24.3.9"
    resources: Annotated[Resources, Meta(description="Of each broker.")] = Resources()


_ONE_OF: Final = (
    "has(self.external) != has(self.managed)",
    "wants exactly one of external (somebody else runs it) and managed (the operator runs it)",
)
_SAME_KIND: Final = (
    "has(self.external) == has(oldSelf.external)",
    "cannot change between external and managed: the data is in the other one; restore a backup into a new Exchange",
)


class Redpanda(_Part, frozen=True):
    """The log."""

    external: Annotated[ExternalRedpanda | None, Meta(description="Brokers that somebody else runs.")] = None
    managed: Annotated[ManagedRedpanda | None, Meta(description="Brokers that the operator runs.")] = None
    topic_prefix: Annotated[
        TopicPrefix | None,
        Meta(
            description="In front of every topic's name; NAMESPACE.NAME. without. It can never change.",
            extra_json_schema=_constant("topicPrefix", "the frames are in the old topics; set it to what it was"),
        ),
    ] = None
    retention: Annotated[
        Retention, Meta(description="How long frames are kept at least; longer when snapshots or backups need them.")
    ] = "7d"


# The database


class ExternalScylla(_Part, frozen=True):
    """A database that somebody else runs: ScyllaDB, or what else speaks CQL."""

    contact_points: Annotated[
        list[Host], Meta(min_length=1, max_length=20, description="Hosts, any of which tells of all the others.")
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="Of CQL.")] = 9042
    local_datacenter: Annotated[
        str, Meta(max_length=128, description="Whose nodes are asked; the first's without.")
    ] = ""
    replication_factor: Annotated[int, Meta(ge=1, le=9, description="Copies in a new keyspace.")] = 3
    keyspace: Annotated[
        Keyspace,
        Meta(
            description="Where the tables are; NAMESPACE_NAME without. It can never change.",
            extra_json_schema=_constant("keyspace", "the tables are in the old one; set it to what it was"),
        ),
    ] = ""
    credentials_secret_ref: Annotated[
        SecretName | None, Meta(description="A Secret with the keys username and password; no login without.")
    ] = None
    tls: Annotated[Tls | None, Meta(description="Encryption; none without.")] = None


class ManagedScylla(_Part, frozen=True):
    """A database that the operator runs: a small one, for development."""

    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=9,
            description="Nodes. It can never change.",
            extra_json_schema=_constant("replicas of a managed database", "use an external database to grow"),
        ),
    ] = 1
    storage: Storage = "50Gi"
    storage_class_name: StorageClass = ""
    image: Annotated[Text, Meta(description="Of ScyllaDB.")] = "docker.io/scylladb/scylla:6.2.3"
    resources: Annotated[Resources, Meta(description="Of each node.")] = Resources()


class Scylla(_Part, frozen=True):
    """The store."""

    external: Annotated[ExternalScylla | None, Meta(description="A database that somebody else runs.")] = None
    managed: Annotated[ManagedScylla | None, Meta(description="A database that the operator runs.")] = None


# The services


class Autoscaling(_Part, frozen=True):
    """Gateways by load, instead of `replicas`."""

    min_replicas: Annotated[int, Meta(ge=1, le=100, description="Never fewer.")] = 2
    max_replicas: Annotated[int, Meta(ge=1, le=100, description="Never more.")] = 10
    target_cpu_percent: Annotated[int, Meta(ge=10, le=100, description="Of what a gateway asks for.")] = 70


class Ingress(_Part, frozen=True):
    """The REST API from outside."""

    host: Annotated[Host, Meta(description="Name by which it is reached.")]
    class_name: Annotated[str, Meta(max_length=253, description="Of the ingress controller; the default without.")] = ""
    tls_secret_name: Annotated[str, Meta(max_length=253, description="Certificate of the host; no TLS without.")] = ""
    annotations: Annotated[
        dict[str, Annotated[str, Meta(max_length=4096)]], Meta(max_length=50, description="For the controller.")
    ] = {}


class RateLimit(_Part, frozen=True):
    """A token bucket."""

    per_second: Annotated[int, Meta(ge=1, le=1_000_000, description="Requests in the long run.")]
    burst: Annotated[int, Meta(ge=1, le=1_000_000, description="Requests at once.")]


class RateLimits(_Part, frozen=True):
    """Of each gateway."""

    caller: Annotated[RateLimit, Meta(description="Of each user.")] = RateLimit(per_second=10_000, burst=20_000)
    anonymous: Annotated[RateLimit, Meta(description="Of each address without credentials.")] = RateLimit(
        per_second=1_000, burst=5_000
    )


class Issuer(_Part, frozen=True):
    """Somebody else whose signed tokens are taken."""

    issuer: Annotated[Text, Meta(description="`iss` of the tokens.")]
    algorithm: Annotated[Literal["RS256", "EdDSA"], Meta(description="How they are signed.")]
    public_key_secret_ref: Annotated[SecretKey, Meta(description="The public key, PEM.")]
    audience: Annotated[str, Meta(max_length=253, description="`aud` of the tokens; any without.")] = ""


class Gateway(_Part, frozen=True):
    """The REST and WebSocket API."""

    replicas: Annotated[int, Meta(ge=1, le=100, description="Gateways; autoscaling wins over it.")] = 2
    autoscaling: Annotated[Autoscaling | None, Meta(description="By load; a fixed number without.")] = None
    ingress: Annotated[Ingress | None, Meta(description="From outside; none without.")] = None
    rate_limits: Annotated[RateLimits, Meta(description="How often one may ask.")] = RateLimits()
    issuers: Annotated[list[Issuer], Meta(max_length=20, description="Others whose tokens are taken.")] = []
    resources: Annotated[Resources, Meta(description="Of each gateway.")] = Resources()


class Ubscore(_Part, frozen=True):
    """The only authority on balances."""

    shards: Shards = 1
    standby: Annotated[bool, Meta(description="A second process a shard, which takes over within seconds.")] = False
    storage: Storage = "10Gi"
    storage_class_name: StorageClass = ""
    snapshot_interval: Annotated[Duration, Meta(description="From one snapshot to the next.")] = "60s"
    resources: Annotated[Resources, Meta(description="Of each shard.")] = Resources()


class Matcher(_Part, frozen=True):
    """The books."""

    shards: Shards = 1
    standby: Annotated[bool, Meta(description="A second process a shard, which takes over within seconds.")] = False
    storage: Storage = "5Gi"
    storage_class_name: StorageClass = ""
    resources: Annotated[Resources, Meta(description="Of each shard.")] = Resources()


class Projection(_Part, frozen=True):
    """Settlement, or order history: writes into the database."""

    replicas: Annotated[int, Meta(ge=1, le=64, description="Members, which share the shards.")] = 1
    resources: Annotated[Resources, Meta(description="Of each member.")] = Resources()


class Observability(_Part, frozen=True):
    """How it can be seen."""

    service_monitor: Annotated[
        bool, Meta(description="A ServiceMonitor for Prometheus, where the cluster knows that kind.")
    ] = True
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Of the JSON logs.")] = "info"


class NetworkPolicySpec(_Part, frozen=True):
    """Who may speak with whom."""

    enabled: Annotated[bool, Meta(description="Deny what the exchange does not need.")] = True
    scrape_namespace: Annotated[ObjectName, Meta(description="Namespace from which metrics may be read.")] = (
        "monitoring"
    )


class Backup(_Part, frozen=True):
    """Backups while it runs."""

    target: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9+.-]*://.+",
            max_length=1024,
            description="A URL that fsspec knows, such as s3://bucket/exchange.",
        ),
    ]
    interval: Annotated[Interval, Meta(description="From one to the next.")] = "1h"
    keep: Annotated[int, Meta(ge=1, le=10_000, description="How many are kept.")] = 24
    credentials_secret_ref: Annotated[
        SecretName | None,
        Meta(description="A Secret whose keys become environment, such as AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL."),
    ] = None
    suspend: Annotated[bool, Meta(description="Make none for now.")] = False


class Spec(_Part, frozen=True, kw_only=True):
    """What is asked for."""

    image: Annotated[Image, Meta(description="Which program runs.")]
    assets: Annotated[
        list[Asset],
        Meta(
            min_length=1,
            max_length=_MAX_ASSETS,
            description="What has balances. One that is taken out stays known to the exchange.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    symbols: Annotated[
        list[Symbol],
        Meta(
            max_length=_MAX_SYMBOLS,
            description="What is traded. One that is taken out is halted, and stays known to the exchange.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    redpanda: Annotated[Redpanda, Meta(description="The log.", extra_json_schema=_rules(_ONE_OF, _SAME_KIND))]
    scylla: Annotated[Scylla, Meta(description="The store.", extra_json_schema=_rules(_ONE_OF, _SAME_KIND))]
    gateway: Annotated[Gateway, Meta(description="The REST and WebSocket API.")] = Gateway()
    ubscore: Annotated[Ubscore, Meta(description="The only authority on balances.")] = Ubscore()
    matcher: Annotated[Matcher, Meta(description="The books.")] = Matcher()
    settlement: Annotated[Projection, Meta(description="Writes trades and balances into the database.")] = Projection()
    order_history: Annotated[Projection, Meta(description="Writes orders into the database.")] = Projection()
    observability: Annotated[Observability, Meta(description="How it can be seen.")] = Observability()
    network_policy: Annotated[NetworkPolicySpec, Meta(description="Who may speak with whom.")] = NetworkPolicySpec()
    backup: Annotated[Backup | None, Meta(description="Backups while it runs; none without.")] = None
    scheduling: Annotated[Scheduling, Meta(description="Where pods run.")] = Scheduling()
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Meta(description="Whether volumes, topics, keyspace and keys outlive the Exchange."),
    ] = "Retain"
    paused: Annotated[bool, Meta(description="Change nothing for now. Deletion goes on.")] = False


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One resource, as read from the cluster."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Spec
    annotations: Mapping[str, str] = {}

    @property
    def paused(self) -> bool:
        """Whether nothing is to be changed."""
        return self.spec.paused or self.annotations.get(f"{GROUP}/paused") == "true"


def parse(body: Mapping[str, Any]) -> Exchange:
    """A resource as the API server gives it.

    Raises msgspec.ValidationError, whose text names the field, when the API server did not check it by our CRD.
    """
    metadata = body["metadata"]
    return Exchange(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=msgspec.convert(body.get("spec", {}), Spec),
        annotations=metadata.get("annotations", {}),
    )
