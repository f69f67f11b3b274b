"""A log that was restored into new topics: everything the log must do, with offsets that go on where they were."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from services.adapters.kafka.bases import BASES_TOPIC, read_bases, write_bases
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Append, Log, StoredFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition
from tests.contracts.log_contract import LogContract, P, Q, read_all
from tests.real.broker import Broker
from tests.support.aio import run_async
from tests.support.kafka import make_partitions

_NUMBERS = itertools.count(1)
BASE = 1_000_007


@pytest.fixture
def place(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"bases-{next(_NUMBERS)}.")


class _Lowered:
    """A log whose every partition begins at BASE, with offsets less BASE: what the contract expects of a new log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def append(self, frames: Sequence[Append]) -> list[int]:
        return [offset - BASE for offset in await self._log.append(frames)]

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        frames = await self._log.read(partition, offset + BASE, max_frames)
        return [StoredFrame(frame.offset - BASE, frame.data, frame.headers) for frame in frames]

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        await self._log.wait(partition, offset + BASE)

    async def start(self, partition: TopicPartition) -> int:
        return await self._log.start(partition) - BASE

    async def end(self, partition: TopicPartition) -> int:
        return await self._log.end(partition) - BASE

    async def close(self) -> None:
        await self._log.close()


class TestRestoredKafkaLog(LogContract):
    async def prepare(self, place: KafkaSettings, partitions: Sequence[TopicPartition]) -> None:
        await make_partitions(place, partitions)
        await write_bases(place, dict.fromkeys(partitions, BASE))

    async def open_log(self, place: KafkaSettings) -> Log:
        return _Lowered(KafkaLog(place))


@run_async
async def test_bases_no_topic_are_zero(place: KafkaSettings) -> None:
    await make_partitions(place, (P, Q))
    assert await read_bases(place) == {}
    log = KafkaLog(place)
    assert await log.append([Append(P, b"x")]) == [0]
    await log.close()


@run_async
async def test_bases_differ_by_partition_and_one_that_has_none_begins_at_zero(place: KafkaSettings) -> None:
    await make_partitions(place, (P, Q))
    await write_bases(place, {P: 40})
    log = KafkaLog(place)
    assert (await log.start(P), await log.end(P)) == (40, 40)
    assert await log.append([Append(P, b"a"), Append(Q, b"b"), Append(P, b"c")]) == [40, 0, 41]
    assert await read_all(log, P) == [StoredFrame(40, b"a"), StoredFrame(41, b"c")]
    with pytest.raises(LogError, match="offset 7 is not on the log, which holds 40 up to 42"):
        await log.wait(P, 7)
    await log.wait(P, 41)
    for offset in (0, 39, 43):
        with pytest.raises(LogError, match=rf"offset {offset} is not on the log, which holds 40 up to 42"):
            await log.read(P, offset)
    await log.close()


@run_async
async def test_write_bases_again_the_same_is_nothing_and_another_is_refused_whole(place: KafkaSettings) -> None:
    await write_bases(place, {P: 5})
    await write_bases(place, {P: 5, Q: 6})
    await write_bases(place, {P: 5, Q: 6})
    other = TopicPartition(Q.topic, 9)
    with pytest.raises(LogError, match=r"orders/1 begins at offset 6 already, and cannot begin at 7"):
        await write_bases(place, {other: 1, Q: 7})
    assert await read_bases(place) == {P: 5, Q: 6}


@run_async
async def test_write_bases_replacing_takes_the_newest(place: KafkaSettings) -> None:
    await write_bases(place, {P: 5, Q: 6})
    await write_bases(place, {P: 9}, replace=True)
    assert await read_bases(place) == {P: 9, Q: 6}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"orders", b"5"),
        (b"orders/x", b"5"),
        (b"orders/0", b"many"),
        (b"orders/0", b"-1"),
        (None, b"5"),
        (b"a/0", None),
    ],
)
@run_async
async def test_bases_that_are_none_stop_the_log(place: KafkaSettings, key: Any, value: Any) -> None:
    await make_partitions(place, (P, TopicPartition(BASES_TOPIC, 0)))
    producer = AIOKafkaProducer(bootstrap_servers=list(place.bootstrap_servers))
    await producer.start()
    await producer.send_and_wait(place.topic(BASES_TOPIC), value, key)
    await producer.stop()
    log = KafkaLog(place)
    for question in (log.start(P), log.read(P, 0), log.append([Append(P, b"x")]), log.wait(P, 0)):
        with pytest.raises(LogError, match=r"log.bases offset 0: "):
            await question
    await log.close()


@run_async
async def test_partition_that_does_not_exist_raises_log_error_although_it_has_a_base(place: KafkaSettings) -> None:
    await make_partitions(place, (P,))
    nowhere = TopicPartition(P.topic, 3)
    await write_bases(place, {nowhere: 8})
    log = KafkaLog(place)
    for question in (log.end(nowhere), log.append([Append(nowhere, b"x")])):
        with pytest.raises(LogError, match="does not exist"):
            await question
    await log.close()
