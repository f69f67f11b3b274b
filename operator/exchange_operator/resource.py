"""The `Exchange` resource: what a person may ask for. The CRD is made from these types; see `crd`.

Bounds and descriptions stand here alone. What no bound can say (one of two, never changes, only grows) is a rule of
CEL, with the sentence that `kubectl apply` answers: in the metadata of a single value, or in the `RULES` of a part.
A text's pattern is such a rule too, as a person reads "such as 512Mi" faster than a regular expression.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

GROUP: Final = "trading.exchange"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "Exchange"
PLURAL: Final = "exchanges"

_MAX_SYMBOLS: Final = 500
_MAX_ASSETS: Final = 100
_MAX_SHARDS: Final = 64

Json = dict[str, Any]


class Rule(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An expression of CEL that must hold, and the sentence for when it does not."""

    rule: str
    message: str
    field_path: str = ""
    """Which field the sentence is about, such as `.name`; the one that has the rule without."""
    reason: str = ""
    message_expression: str = ""
    """CEL that makes a better sentence; `message` stands in when it cannot."""


def _rules(*rules: Rule) -> Json:
    return {"x-kubernetes-validations": msgspec.to_builtins(rules)}


def _matching(pattern: str, max_length: int, wants: str) -> Meta:
    """A text that must match. wants: the sentence for when it does not."""
    return Meta(
        pattern=pattern, max_length=max_length, extra_json_schema=_rules(Rule(f"self.matches(r'{pattern}')", wants))
    )


def _unchanged(what: str, instead: str) -> Rule:
    return Rule("self == oldSelf", f"{what} cannot change: {instead}", reason="FieldValueForbidden")


def _constant(what: str, instead: str) -> Json:
    return _rules(_unchanged(what, instead))


def _map_by(key: str) -> Json:
    """A list whose items have that key, each once."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


# Single values

Text = Annotated[str, Meta(min_length=1, max_length=253)]
Host = Annotated[
    str,
    _matching(
        r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        253,
        "must be a host name or an IPv4 address, without scheme and port, such as scylla-0.scylla",
    ),
]
HostPort = Annotated[
    str,
    _matching(
        r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$",
        259,
        "must be host:port without a scheme, such as redpanda-0.redpanda:9092",
    ),
]
ObjectName = Annotated[
    str,
    _matching(
        r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        253,
        "must be the name of an object of the cluster: lower case letters, digits, '-' and '.'",
    ),
]
AssetName = Annotated[str, _matching(r"^[A-Z0-9]{1,16}$", 16, "must be 1 to 16 of A-Z and 0-9, such as BTC")]
SymbolName = Annotated[
    str,
    _matching(
        r"^[A-Z0-9]{1,16}_[A-Z0-9]{1,16}$",
        33,
        "must be the names of two assets with a '_' between them, such as BTC_USDT",
    ),
]
Amount = Annotated[
    str, _matching(r"^[0-9]{1,18}(\.[0-9]{1,18})?$", 37, 'must be a plain decimal number in quotes, such as "0.01"')
]
Step = Annotated[
    Amount,
    Meta(extra_json_schema=_rules(Rule("self.matches('[1-9]')", 'must be above 0, such as "0.01"'))),
]
Rate = Annotated[
    str,
    _matching(
        r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$",
        8,
        'must be a share from 0 to 1 in quotes, with at most 6 decimals, such as "0.05" for 5 %',
    ),
]
Fee = Annotated[
    str,
    _matching(
        r"^0(\.(0[0-9]{0,5}|10{0,5}))?$",
        8,
        'must be a share from 0 to 0.1 (10 %) in quotes, with at most 6 decimals, such as "0.001" for 0.1 %',
    ),
]
Duration = Annotated[
    str,
    _matching(
        r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$", 12, "must be a number with one of ms, s, m, h and d, such as 60s or 15m"
    ),
]
Retention = Annotated[
    str,
    _matching(
        r"^([1-9][0-9]{0,8}(ms|s|m|h|d)|forever)$",
        12,
        "must be forever, or a number with one of ms, s, m, h and d, such as 7d",
    ),
]
Cpu = Annotated[
    str,
    _matching(r"^([0-9]{1,6}(\.[0-9]{1,3})?|[1-9][0-9]{0,8}m)$", 12, "must be in cores, such as 2 or 500m, in quotes"),
]
Memory = Annotated[
    str,
    _matching(
        r"^[1-9][0-9]{0,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$",
        18,
        "must be in bytes, such as 512Mi or 2Gi (512m would be half a byte)",
    ),
]
_STORAGE_GROWS: Final = Rule(
    "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
    "storage can only grow, as no volume can be made smaller: set it to at least what it was",
    reason="FieldValueForbidden",
)
Storage = Annotated[
    str,
    _matching(r"^[1-9][0-9]{0,9}(Mi|Gi|Ti)$", 12, "must be a size with one of Mi, Gi and Ti, such as 20Gi"),
    Meta(
        description="Size of each volume. It can only grow, and its storage class must allow that.",
        extra_json_schema=_rules(_STORAGE_GROWS),
    ),
]
StorageClass = Annotated[
    str,
    Meta(
        max_length=253,
        description="StorageClass of the volumes; the cluster's default one when empty. It can never change.",
        extra_json_schema=_constant(
            "storageClassName",
            "a volume stays where it is; set it to what it was, or restore a backup into a new Exchange",
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
Keyspace = Annotated[
    str,
    _matching(r"^([a-z][a-z0-9_]{0,47})?$", 48, "must be a letter and up to 47 of a-z, 0-9 and '_', such as trading"),
]
TopicPrefix = Annotated[
    str, _matching(r"^[A-Za-z0-9._-]*$", 150, "must be of letters, digits, '.', '_' and '-', such as trading.")
]
Status = Literal["Trading", "Halted", "CancelOnly"]
Interval = Literal["15m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"]


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the resource. Fields that are not known are left to the API server, which refuses or prunes them."""

    RULES: ClassVar[tuple[Rule, ...]] = ()
    """What must hold between its fields."""


