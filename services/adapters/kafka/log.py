"""The log on brokers that speak the Kafka protocol (Redpanda, Kafka), as `ports.Log`.

A frame is durable once all in-sync replicas have it. Partitions are made by `topics.py`, never by writing to them.
Only what both kinds of broker speak is used: produce with idempotence, fetch and list offsets by explicit partition.
"""

import asyncio
from collections.abc import Sequence

from services.adapters.kafka.bases import LogBases
from services.adapters.kafka.cursor import Bounds
from services.adapters.kafka.reader import PartitionReader
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.kafka.writer import KafkaWriter
from services.adapters.ports import Append, StoredFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition


class KafkaLog:
    """The log for the event loop on which it was made. It connects when first asked, and again after every failure.

    While no broker answers, `append` and `read` go on trying for `append_timeout_s` and `read_timeout_s` before they
    raise LogError; `wait` goes on for ever. One append that fails takes with it all that are under way at that moment.
    A frame above `max_frame_bytes` is refused before any of its call is written. Offsets are the brokers' own, unless
    the log was restored (see bases.py).
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._base_of = LogBases(settings).of
        self._writer = KafkaWriter(settings, self._base_of)
        self._bounds = Bounds(settings, self._base_of)
        self._readers: dict[TopicPartition, PartitionReader] = {}
        self._closed = False

    async def append(self, frames: Sequence[Append]) -> list[int]:
        return await self._writer.append(frames)

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        return await self._reader(partition).read(offset, max_frames)

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        await self._reader(partition).wait(offset)

    async def start(self, partition: TopicPartition) -> int:
        self._refuse_closed()
        return await self._bounds.start(partition)

    async def end(self, partition: TopicPartition) -> int:
        return await self._reader(partition).end()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writer.close()
        await asyncio.gather(*[reader.close() for reader in self._readers.values()])
        await self._bounds.close()

    def _reader(self, partition: TopicPartition) -> PartitionReader:
        self._refuse_closed()
        reader = self._readers.get(partition)
        if reader is None:
            reader = self._readers[partition] = PartitionReader(self._settings, partition, self._bounds, self._base_of)
        return reader

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LogError("the log is closed")
