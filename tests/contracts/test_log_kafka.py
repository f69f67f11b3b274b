import dataclasses
import itertools
from collections.abc import Sequence

import pytest

from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Log
from services.domain.topics import TopicPartition
from tests.contracts.log_contract import LogContract
from tests.real.broker import Broker
from tests.support.kafka import make_partitions

_NUMBERS = itertools.count(1)


@pytest.fixture
def place(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"contract-{next(_NUMBERS)}.")


class TestKafkaLog(LogContract):
    async def prepare(self, place: KafkaSettings, partitions: Sequence[TopicPartition]) -> None:
        await make_partitions(place, partitions)

    async def open_log(self, place: KafkaSettings) -> Log:
        return KafkaLog(place)


class TestKafkaLogWithoutRoom(TestKafkaLog):
    """Tiny limits: every batch and fetch is small, the queue is nearly always full, and so is the tail in memory."""

    async def open_log(self, place: KafkaSettings) -> Log:
        tiny = {"max_batch_bytes": 200, "max_queued_bytes": 30, "fetch_bytes": 500, "tail_bytes": 2_000}
        return KafkaLog(dataclasses.replace(place, **tiny))