# What everything has


class Image(Part, frozen=True):
    """Which program runs: one image for all services."""

    repository: Annotated[
        str,
        _matching(
            r"^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$",
            255,
            "must be an image's name without its tag, such as registry.example.com/exchange-platform",
        ),
        Meta(description="Where the image comes from, without its tag."),
    ]
    tag: Annotated[
        str,
        _matching(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", 128, "must be an image's tag, such as 0.1.0"),
        Meta(description="Version of the exchange. Change it to upgrade, one component after the other."),
    ]
    pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], Meta(description="When a node fetches the image.")
    ] = "IfNotPresent"
    pull_secrets: Annotated[
        list[ObjectName],
        Meta(max_length=10, description="Secrets of this namespace with the credentials of the image's registry."),
    ] = []

    @property
    def name(self) -> str:
        """As a container wants it."""
        return f"{self.repository}:{self.tag}"


class Amounts(Part, frozen=True):
    """Processor time and memory."""

    cpu: Annotated[Cpu | None, Meta(description="Cores, such as 500m or 2.")] = None
    memory: Annotated[Memory | None, Meta(description="Bytes, such as 512Mi or 2Gi.")] = None


def _within_limit(what: str) -> Rule:
    asked, most = f"self.requests.{what}", f"self.limits.{what}"
    return Rule(
        f"!has(self.requests) || !has({asked}) || !has(self.limits) || !has({most}) || !isQuantity({asked})"
        f" || !isQuantity({most}) || quantity({asked}).compareTo(quantity({most})) <= 0",
        f"requests.{what} is above limits.{what}: lower the request or raise the limit",
        field_path=f".requests.{what}",
    )


class Resources(Part, frozen=True):
    """What each pod asks for, and what it gets at most. What is not given has the operator's default."""

    RULES = (_within_limit("cpu"), _within_limit("memory"))

    requests: Annotated[Amounts, Meta(description="What a node must have free to take a pod.")] = Amounts()
    limits: Annotated[Amounts, Meta(description="What a pod cannot go beyond.")] = Amounts()


