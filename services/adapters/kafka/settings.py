"""How to reach brokers that speak the Kafka protocol, and how much of what to hold in memory."""

import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from services.domain.errors import ConfigError
from services.domain.topics import TopicPartition

KIB: Final = 1024
MIB: Final = 1024 * KIB

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Compression = Literal["gzip", "snappy", "lz4", "zstd"]


def _above_debug(record: logging.LogRecord) -> bool:
    """The client writes every request's bytes at DEBUG, also those of the login."""
    return record.levelno > logging.DEBUG


class _LeavesAtOnce(ssl.SSLObject):
    """Says goodbye when a connection is closed, and does not wait for the broker's.

    uvloop never notices that one when an answer was still under way, and gives up after 30 s, for which the client's
    stop() waits. Nothing is lost: what a client wants answered it waits for before it stops.
    """

    def unwrap(self) -> None:
        with suppress(ssl.SSLWantReadError):
            super().unwrap()


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """What an adapter needs to know about the brokers. The password is in no repr.

    Raises ConfigError when the settings cannot go together.
    """

    bootstrap_servers: tuple[str, ...]
    """host:port, any of which tells of all the others."""
    topic_prefix: str = ""
    """In front of every topic's name, so that several exchanges share the brokers."""
    client_id: str = "exchange"
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    sasl_mechanism: Mechanism | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    compression: Compression | None = None
    max_frame_bytes: int = 32 * MIB
    """Of one frame; the topics must take a little more (see topics_kafka). The result of one order that trades with
    ten thousand others has two megabytes, and a core whose result is refused cannot go on."""
    max_batch_bytes: int = 1_000_000
    """Of the frames to one partition that are sent together, unless one alone is bigger."""
    max_queued_bytes: int = 32 * MIB
    """What waits for the brokers before `append` waits too."""
    fetch_bytes: int = MIB
    """What one fetch of one partition brings, unless one frame alone is bigger."""
    tail_bytes: int = 4 * MIB
    """Newest frames of one partition that are kept in memory for its readers."""
    request_timeout_s: float = 15.0
    """After that long without an answer a connection is given up, and the request repeated on another."""
    append_timeout_s: float = 30.0
    """After that long an append is given up: LogError, outcome unknown."""
    read_timeout_s: float = 30.0
    """After that long without any broker a read is given up."""

    def __post_init__(self) -> None:
        if not self.bootstrap_servers:
            raise ConfigError("the log's bootstrap servers are missing: name at least one host:port")
        if self.sasl_mechanism and not (self.sasl_username and self.sasl_password):
            raise ConfigError(f"SASL {self.sasl_mechanism} wants a user name and a password")
        if not self.sasl_mechanism and (self.sasl_username or self.sasl_password):
            raise ConfigError("a SASL user name or password was given, but no mechanism")

    @property
    def security_protocol(self) -> str:
        """As the protocol names the four ways to connect."""
        return ("SASL_" if self.sasl_mechanism else "") + ("SSL" if self.tls else "PLAINTEXT")

    def client_options(self) -> dict[str, Any]:
        """What every aiokafka client takes. Holds the password: never to be printed."""
        logging.getLogger("aiokafka.conn").addFilter(_above_debug)
        if self.tls is not None:
            self.tls.sslobject_class = _LeavesAtOnce
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap_servers),
            "client_id": self.client_id,
            "request_timeout_ms": round(self.request_timeout_s * 1000),
            "security_protocol": self.security_protocol,
            "ssl_context": self.tls,
        }
        if self.sasl_mechanism:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password
        return options

    def topic(self, name: str) -> str:
        """The broker's name of one of our topics."""
        return self.topic_prefix + name

    def on_broker(self, partition: TopicPartition) -> TopicPartition:
        """A partition as the broker names it."""
        return TopicPartition(self.topic(partition.topic), partition.partition)
