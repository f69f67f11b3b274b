"""Where the offsets of our partitions begin on the brokers, whose own always begin at 0.

A log that was restored into new topics goes on with the offsets it had: the frame that the broker has at 0 is ours at
the partition's base. Bases are records (key: the partition, value: the number) on a small topic beside the log, which
exists only where something was restored; without it, every base is 0.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as BrokerPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAuthorizationFailedError

from services.adapters.kafka.admin import connected_admin, create_topics, wait_for_leaders
from services.adapters.kafka.cursor import CLIENT_ERRORS, started, stopped
from services.adapters.kafka.settings import KafkaSettings
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

BASES_TOPIC: Final = "log.bases"
_RETRY_S: Final = 0.2
_POLL_MS: Final = 200


class LogBases:
    """The bases, read once from the brokers when first asked for."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._bases: dict[TopicPartition, int] | None = None

    async def of(self, partition: TopicPartition) -> int:
        """Our offset of the frame that is the broker's first. Waits for a broker as long as it takes.

        Raises LogError when we may not read them, or they are none.
        """
        if self._bases is None:
            async with self._lock:
                if self._bases is None:
                    self._bases = await _read_patiently(self._settings)
        return self._bases.get(partition, 0)


async def read_bases(settings: KafkaSettings) -> dict[TopicPartition, int]:
    """All that are written. Raises LogError when the brokers do not answer in time, or they are none."""
    try:
        async with asyncio.timeout(settings.read_timeout_s):
            return await _read_patiently(settings)
    except TimeoutError as error:
        raise LogError(f"no broker tells the log's bases for {settings.read_timeout_s:g} s") from error


async def write_bases(
    settings: KafkaSettings, bases: Mapping[TopicPartition, int], *, replication: int = 1, replace: bool = False
) -> None:
    """Write bases durably, before anybody opens the log; those that are there already stay as they are.

    replace: for partitions that were emptied. Without it, raises LogError, and writes nothing, when another base than
    the given one is there, for then offsets would change under their readers. Also raises it when brokers refuse.
    """
    try:
        async with asyncio.timeout(settings.append_timeout_s):
            await _make_topic(settings, replication)
            present = await _read_patiently(settings)
            if not replace:
                _refuse_others(present, bases)
            await _append(settings, {p: base for p, base in bases.items() if present.get(p) != base})
    except CLIENT_ERRORS as error:
        raise LogError(f"the log's bases could not be written: {error!r}") from error


def _refuse_others(present: Mapping[TopicPartition, int], bases: Mapping[TopicPartition, int]) -> None:
    for partition, base in bases.items():
        if present.get(partition, base) != base:
            raise LogError(f"{partition} begins at offset {present[partition]} already, and cannot begin at {base}")


async def _make_topic(settings: KafkaSettings, replication: int) -> None:
    async with connected_admin(settings) as admin:
        name = settings.topic(BASES_TOPIC)
        await create_topics(admin, [NewTopic(name, 1, replication, topic_configs={"cleanup.policy": "compact"})])
        await wait_for_leaders(admin, {name: 1})


async def _append(settings: KafkaSettings, bases: Mapping[TopicPartition, int]) -> None:
    producer = await started(AIOKafkaProducer(**settings.client_options(), acks="all", enable_idempotence=True))
    try:
        for partition, base in bases.items():
            await producer.send_and_wait(settings.topic(BASES_TOPIC), str(base).encode(), str(partition).encode())
    finally:
        await producer.stop()


async def _read_patiently(settings: KafkaSettings) -> dict[TopicPartition, int]:
    while True:
        consumer = await started(
            AIOKafkaConsumer(**settings.client_options(), enable_auto_commit=False, auto_offset_reset="none")
        )
        try:
            return await _read(settings.topic(BASES_TOPIC), consumer)
        except TopicAuthorizationFailedError as error:
            raise LogError(f"we may not read topic {settings.topic(BASES_TOPIC)}: {error!r}") from error
        except CLIENT_ERRORS:
            await asyncio.sleep(_RETRY_S)
        finally:
            await stopped(consumer)


async def _read(topic: str, consumer: Any) -> dict[TopicPartition, int]:
    if topic not in await consumer.topics():
        return {}
    at = BrokerPartition(topic, 0)
    consumer.assign([at])
    start, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
    consumer.seek(at, start)
    bases: dict[TopicPartition, int] = {}
    position = start
    while position < end:
        for record in (await consumer.getmany(at, timeout_ms=_POLL_MS)).get(at, ()):
            bases.update([_decode(topic, record)])
        position = await consumer.position(at)
    return bases


def _decode(topic: str, record: Any) -> tuple[TopicPartition, int]:
    try:
        name, _, number = record.key.decode().rpartition("/")
        partition, base = TopicPartition(name, int(number)), int(record.value)
    except (AttributeError, TypeError, ValueError) as error:
        raise LogError(f"{topic} offset {record.offset}: not a base of a partition") from error
    if base < 0:
        raise LogError(f"{topic} offset {record.offset}: {partition} cannot begin at {base}")
    return partition, base