class Toleration(Part, frozen=True):
    """A taint of nodes on which pods may run nevertheless; the same words as a pod's."""

    key: Annotated[str, Meta(max_length=317, description="Key of the taint; every taint when empty.")] = ""
    operator: Annotated[
        Literal["Exists", "Equal"], Meta(description="Whether the taint's value must be `value`, or may be any.")
    ] = "Equal"
    value: Annotated[str, Meta(max_length=63, description="Value of the taint, when the operator is Equal.")] = ""
    effect: Annotated[
        Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"],
        Meta(description="Effect of the taint; every effect when empty."),
    ] = ""


class Scheduling(Part, frozen=True):
    """On which nodes all pods of this Exchange run, and how important they are."""

    node_selector: Annotated[
        dict[str, Annotated[str, Meta(max_length=63)]],
        Meta(max_length=20, description="Labels that a node must have."),
    ] = {}
    tolerations: Annotated[
        list[Toleration], Meta(max_length=20, description="Taints of nodes on which pods may run nevertheless.")
    ] = []
    priority_class_name: Annotated[
        str, Meta(max_length=253, description="PriorityClass of all pods; the cluster's default one when empty.")
    ] = ""


class SecretKey(Part, frozen=True):
    """One value of a Secret of this namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]
    key: Annotated[Text, Meta(description="Which of its keys has the value.")]


class SecretName(Part, frozen=True):
    """A Secret of this namespace."""

    name: Annotated[ObjectName, Meta(description="Name of the Secret.")]


class Tls(Part, frozen=True):
    """Encrypted connections; none without."""

    enabled: Annotated[bool, Meta(description="Whether connections are encrypted.")] = True
    ca_secret_ref: Annotated[
        SecretKey | None,
        Meta(
            description="Certificate (PEM) of who signed the server's; without it, those count whom the image trusts."
        ),
    ] = None
    client_secret_ref: Annotated[
        SecretName | None,
        Meta(description="Our own certificate, where the server asks for one: a Secret of type kubernetes.io/tls."),
    ] = None


# What is traded


class Asset(Part, frozen=True):
    """Something that users have balances of."""

    name: Annotated[AssetName, Meta(description="Its name, such as BTC.")]
    scale: Annotated[
        int,
        Meta(
            ge=0,
            le=12,
            description="Decimals of the smallest unit: 8 makes it 0.00000001. It can never change.",
            extra_json_schema=_constant(
                "scale of an asset", "balances are counted in it; set it to what it was, or declare another asset"
            ),
        ),
    ]


def _fixed_of_symbol(what: str) -> Json:
    return _constant(f"{what} of a symbol", "its orders are counted in it; set it to what it was")


class Symbol(Part, frozen=True):
    """Two assets that are traded for each other. Changes take effect within seconds, without a restart."""

    RULES = (
        Rule(
            "self.name == self.base + '_' + self.quote",
            "must be BASE_QUOTE of its base and quote; to trade other assets, add another symbol",
            field_path=".name",
        ),
        Rule("self.base != self.quote", "must be another asset than base: correct one of them", field_path=".quote"),
    )

    name: Annotated[SymbolName, Meta(description="Its name, which is BASE_QUOTE, such as BTC_USDT.")]
    base: Annotated[AssetName, Meta(description="What is bought and sold; one of spec.assets. It can never change.")]
    quote: Annotated[AssetName, Meta(description="What is paid with; one of spec.assets. It can never change.")]
    tick_size: Annotated[
        Step,
        Meta(
            description='Step of prices, in quote, such as "0.01". It can never change.',
            extra_json_schema=_fixed_of_symbol("tickSize"),
        ),
    ]
    lot_size: Annotated[
        Step,
        Meta(
            description='Step of quantities, in base, such as "0.00001". It can never change.',
            extra_json_schema=_fixed_of_symbol("lotSize"),
        ),
    ]
    min_notional: Annotated[Amount, Meta(description='Smallest price × quantity of an order, in quote, such as "5".')]
    maker_fee: Annotated[
        Fee, Meta(description='Share of what the resting order receives that is the exchange\'s, such as "0.001".')
    ]
    taker_fee: Annotated[
        Fee, Meta(description='Share of what the incoming order receives that is the exchange\'s, such as "0.001".')
    ]
    band: Annotated[
        Rate,
        Meta(description='How far a price may be from the last trade\'s: "0.1" for 10 %; "0" for any distance.'),
    ] = "0"
    matcher_shard: Annotated[
        int,
        Meta(
            ge=0,
            le=_MAX_SHARDS - 1,
            description="Which shard of the matcher has its book, from 0. It can never change.",
            extra_json_schema=_constant("matcherShard of a symbol", "its book is there; set it to what it was"),
        ),
    ] = 0
    status: Annotated[
        Status,
        Meta(
            description="Trading: orders are placed and matched. "
            "CancelOnly: orders can be cancelled, and none placed. Halted: neither."
        ),
    ] = "Trading"


# The broker


class Sasl(Part, frozen=True):
    """Login to the brokers; none without."""

    mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="How the login is proven.")
    ]
    secret_ref: Annotated[SecretName, Meta(description="A Secret with the keys username and password.")]


class ExternalRedpanda(Part, frozen=True):
    """Brokers that somebody else runs: Redpanda, or others that speak the Kafka protocol."""

    bootstrap_servers: Annotated[
        list[HostPort],
        Meta(
            min_length=1,
            max_length=20,
            description="Some of the brokers, each as host:port; any of them tells of all others.",
        ),
    ]
    replication: Annotated[
        int, Meta(ge=1, le=9, description="On how many brokers a new topic is kept. It wants so many brokers.")
    ] = 3
    tls: Tls | None = None
    sasl: Sasl | None = None


class ManagedRedpanda(Part, frozen=True):
    """Brokers that the operator runs: small ones, for development."""

    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=9,
            description="Number of brokers. It can never change.",
            extra_json_schema=_constant(
                "replicas of managed brokers", "set it to what it was; production wants external brokers"
            ),
        ),
    ] = 1
    storage: Storage = "20Gi"
    storage_class_name: StorageClass = ""
    image: Annotated[Text, Meta(description="Image of Redpanda, with its tag.")] = (
        "docker.io/redpandadata/redpanda:v24.3.9"
    )
    resources: Resources = Resources()


_ONE_OF: Final = Rule(
    "has(self.external) != has(self.managed)",
    "must have exactly one of external (somebody else runs it) and managed (the operator runs it): "
    "add the one or take out the other",
)
_SAME_KIND: Final = Rule(
    "has(self.external) == has(oldSelf.external)",
    "cannot change between external and managed, as the data is in the other one: "
    "set it to what it was, or restore a backup into a new Exchange",
    reason="FieldValueForbidden",
)
# At its parent: a rule of the field itself is not asked when the field comes or goes.
_SAME_PREFIX: Final = Rule(
    "has(self.topicPrefix) == has(oldSelf.topicPrefix)"
    " && (!has(self.topicPrefix) || self.topicPrefix == oldSelf.topicPrefix)",
    "topicPrefix cannot change: the frames are in the old topics; set it to what it was, or leave it out if it was",
    field_path=".topicPrefix",
    reason="FieldValueForbidden",
)


class Redpanda(Part, frozen=True):
    """The log that holds every command and event: exactly one of external and managed."""

    RULES = (_ONE_OF, _SAME_KIND, _SAME_PREFIX)

    external: ExternalRedpanda | None = None
    managed: ManagedRedpanda | None = None
    topic_prefix: Annotated[
        TopicPrefix | None,
        Meta(
            description="What every topic's name begins with; NAMESPACE.NAME. when it is not given. "
            "It can never change."
        ),
    ] = None
    retention: Annotated[
        Retention,
        Meta(description="How long frames are kept at least; longer while snapshots or backups need them."),
    ] = "7d"


# The database


class ExternalScylla(Part, frozen=True):
    """A database that somebody else runs: ScyllaDB, or another that speaks CQL."""

    contact_points: Annotated[
        list[Host],
        Meta(min_length=1, max_length=20, description="Some of the nodes, by host; any of them tells of all others."),
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="Port of CQL on every node.")] = 9042
    local_datacenter: Annotated[
        str,
        Meta(
            max_length=128,
            description="The datacenter whose nodes are asked; that of the first node that answers when empty.",
        ),
    ] = ""
    replication_factor: Annotated[
        int, Meta(ge=1, le=9, description="On how many nodes a new keyspace keeps a row. It wants so many nodes.")
    ] = 3
    keyspace: Annotated[
        Keyspace,
        Meta(
            description="Keyspace of the tables; NAMESPACE_NAME when empty. It can never change.",
            extra_json_schema=_constant(
                "keyspace", "the tables are in the old one; set it to what it was, or leave it out if it was"
            ),
        ),
    ] = ""
    credentials_secret_ref: Annotated[
        SecretName | None, Meta(description="A Secret with the keys username and password; no login without.")
    ] = None
    tls: Tls | None = None


class ManagedScylla(Part, frozen=True):
    """A database that the operator runs: a small one, for development."""

    replicas: Annotated[
        int,
        Meta(
            ge=1,
            le=9,
            description="Number of nodes. It can never change.",
            extra_json_schema=_constant(
                "replicas of a managed database", "set it to what it was; production wants an external database"
            ),
        ),
    ] = 1
    storage: Storage = "50Gi"
    storage_class_name: StorageClass = ""
    image: Annotated[Text, Meta(description="Image of ScyllaDB, with its tag.")] = "docker.io/scylladb/scylla:6.2.3"
    resources: Resources = Resources()


class Scylla(Part, frozen=True):
    """The database of settled trades, balances and orders: exactly one of external and managed."""

    RULES = (_ONE_OF, _SAME_KIND)

    external: ExternalScylla | None = None
    managed: ManagedScylla | None = None


# The services


class Autoscaling(Part, frozen=True):
    """Number of gateways by their load, instead of `replicas`; none without."""

    RULES = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "is above maxReplicas: lower it, or raise maxReplicas",
            field_path=".minReplicas",
        ),
    )

    min_replicas: Annotated[int, Meta(ge=1, le=100, description="There are never fewer gateways.")] = 2
    max_replicas: Annotated[int, Meta(ge=1, le=100, description="There are never more gateways.")] = 10
    target_cpu_percent: Annotated[
        int, Meta(ge=10, le=100, description="Processor time to aim at, in percent of what a gateway requests.")
    ] = 70


class Ingress(Part, frozen=True):
    """How the API is reached from outside of the cluster; not at all without."""

    host: Annotated[Host, Meta(description="Host name by which the API is reached, such as api.example.com.")]
    class_name: Annotated[
        str, Meta(max_length=253, description="IngressClass; the cluster's default one when empty.")
    ] = ""
    tls_secret_name: Annotated[
        str,
        Meta(max_length=253, description="A Secret of type kubernetes.io/tls for the host; no TLS when empty."),
    ] = ""
    annotations: Annotated[
        dict[str, Annotated[str, Meta(max_length=4096)]],
        Meta(max_length=50, description="Annotations of the Ingress, which its controller reads."),
    ] = {}


class RateLimit(Part, frozen=True):
    """A token bucket of each gateway; several know nothing of each other's counts."""

    per_second: Annotated[int, Meta(ge=1, le=1_000_000, description="Requests a second, in the long run.")]
    burst: Annotated[int, Meta(ge=1, le=1_000_000, description="Requests at once.")]


