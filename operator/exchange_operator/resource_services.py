"""The services of an exchange, and how they run."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from exchange_operator.resource_values import (
    Duration,
    Endpoint,
    Host,
    Interval,
    ObjectName,
    Part,
    Rate,
    Resources,
    Rule,
    SecretKey,
    SecretName,
    Shards,
    Storage,
    StorageClass,
    Text,
    map_by,
    matching,
)


class Image(Part, frozen=True):
    """Which program runs: one image for all services."""

    repository: Annotated[
        str,
        matching(
            r"^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$",
            255,
            "must be an image's name without its tag, such as registry.example.com/exchange-platform",
        ),
        Meta(description="Where the image comes from, without its tag."),
    ]
    tag: Annotated[
        str,
        matching(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", 128, "must be an image's tag, such as 0.1.0"),
        Meta(description="Version of the exchange. Change it to upgrade, one component after the other."),
    ]
    pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], Meta(description="When a node fetches the image.")
    ] = "IfNotPresent"
    pull_secrets: Annotated[
        list[ObjectName],
        Meta(max_length=10, description="Secrets of this namespace with the credentials of the image's registry."),
    ] = msgspec.field(default_factory=list)

    @property
    def name(self) -> str:
        """As a container wants it."""
        return f"{self.repository}:{self.tag}"


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
    ] = msgspec.field(default_factory=dict)
    tolerations: Annotated[
        list[Toleration], Meta(max_length=20, description="Taints of nodes on which pods may run nevertheless.")
    ] = msgspec.field(default_factory=list)
    priority_class_name: Annotated[
        str, Meta(max_length=253, description="PriorityClass of all pods; the cluster's default one when empty.")
    ] = ""


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
    ] = msgspec.field(default_factory=dict)


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
            extra_json_schema=map_by("issuer"),
        ),
    ] = msgspec.field(default_factory=list)
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

    otlp_endpoint: Annotated[
        Endpoint,
        Meta(
            description="Where traces go: whatever takes OTLP, such as http://collector.monitoring:4317. "
            "There are none when it is empty."
        ),
    ] = ""
    otlp_protocol: Annotated[
        Literal["grpc", "http"], Meta(description="How traces go there: gRPC is often on port 4317, HTTP on 4318.")
    ] = "grpc"
    trace_sample_ratio: Annotated[
        Rate,
        Meta(
            description="Share of requests that are traced, of those whose sender has not decided; "
            "failed and slow ones are in any case."
        ),
    ] = "0.01"
    service_monitor: Annotated[
        bool, Meta(description="Whether Prometheus is told by a ServiceMonitor, where the cluster knows that kind.")
    ] = True
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least level that is logged. `exchange log-level` changes it without a restart."),
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
        matching(r"^[a-z][a-z0-9+.-]*://.+$", 1024, "must be a URL that fsspec knows, such as s3://bucket/exchange"),
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
