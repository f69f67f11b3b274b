"""What a real broker's crashes, silence and refusals do to the log: what was acknowledged is there, once, in order."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition as BrokerPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.kafka.topics import TopicSettings, apply_topics
from services.adapters.ports import Append, StoredFrame
from services.domain.errors import LogError
from services.domain.topics import BALANCE_OPERATIONS, ORDERS, TopicPartition
from tests.contracts.log_contract import read_all
from tests.real.broker import Broker
from tests.support.aio import run_async
from tests.support.kafka import make_partitions

P = TopicPartition(BALANCE_OPERATIONS, 0)
Q = TopicPartition(ORDERS, 1)
PATIENCE_S = 120.0
_NUMBERS = itertools.count(1)


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    made = KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"faults-{next(_NUMBERS)}.")
    asyncio.run(make_partitions(made, (P, Q)))
    return made


async def _remove_before(settings: KafkaSettings, offset: int) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))
    await admin.start()
    await admin.delete_records({BrokerPartition(settings.topic(P.topic), 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


class _Load:
    """Writers that write one numbered frame after the other, and readers that follow them, all with time to fail."""

    def __init__(self, settings: KafkaSettings, writers: int = 4) -> None:
        self.acknowledged: dict[TopicPartition, dict[int, bytes]] = {P: {}, Q: {}}
        self.unknown: set[bytes] = set()
        self.seen: dict[TopicPartition, list[StoredFrame]] = {P: [], Q: []}
        self._settings = settings
        self._log = KafkaLog(settings)
        self._reader = KafkaLog(settings)
        self._stopping = False
        self._writing = [asyncio.create_task(self._write(name)) for name in range(writers)]
        self._reading = [asyncio.create_task(self._read(partition)) for partition in (P, Q)]

    @property
    def count(self) -> int:
        return sum(len(frames) for frames in self.acknowledged.values())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Go on until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def more(self, frames: int) -> None:
        """Go on until that many more were acknowledged."""
        goal = self.count + frames
        await self.until(lambda: self.count >= goal)

    async def finish(self) -> None:
        """Stop, and check that the log has what was acknowledged, and that readers saw what the log has."""
        self._stopping = True
        await asyncio.wait_for(asyncio.gather(*self._writing), PATIENCE_S)
        fresh = KafkaLog(self._settings)
        for partition, acknowledged in self.acknowledged.items():
            stored = await read_all(fresh, partition)
            assert [frame.offset for frame in stored] == list(range(len(stored)))
            frames = {frame.offset: frame.data for frame in stored}
            assert acknowledged.items() <= frames.items()
            assert set(frames.values()) <= set(acknowledged.values()) | self.unknown
            assert len(set(frames.values())) == len(frames), "nothing is there twice"
            await self.until(lambda partition=partition, stored=stored: len(self.seen[partition]) >= len(stored))
            assert self.seen[partition] == stored
            for name in range(len(self._writing)):
                numbers = [int(data.split(b"-")[1]) for data in frames.values() if data.startswith(b"%d-" % name)]
                assert numbers == sorted(numbers), "each writer's frames are in its order"
        for task in self._reading:
            task.cancel()
        await asyncio.wait(self._reading)
        for log in (fresh, self._reader, self._log):
            await log.close()

    async def _write(self, name: int) -> None:
        for number in itertools.count():
            if self._stopping:
                return
            data = b"%d-%d" % (name, number)
            try:
                offsets = await self._log.append([Append(P, data), Append(Q, data)])
            except LogError:
                self.unknown.add(data)
            else:
                for partition, offset in zip((P, Q), offsets, strict=True):
                    assert offset not in self.acknowledged[partition]
                    self.acknowledged[partition][offset] = data

    async def _read(self, partition: TopicPartition) -> None:
        seen = self.seen[partition]
        while True:
            await self._reader.wait(partition, len(seen))
            seen += await self._reader.read(partition, len(seen))


@run_async
async def test_broker_killed_under_load_all_acknowledged_is_there_once_and_readers_go_on(
    broker: Broker, settings: KafkaSettings
) -> None:
    load = _Load(settings)
    for _ in range(2):
        await load.more(200)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
    await load.more(200)
    assert not load.unknown, "a restart is shorter than the time that an append has"
    await load.finish()


@run_async
async def test_broker_stopped_in_order_under_load_loses_nothing(broker: Broker, settings: KafkaSettings) -> None:
    load = _Load(settings)
    await load.more(100)
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    await load.more(100)
    await load.finish()


@run_async
async def test_broker_silent_longer_than_requests_wait_nothing_is_there_twice(
    broker: Broker, settings: KafkaSettings
) -> None:
    load = _Load(dataclasses.replace(settings, request_timeout_s=1.0))
    await load.more(100)
    broker.freeze()
    # The silence itself: long enough for every request to be given up and repeated, twice.
    await asyncio.sleep(2.5)
    broker.thaw()
    await load.more(100)
    assert not load.unknown
    await load.finish()


@run_async
async def test_broker_silent_longer_than_appends_wait_they_are_unknown_and_the_log_goes_on(
    broker: Broker, settings: KafkaSettings
) -> None:
    load = _Load(dataclasses.replace(settings, append_timeout_s=0.5))
    await load.more(100)
    broker.freeze()
    await load.until(lambda: len(load.unknown) >= 8)
    broker.thaw()
    await load.more(100)
    await load.finish()


@run_async
async def test_append_no_broker_yet_succeeds_once_there_is_one(broker: Broker, settings: KafkaSettings) -> None:
    await asyncio.to_thread(broker.kill)
    log = KafkaLog(settings)
    writing = asyncio.create_task(log.append([Append(P, b"early")]))
    waiting = asyncio.create_task(log.wait(P, 0))
    reading = asyncio.create_task(log.read(P, 0))
    await asyncio.to_thread(broker.start)
    async with asyncio.timeout(PATIENCE_S):
        assert await writing == [0]
        await waiting
        assert await reading in ([], [StoredFrame(0, b"early")])
        assert await log.read(P, 0) == [StoredFrame(0, b"early")]
        await log.close()


@run_async
async def test_no_broker_append_read_and_close_give_up_in_time(broker: Broker, settings: KafkaSettings) -> None:
    log = KafkaLog(dataclasses.replace(settings, append_timeout_s=0.5, read_timeout_s=0.5))
    await log.append([Append(P, b"a")])
    assert await log.read(P, 0) == [StoredFrame(0, b"a")]
    await asyncio.to_thread(broker.kill)
    async with asyncio.timeout(PATIENCE_S):
        for question in (log.append([Append(P, b"b")]), log.read(P, 1), log.end(P), log.start(P)):
            with pytest.raises(LogError):
                await question
        last = asyncio.create_task(log.append([Append(P, b"c")]))
        waiting = asyncio.create_task(log.wait(P, 5))
        await asyncio.sleep(0)
        await log.close()
        for task in (last, waiting):
            with pytest.raises(LogError):
                await task


@run_async
async def test_wait_brokers_away_for_longer_than_a_read_may_take_goes_on(
    broker: Broker, settings: KafkaSettings
) -> None:
    log = KafkaLog(dataclasses.replace(settings, read_timeout_s=0.3))
    await log.append([Append(P, b"a")])
    await log.wait(P, 0)
    waiting = asyncio.create_task(log.wait(P, 1))
    await asyncio.to_thread(broker.kill)
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(4):
            with pytest.raises(LogError):
                await log.end(P)
        assert not waiting.done()
        await asyncio.to_thread(broker.start)
        assert await log.append([Append(P, b"b")]) == [1]
        await waiting
        assert await log.read(P, 1) == [StoredFrame(1, b"b")]
        await log.close()


@run_async
async def test_wait_what_retention_removed_or_does_not_exist_raises_log_error(settings: KafkaSettings) -> None:
    log = KafkaLog(settings)
    await log.append([Append(P, b"%d" % number) for number in range(10)])
    await _remove_before(settings, 6)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(LogError, match="offset 0 is not on the log, which holds 6 up to 10"):
            await log.wait(P, 0)
        await log.wait(P, 6)
        with pytest.raises(LogError, match="orders/7 does not exist"):
            await log.wait(TopicPartition(ORDERS, 7), 0)
        await log.close()


@run_async
async def test_two_producers_at_once_both_keep_their_order_and_all_is_there(settings: KafkaSettings) -> None:
    logs = [KafkaLog(settings) for _ in range(2)]

    async def write(name: int) -> list[tuple[int, bytes]]:
        frames = [b"%d-%d" % (name, number) for number in range(300)]
        return [((await logs[name].append([Append(P, data)]))[0], data) for data in frames]

    async with asyncio.timeout(PATIENCE_S):
        written = await asyncio.gather(write(0), write(1))
        for log in logs:
            assert [(frame.offset, frame.data) for frame in await read_all(log, P)] == sorted(written[0] + written[1])
        for log in logs:
            await log.close()
    assert all(offsets == sorted(offsets) for offsets in ([o for o, _ in own] for own in written))


@run_async
async def test_append_frame_above_our_limit_is_refused_before_anything_is_written(settings: KafkaSettings) -> None:
    log = KafkaLog(dataclasses.replace(settings, max_frame_bytes=1_000))
    with pytest.raises(LogError, match="a frame of 1001 bytes is bigger than 1000"):
        await log.append([Append(P, b"small"), Append(P, b"x" * 1_001)])
    assert await log.append([Append(P, b"x" * 1_000)]) == [0]
    await log.close()


@run_async
async def test_append_frame_as_big_as_the_result_of_a_great_sweep_is_written_and_read(settings: KafkaSettings) -> None:
    """One order that trades with ten thousand others has a result of two megabytes, which nobody can cut."""
    big = b"".join(number.to_bytes(8, "big") for number in range(700_000))
    writer, reader = KafkaLog(settings), KafkaLog(settings)
    async with asyncio.timeout(PATIENCE_S):
        assert await writer.append([Append(P, b"before"), Append(P, big), Append(P, b"behind")]) == [0, 1, 2]
        assert [frame.data for frame in await read_all(reader, P)] == [b"before", big, b"behind"]
        await writer.close()
        await reader.close()


@run_async
async def test_append_frame_above_the_topics_limit_fails_and_leaves_no_hole(settings: KafkaSettings) -> None:
    await apply_topics(settings, {P.topic: 1}, TopicSettings(max_message_bytes=2_000))
    log = KafkaLog(settings)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(LogError, match="MessageSizeTooLarge"):
            await log.append([Append(P, b"x" * 3_000), Append(P, b"behind it")])
        assert await log.end(P) == 0, "what comes behind it in its call is not there either"
        assert await log.append([Append(P, b"next")]) == [0]
        await log.close()


@run_async
async def test_partition_that_does_not_exist_raises_log_error_and_the_others_go_on(settings: KafkaSettings) -> None:
    log = KafkaLog(settings)
    nowhere = TopicPartition(ORDERS, 7)
    async with asyncio.timeout(PATIENCE_S):
        failing = asyncio.create_task(log.append([Append(nowhere, b"x")]))
        assert await log.append([Append(Q, b"y")]) == [0]
        for question in (failing, log.end(nowhere), log.start(nowhere), log.read(nowhere, 0)):
            with pytest.raises(LogError, match=r"orders/7 does not exist: the brokers have 2 partitions"):
                await question
        await log.close()


@run_async
async def test_read_what_retention_removed_raises_log_error_with_the_bounds(settings: KafkaSettings) -> None:
    log = KafkaLog(settings)
    await log.append([Append(P, b"%d" % number) for number in range(10)])
    await _remove_before(settings, 6)
    async with asyncio.timeout(PATIENCE_S):
        assert (await log.start(P), await log.end(P)) == (6, 10)
        for offset in (0, 5):
            with pytest.raises(LogError, match=rf"offset {offset} is not on the log, which holds 6 up to 10"):
                await log.read(P, offset)
        assert (await log.read(P, 6))[0] == StoredFrame(6, b"6")
        await log.close()


@run_async
async def test_many_readers_at_many_places_all_read_the_same(settings: KafkaSettings) -> None:
    log = KafkaLog(dataclasses.replace(settings, fetch_bytes=5_000, tail_bytes=5_000))

    async def reader(partition: TopicPartition, start: int) -> list[StoredFrame]:
        seen: list[StoredFrame] = []
        while start + len(seen) < 600:
            await log.wait(partition, start + len(seen))
            seen += await log.read(partition, start + len(seen), 50)
        return seen

    async with asyncio.timeout(PATIENCE_S):
        frames = [b"%050d" % number for number in range(600)]
        await log.append([Append(P, data) for data in frames[:400]])
        starts = (0, 0, 1, 199, 399, 400, 500)
        reading = [asyncio.create_task(reader(partition, start)) for partition in (P, Q) for start in starts]
        await log.append([Append(Q, data) for data in frames])
        for data in frames[400:]:
            await log.append([Append(P, data)])
        for task, start in zip(reading, starts * 2, strict=True):
            assert await task == [StoredFrame(number, frames[number]) for number in range(start, 600)]
        await log.close()