class RateLimits(Part, frozen=True):
    """How often one may ask each gateway."""

    caller: Annotated[RateLimit, Meta(description="What each user may do.")] = RateLimit(
        per_second=10_000, burst=20_000
    )
    anonymous: Annotated[
        RateLimit, Meta(description="What each address may do without credentials, or with wrong ones.")
    ] = RateLimit(per_second=1_000, burst=5_000)


class Issuer(Part, frozen=True):
    """Somebody else whose signed tokens are taken."""

    issuer: Annotated[Text, Meta(description="Who must be in `iss` of a token.")]
    algorithm: Annotated[Literal["RS256", "EdDSA"], Meta(description="How tokens are signed.")]
    public_key_secret_ref: Annotated[SecretKey, Meta(description="The public key (PEM) of the signatures.")]
    audience: Annotated[
        str, Meta(max_length=253, description="What must be in `aud` of a token; anything when empty.")
    ] = ""


class Gateway(Part, frozen=True):
    """The REST and WebSocket API."""

    replicas: Annotated[int, Meta(ge=1, le=100, description="Number of gateways, unless there is autoscaling.")] = 2
    autoscaling: Autoscaling | None = None
    ingress: Ingress | None = None
    rate_limits: RateLimits = RateLimits()
    issuers: Annotated[
        list[Issuer],
        Meta(
            max_length=20,
            description="Others whose signed tokens are taken, besides the exchange's own.",
            extra_json_schema=_map_by("issuer"),
        ),
    ] = []
    resources: Resources = Resources()


