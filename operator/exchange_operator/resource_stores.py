"""What an exchange stands on: a log and a database, each run by somebody else or by the operator."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from exchange_operator.resource_values import (
    Host,
    HostPort,
    Keyspace,
    Part,
    Resources,
    Retention,
    Rule,
    SecretName,
    Storage,
    StorageClass,
    Text,
    Tls,
    TopicPrefix,
    constant,
)


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
            extra_json_schema=constant(
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
            extra_json_schema=constant(
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
            extra_json_schema=constant(
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
