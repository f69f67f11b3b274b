"""TLS and SASL to a real broker, and that nobody sees the password."""

import asyncio
import dataclasses
import itertools
import logging
import ssl

import pytest
import uvloop

from services.adapters.kafka.bases import write_bases
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Append, StoredFrame
from services.domain.errors import ConfigError, LogError
from services.domain.topics import ORDERS, TopicPartition
from tests.real.broker import PASSWORD, USER, Broker
from tests.support.aio import run_async
from tests.support.kafka import make_partitions

P = TopicPartition(ORDERS, 0)
PATIENCE_S = 120.0
GOODBYE_S = 20.0
"""Less than the 30 s for which uvloop waits for a broker's goodbye."""
_NUMBERS = itertools.count(1)


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=(broker.secure_address,),
        topic_prefix=f"security-{next(_NUMBERS)}.",
        tls=ssl.create_default_context(cafile=str(broker.certificate)),
        sasl_mechanism="PLAIN",
        sasl_username=USER,
        sasl_password=PASSWORD,
    )


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@run_async
async def test_tls_and_sasl_topics_appends_reads_and_waits_work(settings: KafkaSettings, mechanism: str) -> None:
    settings = dataclasses.replace(settings, sasl_mechanism=mechanism)
    async with asyncio.timeout(PATIENCE_S):
        await make_partitions(settings, [P])
        log = KafkaLog(settings)
        waiting = asyncio.create_task(log.wait(P, 0))
        assert await log.append([Append(P, b"secret order")]) == [0]
        await waiting
        assert await log.read(P, 0) == [StoredFrame(0, b"secret order")]
        await log.close()


def test_tls_on_the_loop_of_the_services_closes_at_once_with_an_answer_under_way(settings: KafkaSettings) -> None:
    async def read_bases_then_close() -> None:
        await make_partitions(settings, [P])
        await write_bases(settings, {P: 7})
        for _ in range(5):
            log = KafkaLog(settings)
            # The bases are read by a consumer of their own, which is closed while it fetches what comes next.
            async with asyncio.timeout(GOODBYE_S):
                assert await log.start(P) == 7
                await log.close()

    uvloop.run(read_bases_then_close())


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"sasl_password": "wrong-password"}, id="password"),
        pytest.param({"tls": ssl.create_default_context()}, id="certificate"),
        pytest.param({"tls": None}, id="no TLS"),
    ],
)
@run_async
async def test_refused_by_the_broker_raises_log_error_and_tells_no_password(
    settings: KafkaSettings, wrong: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = dataclasses.replace(settings, **wrong, append_timeout_s=1.0, read_timeout_s=1.0, request_timeout_s=0.5)
    log = KafkaLog(settings)
    async with asyncio.timeout(PATIENCE_S):
        for question in (make_partitions(settings, [P]), log.append([Append(P, b"x")]), log.end(P)):
            with pytest.raises(LogError) as caught:
                await question
            assert settings.sasl_password not in str(caught.value)
        await log.close()
    assert caplog.records, "why it was refused is in the log"
    assert settings.sasl_password not in caplog.text


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        pytest.param({"sasl_password": "wrong-password"}, "SaslAuthenticationFailed", id="password"),
        pytest.param({"tls": ssl.create_default_context()}, "CERTIFICATE_VERIFY_FAILED", id="certificate"),
    ],
)
@run_async
async def test_topics_refused_by_the_broker_say_why_and_tell_no_password(
    settings: KafkaSettings, wrong: dict[str, object], why: str
) -> None:
    settings = dataclasses.replace(settings, append_timeout_s=3.0, **wrong)
    with pytest.raises(LogError, match=f"answered for 3 s .*{why}") as caught:
        await make_partitions(settings, [P])
    assert "wrong-password" not in str(caught.value)


def test_settings_repr_tells_no_password(settings: KafkaSettings) -> None:
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in str(settings)
    assert USER in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bootstrap_servers": ()}, "bootstrap servers are missing"),
        ({"sasl_password": None}, "PLAIN wants a user name and a password"),
        ({"sasl_mechanism": None}, "no mechanism"),
    ],
)
def test_settings_that_cannot_go_together_are_refused(
    settings: KafkaSettings, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(settings, **wrong)


def test_settings_security_protocol_follows_from_what_is_given(settings: KafkaSettings) -> None:
    bare = {"sasl_mechanism": None, "sasl_username": None, "sasl_password": None}
    found = [dataclasses.replace(settings, **more).security_protocol for more in ({}, {"tls": None}, bare)]
    assert found == ["SASL_SSL", "SASL_PLAINTEXT", "SSL"]
    assert dataclasses.replace(settings, **bare, tls=None).security_protocol == "PLAINTEXT"