_Standby = Annotated[
    bool,
    Meta(
        description="Whether each shard has a second process with a volume of its own, which takes over within seconds."
    ),
]


class Ubscore(Part, frozen=True):
    """The only authority on users and balances."""

    shards: Shards = 1
    standby: _Standby = False
    storage: Storage = "10Gi"
    storage_class_name: StorageClass = ""
    snapshot_interval: Annotated[
        Duration, Meta(description="Time from one snapshot of a core (this, and the matcher) to the next.")
    ] = "60s"
    resources: Resources = Resources()


class Matcher(Part, frozen=True):
    """The books, in which orders meet."""

    shards: Shards = 1
    standby: _Standby = False
    storage: Storage = "5Gi"
    storage_class_name: StorageClass = ""
    resources: Resources = Resources()


class Projection(Part, frozen=True):
    """A service that follows the log and writes into the database."""

    replicas: Annotated[int, Meta(ge=1, le=64, description="Number of members, which share the shards among them.")] = 1
    resources: Resources = Resources()


class Observability(Part, frozen=True):
    """How the exchange can be watched."""

    service_monitor: Annotated[
        bool, Meta(description="Whether Prometheus is told by a ServiceMonitor, where the cluster knows that kind.")
    ] = True
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least level that is logged.")
    ] = "info"


