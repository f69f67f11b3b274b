"""`exchange topics apply` on a real broker."""

from pathlib import Path

from tests.real.broker import PASSWORD, USER, Broker
from tests.support.processes import run


def write(folder: Path, broker: Broker, shards: int) -> Path:
    path = folder / "exchange.yaml"
    path.write_text(
        f"broker: {{bootstrapServers: ['{broker.address}'], topicPrefix: topics-command., retention: 1d}}\n"
        f"ubscore: {{shards: {shards}}}\n"
    )
    return path


def test_topics_apply_creates_then_grows_then_does_nothing_and_never_shrinks(tmp_path: Path, broker: Broker) -> None:
    first = run("topics", "apply", "--config", write(tmp_path, broker, 1))
    assert (first.returncode, first.stderr) == (0, "")
    assert "created topic topics-command.balance.operations with 1 partitions" in first.stdout
    assert "Frames are kept for 74 h, not 24 h" in first.stdout
    grown = run("topics", "apply", EXCHANGE_CONFIG=str(write(tmp_path, broker, 2)))
    assert "grew topic topics-command.balance.events from 1 to 2 partitions" in grown.stdout
    again = run("topics", "apply", "--config", write(tmp_path, broker, 2))
    assert "Nothing to do: balance.operations × 2" in again.stdout
    shrunk = run("topics", "apply", "--config", write(tmp_path, broker, 1))
    assert shrunk.returncode == 1
    assert "topics cannot shrink" in shrunk.stderr


def test_topics_apply_without_a_broker_says_so_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    path.write_text("broker: {bootstrapServers: ['127.0.0.1:1']}\n")
    answer = run("topics", "apply", "--config", path)
    reason = "the topics could not be applied: no broker at 127.0.0.1:1 answered for 30 s"
    assert (answer.returncode, answer.stderr) == (1, f"exchange: {reason}\n")


def test_topics_apply_over_tls_with_a_password_from_a_file(tmp_path: Path, broker: Broker) -> None:
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    settings = {
        "EXCHANGE_BROKER__BOOTSTRAP_SERVERS": f"['{broker.secure_address}']",
        "EXCHANGE_BROKER__TOPIC_PREFIX": "topics-secure.",
        "EXCHANGE_BROKER__TLS__ENABLED": "true",
        "EXCHANGE_BROKER__TLS__CA_FILE": str(broker.certificate),
        "EXCHANGE_BROKER__SASL__MECHANISM": "SCRAM-SHA-256",
        "EXCHANGE_BROKER__SASL__USERNAME": USER,
        "EXCHANGE_BROKER__SASL__PASSWORD_FILE": str(password),
    }
    applied = run("topics", "apply", **settings)
    assert applied.returncode == 0, applied.stderr
    assert "created topic topics-secure.orders with 1 partitions" in applied.stdout
    assert PASSWORD not in applied.stdout + applied.stderr
