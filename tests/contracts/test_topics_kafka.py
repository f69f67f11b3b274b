"""Topics on a real broker."""

import asyncio
import itertools
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.adapters.kafka.admin import delete_topics, present_topics
from services.adapters.kafka.bases import write_bases
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.kafka.topics import TopicSettings, apply_topics
from services.domain.errors import LogError
from services.domain.topics import BALANCE_EVENTS, ORDERS, TopicPartition
from tests.real.broker import Broker
from tests.support.aio import run_async
from tests.support.internal import silent

_NUMBERS = itertools.count(1)
TOPIC = TopicSettings(retention_ms=-1, min_insync_replicas=1)


@pytest.fixture
def brokers(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"topics-{next(_NUMBERS)}.")


@pytest.fixture
def prefix(brokers: KafkaSettings) -> str:
    return brokers.topic_prefix


async def _with_admin(brokers: KafkaSettings, question: Any) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers.bootstrap_servers))
    await admin.start()
    try:
        return await question(admin)
    finally:
        await admin.close()


async def _partitions(brokers: KafkaSettings, *names: str) -> list[int]:
    async def question(admin: Any) -> list[int]:
        topics = await admin.describe_topics([brokers.topic(name) for name in names])
        return [len(topic["partitions"]) for topic in topics]

    found: list[int] = await _with_admin(brokers, question)
    return found


async def _setting(brokers: KafkaSettings, name: str, key: str) -> str:
    async def question(admin: Any) -> str:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, brokers.topic(name))])
        return str({entry[0]: entry[1] for entry in answer.resources[0][4]}[key])

    value: str = await _with_admin(brokers, question)
    return value


@run_async
async def test_apply_new_topics_creates_them_with_their_settings(brokers: KafkaSettings, prefix: str) -> None:
    changes = await apply_topics(brokers, {ORDERS: 2, BALANCE_EVENTS: 3}, TOPIC)
    assert changes == [
        f"created topic {prefix}orders with 2 partitions",
        f"created topic {prefix}balance.events with 3 partitions",
    ]
    assert await _partitions(brokers, ORDERS, BALANCE_EVENTS) == [2, 3]
    expected = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "min.insync.replicas": "1",
        "max.message.bytes": "34603008",
        "message.timestamp.type": "LogAppendTime",
    }
    assert {key: await _setting(brokers, ORDERS, key) for key in expected} == expected


@run_async
async def test_apply_twice_changes_nothing(brokers: KafkaSettings) -> None:
    await apply_topics(brokers, {ORDERS: 2}, TOPIC)
    assert await apply_topics(brokers, {ORDERS: 2}, TOPIC) == []


@run_async
async def test_apply_more_partitions_grows_the_topic(brokers: KafkaSettings, prefix: str) -> None:
    await apply_topics(brokers, {ORDERS: 1, BALANCE_EVENTS: 1}, TOPIC)
    changes = await apply_topics(brokers, {ORDERS: 4, BALANCE_EVENTS: 1}, TOPIC)
    assert changes == [f"grew topic {prefix}orders from 1 to 4 partitions"]
    assert await _partitions(brokers, ORDERS, BALANCE_EVENTS) == [4, 1]


@run_async
async def test_apply_fewer_partitions_is_refused_and_changes_nothing(brokers: KafkaSettings) -> None:
    await apply_topics(brokers, {ORDERS: 3}, TOPIC)
    with pytest.raises(LogError, match=r"orders has 3 partitions.*wants 2: topics cannot shrink"):
        await apply_topics(brokers, {BALANCE_EVENTS: 1, ORDERS: 2}, TopicSettings(retention_ms=1))
    assert await _partitions(brokers, ORDERS) == [3]
    assert await _setting(brokers, ORDERS, "retention.ms") == "-1"
    assert await apply_topics(brokers, {BALANCE_EVENTS: 1}, TOPIC), "it was not made by the refused one"


@run_async
async def test_apply_other_settings_sets_what_differs_and_keeps_the_rest(brokers: KafkaSettings, prefix: str) -> None:
    await apply_topics(brokers, {ORDERS: 1}, TOPIC)

    async def set_by_hand(admin: Any) -> None:
        entries = {**TOPIC.entries(), "segment.bytes": "2000000", "retention.ms": "77"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, brokers.topic(ORDERS), entries)])

    await _with_admin(brokers, set_by_hand)
    assert await apply_topics(brokers, {ORDERS: 1}, TOPIC) == [f"set retention.ms of topic {prefix}orders to -1"]
    assert await _setting(brokers, ORDERS, "segment.bytes") == "2000000"
    assert await apply_topics(brokers, {ORDERS: 1}, TOPIC) == []


@run_async
async def test_apply_two_at_once_both_succeed(brokers: KafkaSettings) -> None:
    await asyncio.gather(*[apply_topics(brokers, {ORDERS: 2, BALANCE_EVENTS: 2}, TOPIC) for _ in range(2)])
    assert await _partitions(brokers, ORDERS, BALANCE_EVENTS) == [2, 2]


@run_async
async def test_apply_setting_the_broker_refuses_raises_log_error(brokers: KafkaSettings) -> None:
    with pytest.raises(LogError, match=r"orders cannot be created: .*min\.insync\.replicas"):
        await apply_topics(brokers, {ORDERS: 1}, TopicSettings(min_insync_replicas=0))
    await apply_topics(brokers, {ORDERS: 1}, TOPIC)
    with pytest.raises(LogError, match=r"orders cannot be changed: .*min\.insync\.replicas"):
        await apply_topics(brokers, {ORDERS: 1}, TopicSettings(min_insync_replicas=0))


@run_async
async def test_delete_is_over_when_the_brokers_know_the_topics_no_more(brokers: KafkaSettings, prefix: str) -> None:
    await apply_topics(brokers, {ORDERS: 2, BALANCE_EVENTS: 3}, TOPIC)
    assert await present_topics(brokers, [ORDERS, BALANCE_EVENTS]) == {
        f"{prefix}orders": 2,
        f"{prefix}balance.events": 3,
    }
    await asyncio.gather(*[delete_topics(brokers, [ORDERS, "never.made"]) for _ in range(2)])
    assert await present_topics(brokers, [ORDERS, BALANCE_EVENTS]) == {f"{prefix}balance.events": 3}


@run_async
async def test_broker_that_takes_connections_and_says_nothing_is_given_up_in_time() -> None:
    async with silent() as url:
        address = url.removeprefix("http://")
        brokers = KafkaSettings(bootstrap_servers=(address,), append_timeout_s=1.0)
        for question in (
            apply_topics(brokers, {ORDERS: 1}, TOPIC),
            present_topics(brokers, [ORDERS]),
            delete_topics(brokers, [ORDERS]),
            write_bases(brokers, {TopicPartition(ORDERS, 0): 1}),
        ):
            async with asyncio.timeout(20):
                with pytest.raises(LogError, match=r"answered for 1 s|TimeoutError"):
                    await question
