"""A login to a real broker at level debug. The client's library would tell what it sends, which is the password."""

import asyncio
import base64
import logging
import ssl
from pathlib import Path

import pytest

from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.logs.logs import Logs
from services.adapters.ports import Append
from services.domain.topics import ORDERS, TopicPartition
from tests.real.broker import PASSWORD, USER, Broker
from tests.support.kafka import make_partitions

P = TopicPartition(ORDERS, 0)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_login_to_a_broker_at_debug_tells_no_password(tmp_path: Path, broker: Broker, mechanism: str) -> None:
    settings = KafkaSettings(
        bootstrap_servers=(broker.secure_address,),
        topic_prefix=f"login-{mechanism}.",
        tls=ssl.create_default_context(cafile=str(broker.certificate)),
        sasl_mechanism=mechanism,
        sasl_username=USER,
        sasl_password=PASSWORD,
    )

    async def log_in() -> None:
        async with asyncio.timeout(120):
            await make_partitions(settings, [P])
            log = KafkaLog(settings)
            assert await log.append([Append(P, b"a frame")]) == [0]
            await log.close()

    logs = Logs(tmp_path, "debug")
    with logs.capturing_stdlib(logs.service("ubscore")):
        asyncio.run(log_in())
    logs.close()
    said = "".join(path.read_text() for path in tmp_path.iterdir())
    assert '"logger":"aiokafka' in said
    assert '"level":"debug"' in said
    login = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    for secret in (PASSWORD, login, "sasl_auth_bytes", "SaslAuthenticate"):
        assert secret not in said
    assert logging.getLogger("aiokafka.conn").level == logging.NOTSET