class NetworkPolicySpec(Part, frozen=True):
    """Who may speak with the pods of the exchange, and with whom they may."""

    enabled: Annotated[
        bool, Meta(description="Whether NetworkPolicies deny everything that the exchange does not need.")
    ] = True
    scrape_namespace: Annotated[ObjectName, Meta(description="Namespace from which metrics may be read.")] = (
        "monitoring"
    )


class Backup(Part, frozen=True):
    """Backups that are made while the exchange runs; none without."""

    target: Annotated[
        str,
        _matching(r"^[a-z][a-z0-9+.-]*://.+$", 1024, "must be a URL that fsspec knows, such as s3://bucket/exchange"),
        Meta(description="Where backups go: a URL that fsspec knows, such as s3://bucket/exchange."),
    ]
    interval: Annotated[Interval, Meta(description="Time from one backup to the next.")] = "1h"
    keep: Annotated[int, Meta(ge=1, le=10_000, description="How many backups are kept.")] = 24
    credentials_secret_ref: Annotated[
        SecretName | None,
        Meta(
            description="A Secret whose keys become environment variables of the backup, "
            "such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL."
        ),
    ] = None
    suspend: Annotated[bool, Meta(description="Whether to make no backups for now.")] = False


def _decimals(text: str) -> str:
    return f"({text}.contains('.') ? size({text}) - {text}.indexOf('.') - 1 : 0)"


def _with_scale_of(side: str, holds: str) -> str:
    """Whether that holds of `scale`, that of the asset; another rule refuses assets that are not declared."""
    declared = f"self.assets.filter(a, a.name == s.{side}).map(a, a.scale)"
    # CEL binds no names but in a list's macros, so a list of one item it is.
    return f"!self.assets.exists(a, a.name == s.{side}) || [{declared}.sum()].all(scale, {holds})"


