"""Whether a partition exists, as a client of the Kafka protocol knows it."""

import asyncio
from typing import Any, Final

from services.domain.errors import LogError
from services.domain.topics import TopicPartition

_LOOKS: Final = 5
_LOOK_EVERY_S: Final = 0.2


class NoSuchPartition(LogError):
    """The brokers have no such partition."""


async def require_partition(client: Any, partition: TopicPartition, on_broker: TopicPartition) -> None:
    """Return once the AIOKafkaClient knows the partition. Raises NoSuchPartition when the brokers say it is not there.

    One that was made just now may be known to some of them only, so they are asked a few times.
    """
    topic, number = on_broker
    if number in (client.cluster.partitions_for_topic(topic) or ()):
        return
    known: set[int] = set()
    for _ in range(_LOOKS):
        client.add_topic(topic)
        # Only the brokers can tell when they are back.
        while not await client.force_metadata_update():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)
        known = client.cluster.partitions_for_topic(topic) or set()
        if number in known:
            return
        await asyncio.sleep(_LOOK_EVERY_S)
    raise NoSuchPartition(f"{partition} does not exist: the brokers have {len(known)} partitions of {topic}")
