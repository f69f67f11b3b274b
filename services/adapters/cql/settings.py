"""How to reach a database that speaks CQL, and how much to ask of it at one time."""

import re
import ssl
from dataclasses import dataclass, field
from typing import Final, Literal

from services.domain.errors import ConfigError

KIB: Final = 1024

Consistency = Literal["ONE", "LOCAL_ONE", "QUORUM", "LOCAL_QUORUM", "ALL"]
_DATACENTER: Final = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CqlSettings:
    """What an adapter needs to know about the database. The password is in no repr.

    Raises ConfigError when the settings cannot go together.
    """

    contact_points: tuple[str, ...]
    """Hosts, any of which tells of all the others."""
    port: int = 9042
    local_datacenter: str | None = None
    """Whose nodes are asked; None: all of them, which is right where there is one."""
    keyspace: str = "trading"
    replication_factor: int = 1
    """Of a new keyspace; what exists is changed by the database's own tools."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    consistency: Consistency = "LOCAL_QUORUM"
    request_timeout_s: float = 5.0
    """After that long without an answer a request is given up: StoreUnavailable, outcome unknown."""
    connect_timeout_s: float = 5.0
    max_batch_bytes: int = 40 * KIB
    """Of a batch over several partitions, as the server counts. Cassandra refuses 50 KiB, ScyllaDB 1 MiB."""
    max_writes: int = 32
    """Batches that are under way at one time; more wait."""
    max_queries: int = 256
    """Queries of clients that are under way at one time; more are refused with StoreUnavailable."""

    def __post_init__(self) -> None:
        if not self.contact_points:
            raise ConfigError("the database's contact points are missing: name at least one host")
        if not _KEYSPACE.fullmatch(self.keyspace):
            raise ConfigError(f"{self.keyspace!r} is no keyspace: up to 48 small letters, digits and _, a letter first")
        if self.local_datacenter is not None and not _DATACENTER.fullmatch(self.local_datacenter):
            raise ConfigError(f"{self.local_datacenter!r} is no datacenter's name")
        if self.replication_factor < 1:
            raise ConfigError("the database's replication factor must be at least 1")
        if bool(self.username) != bool(self.password):
            raise ConfigError("the database wants a user name and a password, or neither")
