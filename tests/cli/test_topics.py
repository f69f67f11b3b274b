"""`exchange topics apply` on a real broker."""

import asyncio
from pathlib import Path

from services.adapters.kafka.bases import write_bases
from services.adapters.kafka.settings import KafkaSettings
from services.domain.topics import TopicPartition
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


def test_topics_delete_says_what_and_deletes_only_with_yes_and_only_its_own(tmp_path: Path, broker: Broker) -> None:
    config = tmp_path / "exchange.yaml"
    config.write_text(f"broker: {{bootstrapServers: ['{broker.address}'], topicPrefix: delete-command.}}\n")
    others = {"EXCHANGE_BROKER__TOPIC_PREFIX": "delete-command.other."}
    for more in ({}, others):
        assert run("topics", "apply", "--config", config, **more).returncode == 0
    kafka = KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix="delete-command.")
    asyncio.run(write_bases(kafka, {TopicPartition("orders", 0): 5}))
    asked = run("topics", "delete", "--config", config)
    assert asked.returncode == 1
    assert asked.stderr == "exchange: nothing was deleted; --yes deletes these topics, and all that is on them\n"
    names = ("balance.events", "balance.operations", "engine.outputs", "log.bases", "orders")
    assert sorted(asked.stdout.splitlines()) == [f"topic delete-command.{name} with 1 partitions" for name in names]
    deleted = run("topics", "delete", "--config", config, "--yes")
    assert (deleted.returncode, deleted.stderr) == (0, "")
    assert sorted(deleted.stdout.splitlines()[:-1]) == sorted(asked.stdout.splitlines())
    assert deleted.stdout.endswith("Done: 5 topics were deleted.\n")
    for yes in ((), ("--yes",)):
        again = run("topics", "delete", "--config", config, *yes)
        assert again.returncode == 0, again.stderr
        assert again.stdout == "Nothing to do: the brokers have no topic of this exchange.\n"
    assert "topic delete-command.other.orders" in run("topics", "delete", "--config", config, **others).stdout
    made = run("topics", "apply", "--config", config)
    assert "created topic delete-command.orders with 1 partitions" in made.stdout


def test_topics_apply_without_a_broker_says_so_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "exchange.yaml"
    path.write_text("broker: {bootstrapServers: ['127.0.0.1:1']}\n")
    answer = run("topics", "apply", "--config", path)
    reason = "the topics could not be applied: no broker at 127.0.0.1:1 answered for 30 s (Unable connect to "
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"exchange: {reason}")
    assert answer.stderr.endswith("Connect call failed ('127.0.0.1', 1))\n")
    assert answer.stderr.count("\n") == 1


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
