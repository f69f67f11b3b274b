"""From settings to connections: what is secret comes from files, and what is wrong is said with its key."""

import ssl
from pathlib import Path

import pytest

from services.config import BrokerSettings, SaslSettings, Settings, TlsSettings
from services.domain.errors import ConfigError
from services.runtime.connections import kafka_settings, read_secret, tls_context
from tests.support.certificates import self_signed


def with_sasl(**sasl: str) -> Settings:
    return Settings(broker=BrokerSettings(bootstrap_servers=["one:9092", "two:9092"], sasl=SaslSettings(**sasl)))


def test_kafka_settings_password_from_a_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    kafka = kafka_settings(with_sasl(mechanism="SCRAM-SHA-256", username="me", password_file=str(path)), "ubscore-0")
    assert (kafka.bootstrap_servers, kafka.client_id) == (("one:9092", "two:9092"), "ubscore-0")
    assert (kafka.sasl_mechanism, kafka.sasl_username, kafka.sasl_password) == ("SCRAM-SHA-256", "me", "correct horse")


def test_kafka_settings_without_servers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^key `broker\.bootstrapServers` is missing"):
        kafka_settings(Settings())


def test_kafka_settings_with_two_passwords_are_refused() -> None:
    sasl = with_sasl(mechanism="PLAIN", username="me", password="x", password_file="y")
    with pytest.raises(ConfigError, match="give one of them"):
        kafka_settings(sasl)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"\n", "is empty"), (b"\xff", "UTF-8"), (b"x" * 65_537, "more than 65536 bytes")],
)
def test_read_secret_of_a_file_that_holds_none_names_key_and_file(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^key `a\.passwordFile`: {path}: .*{reason}"):
        read_secret(path, "a.passwordFile")


def test_tls_context_with_files_verifies_and_shows_a_certificate(tmp_path: Path) -> None:
    certificate, key = self_signed()
    ours, own_key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    ours.write_bytes(certificate)
    own_key.write_bytes(key)
    settings = TlsSettings(enabled=True, ca_file=str(ours), cert_file=str(ours), key_file=str(own_key))
    context = tls_context(settings, "broker.tls")
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509"] == 1


def test_tls_context_off_is_none() -> None:
    assert tls_context(TlsSettings(), "broker.tls") is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (TlsSettings(ca_file="ca.pem"), r"^key `broker\.tls\.enabled`: wants true"),
        (TlsSettings(enabled=True, ca_file="none.pem"), r"^key `broker\.tls\.caFile`: none\.pem: No such file"),
        (TlsSettings(enabled=True, cert_file="none.pem"), r"^key `broker\.tls\.certFile`: none\.pem with its key: No"),
        (TlsSettings(enabled=True, key_file="none.pem"), r"^key `broker\.tls\.certFile` is missing"),
    ],
)
def test_tls_context_that_cannot_be_names_the_key(settings: TlsSettings, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        tls_context(settings, "broker.tls")
