"""The settings that only the distributed form has: how to reach the broker, the database, and each other."""

from typing import Annotated, Literal

import msgspec

from services.config.kinds import DURATION, FLAG, RETENTION, SECRET, TEXT, URL, choice, whole

SaslMechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
CompressionKind = Literal["none", "gzip", "snappy", "lz4", "zstd"]


class TlsSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Encrypted connections. Files are in PEM."""

    enabled: Annotated[bool, FLAG] = False
    ca_file: Annotated[str, TEXT] = ""
    """Who must have signed the other side's certificate; without it, those that the system trusts."""
    cert_file: Annotated[str, TEXT] = ""
    """Our own certificate, when the other side wants one; `key_file` is its key."""
    key_file: Annotated[str, TEXT] = ""


class SaslSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Who we are to the broker. Without a mechanism nobody asks."""

    mechanism: Annotated[SaslMechanism, choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")] = ""
    username: Annotated[str, TEXT] = ""
    password: Annotated[str, SECRET] = ""
    password_file: Annotated[str, TEXT] = ""
    """Holds the password, instead of `password`."""


class BrokerSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The log: brokers that speak the Kafka protocol, and what `exchange topics apply` makes of our topics there."""

    bootstrap_servers: list[Annotated[str, TEXT]] = []
    """host:port, any of which tells of all the others."""
    topic_prefix: Annotated[str, TEXT] = ""
    """In front of every topic's name, so that several exchanges share the brokers."""
    replication: Annotated[int, whole(1, 9)] = 1
    """Of new topics."""
    min_insync_replicas: Annotated[int, whole(1, 9)] = 0
    """How many brokers must have a frame before it counts as written. Without it: more than half of the replicas."""
    retention_ms: Annotated[int, RETENTION] = msgspec.field(name="retention", default=7 * 86_400_000)
    """How long frames are kept; longer when snapshots or backups need them longer."""
    compression: Annotated[CompressionKind, choice("none", "gzip", "snappy", "lz4", "zstd")] = "none"
    tls: TlsSettings = TlsSettings()
    sasl: SaslSettings = SaslSettings()

    @property
    def insync_replicas(self) -> int:
        """`min_insync_replicas`, or what stands for it."""
        return self.min_insync_replicas or self.replication // 2 + 1


class DatabaseSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The store: a database that speaks CQL."""

    contact_points: list[Annotated[str, TEXT]] = []
    """Hosts, any of which tells of all the others."""
    port: Annotated[int, whole(1, 65535)] = 9042
    local_datacenter: Annotated[str, TEXT] = ""
    """Without it: that of the first host that answers."""
    keyspace: Annotated[str, TEXT] = "trading"
    replication_factor: Annotated[int, whole(1, 9)] = 1
    """Of a new keyspace."""
    username: Annotated[str, TEXT] = ""
    password: Annotated[str, SECRET] = ""
    password_file: Annotated[str, TEXT] = ""
    """Holds the password, instead of `password`."""
    request_timeout_ms: Annotated[int, DURATION] = msgspec.field(name="requestTimeout", default=5_000)
    tls: TlsSettings = TlsSettings()


Addresses = list[list[Annotated[str, URL]]]
"""By shard, where its cores answer reads: the active one and its standbys, such as http://ubscore-0:3100."""


class MatcherSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The matcher's shards; a symbol belongs to one."""

    shards: Annotated[int, whole(1, 512)] = 1
    addresses: Addresses = []
    takeover_after_ms: Annotated[int, DURATION] = msgspec.field(name="takeoverAfter", default=2_000)
    """A standby speaks when it has waited that long for the active one to say something."""


class ProjectionSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Settlement, or order history: members that share the shards."""

    addresses: list[Annotated[str, URL]] = []
    """Of every member, for a gateway to ask how it is: http://settlement-0:3100."""


class InternalSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Where a process answers health checks, metrics and the reads of other processes. Not for the outside."""

    host: Annotated[str, TEXT] = "127.0.0.1"
    port: Annotated[int, whole(0, 65535)] = 3100
    """0: any free port."""


class BackupSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Where backups go, how often somebody makes one, and how many are kept."""

    target: Annotated[str, TEXT] = ""
    """A folder, or a URL that fsspec knows, such as s3://bucket/exchange."""
    interval_ms: Annotated[int, DURATION] = msgspec.field(name="interval", default=3_600_000)
    keep: Annotated[int, whole(1, 10_000)] = 24