def _of_symbols(holds: str, message: str) -> Rule:
    """A rule that needs more than the symbol `s`. The sentence names the first symbol of which it does not hold."""
    # The cost of the sentence is bounded only when the name is read from the list itself, by its position.
    wrong = f"self.symbols[self.symbols.map(s, {holds}).indexOf(false)].name"
    return Rule(
        f"!has(self.symbols) || self.symbols.all(s, {holds})",
        message,
        field_path=".symbols",
        message_expression=f"{wrong} + ': {message}'",
    )


def _declared(side: str) -> Rule:
    return _of_symbols(
        f"self.assets.exists(a, a.name == s.{side})",
        f"{side} must be one of spec.assets: declare it there, or correct the symbol",
    )


_TICK, _LOT, _MIN_NOTIONAL = _decimals("s.tickSize"), _decimals("s.lotSize"), _decimals("s.minNotional")
# A price times a quantity must be a whole number of the quote asset's smallest units. Few decimals are enough for
# that; with more of them, the product of the two steps may still be (0.5 × 0.2), and is computed when it fits 64 bits.
_STEPS_FIT: Final = (
    f"{_TICK} + {_LOT} <= scale || (size(s.tickSize) + size(s.lotSize) <= 19"
    " && int(s.tickSize.replace('.', '')) * int(s.lotSize.replace('.', ''))"
    f" % int('1000000000000000000'.substring(0, 1 + {_TICK} + {_LOT} - scale)) == 0)"
)


class Spec(Part, frozen=True, kw_only=True):
    """What is asked for."""

    RULES = (
        _declared("base"),
        _declared("quote"),
        _of_symbols(
            "s.matcherShard < self.matcher.shards",
            "matcherShard must be below spec.matcher.shards: shards count from 0",
        ),
        _of_symbols(
            _with_scale_of("base", f"{_LOT} <= scale"),
            "lotSize must have no more decimals than the scale of its base: leave out zeros at its end, or raise it",
        ),
        _of_symbols(
            _with_scale_of("quote", f"{_MIN_NOTIONAL} <= scale"),
            "minNotional must have no more decimals than the scale of its quote: leave out zeros at its end, "
            "or raise it",
        ),
        _of_symbols(
            _with_scale_of("quote", _STEPS_FIT),
            "tickSize × lotSize must be a whole number of the smallest units of its quote: raise tickSize or lotSize, "
            "or the scale of a new quote",
        ),
    )

    image: Image
    assets: Annotated[
        list[Asset],
        Meta(
            min_length=1,
            max_length=_MAX_ASSETS,
            description="What users have balances of. One that is taken out stays known to the exchange.",
            extra_json_schema=_map_by("name"),
        ),
    ]
    symbols: Annotated[
        list[Symbol],
        Meta(
            max_length=_MAX_SYMBOLS,
            description="What is traded; each name once. One that is taken out is halted, and stays known to the "
            "exchange.",
            extra_json_schema=_map_by("name"),
        ),
    ] = []
    redpanda: Redpanda
    scylla: Scylla
    gateway: Gateway = Gateway()
    ubscore: Ubscore = Ubscore()
    matcher: Matcher = Matcher()
    settlement: Annotated[Projection, Meta(description="The service that writes trades and balances.")] = Projection()
    order_history: Annotated[Projection, Meta(description="The service that writes orders.")] = Projection()
    observability: Observability = Observability()
    network_policy: NetworkPolicySpec = NetworkPolicySpec()
    backup: Backup | None = None
    scheduling: Scheduling = Scheduling()
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Meta(
            description="What becomes of volumes, topics, keyspace and keys when the Exchange is deleted: "
            "Retain keeps them, Delete deletes them."
        ),
    ] = "Retain"
    paused: Annotated[
        bool, Meta(description="Whether the operator changes nothing for now. A deletion goes on all the same.")
    ] = False


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A spot exchange: a gateway, balances, books, settlement and order history, on a log and a database."""

    RULES: ClassVar = (
        Rule(
            "size(self.metadata.name) <= 32 && self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
            "the name of an Exchange is part of the names of its Services: it must be at most 32 of a-z, 0-9 and '-', "
            "and begin with a letter",
            field_path=".metadata.name",
        ),
    )

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
