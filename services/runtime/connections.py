"""From settings to open connections: broker and database, with what is secret read from the files that hold it."""

import ssl
from pathlib import Path
from typing import Final

from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.store import CqlStore
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.config import DatabaseSettings, SaslSettings, Settings, TlsSettings
from services.domain.errors import ConfigError

MAX_SECRET_BYTES: Final = 64 * 1024


def kafka_settings(settings: Settings, client_id: str = "exchange") -> KafkaSettings:
    """How to reach the broker. client_id: how it shall name us in its own logs.

    Raises ConfigError when servers are missing, or a file cannot be read.
    """
    broker = settings.broker
    if not broker.bootstrap_servers:
        raise ConfigError("key `broker.bootstrapServers` is missing: name at least one host:port of the broker")
    sasl = broker.sasl
    return KafkaSettings(
        bootstrap_servers=tuple(broker.bootstrap_servers),
        topic_prefix=broker.topic_prefix,
        client_id=client_id,
        tls=tls_context(broker.tls, "broker.tls"),
        sasl_mechanism=sasl.mechanism or None,
        sasl_username=sasl.username or None,
        sasl_password=_password(sasl, "broker.sasl"),
        compression=None if broker.compression == "none" else broker.compression,
    )


def open_log(settings: Settings, client_id: str = "exchange") -> KafkaLog:
    """The log. It connects when it is first asked. Raises ConfigError."""
    return KafkaLog(kafka_settings(settings, client_id))


def cql_settings(settings: Settings) -> CqlSettings:
    """How to reach the database. Raises ConfigError when hosts are missing, or a file cannot be read."""
    database = settings.database
    if not database.contact_points:
        raise ConfigError("key `database.contactPoints` is missing: name at least one host of the database")
    return CqlSettings(
        contact_points=tuple(database.contact_points),
        port=database.port,
        local_datacenter=database.local_datacenter or None,
        keyspace=database.keyspace,
        replication_factor=database.replication_factor,
        username=database.username or None,
        password=_password(database, "database"),
        tls=tls_context(database.tls, "database.tls"),
        request_timeout_s=database.request_timeout_ms / 1000,
    )


def open_store(settings: Settings) -> CqlStore:
    """The store. It connects when it is first asked. Raises ConfigError."""
    return CqlStore(cql_settings(settings))


def tls_context(settings: TlsSettings, key: str) -> ssl.SSLContext | None:
    """What verifies the other side, and shows our certificate when there is one; None when TLS is off.

    key: where the settings stand. Raises ConfigError when a file cannot be used.
    """
    if not settings.enabled:
        if settings.ca_file or settings.cert_file or settings.key_file:
            raise ConfigError(f"key `{key}.enabled`: wants true, for files of certificates are given")
        return None
    ca, certificate, own_key = settings.ca_file, settings.cert_file, settings.key_file
    if own_key and not certificate:
        raise ConfigError(f"key `{key}.certFile` is missing: `keyFile` is the key of a certificate")
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise ConfigError(f"key `{key}.caFile`: {ca}: {_reason(error)}") from error
    try:
        if certificate:
            context.load_cert_chain(certificate, own_key or None, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"key `{key}.certFile`: {certificate} with {own_key or 'its key'}: {_reason(error)}"
        ) from error
    return context


def read_secret(path: Path, key: str) -> str:
    """A text that is kept in a file, without the line's end that editors put there. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
        if len(data) > MAX_SECRET_BYTES:
            raise ConfigError(f"key `{key}`: {path}: has more than {MAX_SECRET_BYTES} bytes, which no secret has")
        text = data.decode().rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"key `{key}`: {path}: {_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"key `{key}`: {path}: is no UTF-8 text") from error
    if not text:
        raise ConfigError(f"key `{key}`: {path}: is empty")
    return text


def _password(given: SaslSettings | DatabaseSettings, key: str) -> str | None:
    if given.password and given.password_file:
        raise ConfigError(f"keys `{key}.password` and `{key}.passwordFile`: give one of them")
    if given.password_file:
        return read_secret(Path(given.password_file), f"{key}.passwordFile")
    return given.password or None


def _no_password() -> str:
    # Without this, OpenSSL would ask for it on the terminal.
    raise ValueError("the key is encrypted; give one that is not")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
