"""Reading the Kafka protocol: a place on one partition, and where partitions start and end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as BrokerPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError

from services.adapters.kafka.metadata import require_partition
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import StoredFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

_T = TypeVar("_T")

_RETRY_S: Final = 0.2
CLIENT_ERRORS: Final = (KafkaError, ConsumerStoppedError, OSError)
"""What aiokafka raises when a broker is away or refuses; TimeoutError is an OSError."""

BaseOf = Callable[[TopicPartition], Awaitable[int]]
"""Our offset of the frame that is the broker's first of a partition (see bases.py)."""


class BrokersAway(LogError):
    """No broker answered in time; later one may."""


class OutOfRange(Exception):
    """The partition has no frame at this offset, and its next one does not go there."""


class Cursor:
    """A consumer of one partition, never in a group, for one caller at a time.

    position: where it stands; a `fetch` from there needs no seek.
    """

    def __init__(self, settings: KafkaSettings, partition: TopicPartition, base_of: BaseOf) -> None:
        self.position = -1
        self._settings = settings
        self._partition = partition
        self._base_of = base_of
        self._base = 0
        self._at = BrokerPartition(*settings.on_broker(partition))
        self._consumer: Any = None

    async def fetch(self, offset: int, max_frames: int, timeout_s: float) -> list[StoredFrame]:
        """Up to `max_frames` frames from `offset` on; empty when none came in time.

        Raises OutOfRange, and LogError on anything but the frame that was asked for.
        """
        if self._consumer is None:
            await self._connect()
        if offset < self._base:
            raise OutOfRange
        if offset != self.position:
            self._consumer.seek(self._at, offset - self._base)
            self.position = offset
        # No other task ran since assign(): the consumer never looks for a place by itself.
        try:
            got = await self._consumer.getmany(
                self._at, timeout_ms=max(1, round(timeout_s * 1000)), max_records=max_frames
            )
        except OffsetOutOfRangeError as error:
            raise OutOfRange from error
        records = got.get(self._at, ())
        frames = [
            StoredFrame(self._base + record.offset, record.value or b"", tuple(record.headers)) for record in records
        ]
        if not frames:
            return []
        if frames[0].offset != offset or frames[-1].offset != offset + len(frames) - 1:
            raise LogError(
                f"{self._partition}: asked for offset {offset}, got {frames[0].offset} to {frames[-1].offset}"
            )
        self.position = offset + len(frames)
        return frames

    async def close(self) -> None:
        """Let go of the consumer; the next `fetch` makes another one."""
        consumer, self._consumer = self._consumer, None
        self.position = -1
        if consumer is not None:
            await stopped(consumer)

    async def _connect(self) -> None:
        settings = self._settings
        self._base = await self._base_of(self._partition)
        consumer = AIOKafkaConsumer(
            **settings.client_options(),
            auto_offset_reset="none",
            enable_auto_commit=False,
            max_partition_fetch_bytes=settings.fetch_bytes,
        )
        self._consumer = await started(consumer)
        self._consumer.assign([self._at])


class Bounds:
    """Asks the brokers where partitions start and end, over a connection on which nobody waits for frames."""

    def __init__(self, settings: KafkaSettings, base_of: BaseOf) -> None:
        self._settings = settings
        self._base_of = base_of
        self._lock = asyncio.Lock()
        self._consumer: Any = None

    async def start(self, partition: TopicPartition) -> int:
        return await self._ask(partition, lambda consumer, at: consumer.beginning_offsets([at]))

    async def end(self, partition: TopicPartition) -> int:
        return await self._ask(partition, lambda consumer, at: consumer.end_offsets([at]))

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stopped(consumer)

    async def _ask(
        self,
        partition: TopicPartition,
        question: Callable[[Any, BrokerPartition], Awaitable[dict[BrokerPartition, int]]],
    ) -> int:
        """Ask until a broker answers. Raises BrokersAway when the time is up, LogError when they refuse."""
        at = BrokerPartition(*self._settings.on_broker(partition))
        try:
            async with asyncio.timeout(self._settings.read_timeout_s):
                base = await self._base_of(partition)
                while True:
                    consumer = await self._get()
                    try:
                        await require_partition(consumer._client, partition, self._settings.on_broker(partition))
                        return base + (await question(consumer, at))[at]
                    except CLIENT_ERRORS as error:
                        # By now its client has tried again for some time; another one starts from the first servers.
                        await self._give_up(consumer)
                        if isinstance(error, TopicAuthorizationFailedError):
                            raise LogError(f"{partition}: we may not read it: {error!r}") from error
        except TimeoutError as error:
            raise BrokersAway(
                f"{partition}: no broker says where it starts and ends for {self._settings.read_timeout_s:g} s"
            ) from error

    async def _get(self) -> Any:
        async with self._lock:
            if self._consumer is None:
                self._consumer = await started(AIOKafkaConsumer(**self._settings.client_options()))
            return self._consumer

    async def _give_up(self, consumer: Any) -> None:
        if self._consumer is consumer:
            self._consumer = None
            await stopped(consumer)


async def start_patiently(client: Any) -> None:
    """Start any of the clients, as often as it takes until a broker answers."""
    while True:
        try:
            await client.start()
        except CLIENT_ERRORS:
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def started(client: Any) -> Any:
    """The consumer or producer once it found a broker, however long that takes; stopped if we are cancelled before."""
    try:
        await start_patiently(client)
    except BaseException:
        await client.stop()
        raise
    return client


async def stopped(consumer: Any) -> None:
    """Stop an AIOKafkaConsumer. Its own stop() ends half-way, cancelled, when a fetch of it waits for a lost broker."""
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping])
    if stopping.cancelled() or stopping.exception() is not None:
        for fetch in consumer._fetcher._pending_tasks:
            fetch.cancel()
        await consumer._client.close()
