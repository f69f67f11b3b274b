"""The broker alone: a plain producer and a plain consumer move the frames of a run of the exchange once more.

    python -m benchmarks.bare_broker SERVERS PREFIX SAMPLE SECONDS

is the producer, a process of its own; SAMPLE is a file with the frames of each topic. It prints how many rounds of
them it wrote. The consumer is in the process that measures.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ORDERS, TOPICS

Sample = dict[str, list[bytes]]

HOPS: Final = (ORDERS, BALANCE_OPERATIONS, BALANCE_EVENTS)
_BATCH_BYTES: Final = 1_000_000


def _producer(servers: str) -> Any:
    return AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, max_batch_size=_BATCH_BYTES, linger_ms=0
    )


async def _consumer(servers: str, prefix: str, topics: tuple[str, ...]) -> Any:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=100
    )
    await consumer.start()
    consumer.assign([TopicPartition(prefix + topic, 0) for topic in topics])
    return consumer


async def bare_rate(servers: str, prefix: str, sample: Sample, folder: Path, seconds: float) -> float:
    """Rounds of the sample a second, from the first write until the consumer has all of it."""
    path = folder / "sample.msgpack"
    path.write_bytes(msgspec.msgpack.encode(sample))
    consumer = await _consumer(servers, prefix, TOPICS)
    arguments = ["-m", "benchmarks.bare_broker", servers, prefix, str(path), str(seconds)]
    producer = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    told = asyncio.create_task(producer.communicate())
    frames_a_round = sum(map(len, sample.values()))
    begin, received, rounds = 0.0, 0, 0
    while not rounds or received < rounds * frames_a_round:
        got = await consumer.getmany(timeout_ms=100)
        begin = begin or (time.perf_counter() if got else 0.0)
        received += sum(map(len, got.values()))
        if told.done():
            rounds = int(told.result()[0])
    elapsed = time.perf_counter() - begin
    await consumer.stop()
    return rounds / elapsed


async def bare_hops(servers: str, prefix: str, frame: bytes, count: int, pause_s: float) -> list[float]:
    """Seconds of three hops one after the other, each written durably and read, `count` times."""
    producer, consumers = _producer(servers), {topic: await _consumer(servers, prefix, (topic,)) for topic in HOPS}
    await producer.start()
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        for topic in HOPS:
            await producer.send_and_wait(prefix + topic, frame, partition=0)
            while not await consumers[topic].getmany(timeout_ms=1_000):
                pass
        taken.append(time.perf_counter() - begin)
        await asyncio.sleep(pause_s)
    for client in (producer, *consumers.values()):
        await client.stop()
    return taken


async def _produce(servers: str, prefix: str, sample: Mapping[str, list[bytes]], seconds: float) -> int:
    producer = _producer(servers)
    await producer.start()
    rounds, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        await asyncio.gather(*[_write(producer, prefix + topic, frames) for topic, frames in sample.items()])
        rounds += 1
    await producer.stop()
    return rounds


async def _write(producer: Any, topic: str, frames: list[bytes]) -> None:
    """All frames, in batches as large as they may be, one in flight."""
    position = 0
    while position < len(frames):
        batch = producer.create_batch()
        while position < len(frames) and batch.append(timestamp=None, key=None, value=frames[position]) is not None:
            position += 1
        batch.close()
        await (await producer.send_batch(batch, topic, partition=0))


if __name__ == "__main__":
    _servers, _prefix, _path, _seconds = sys.argv[1:]
    _sample = msgspec.msgpack.decode(Path(_path).read_bytes(), type=Sample)
    print(uvloop.run(_produce(_servers, _prefix, _sample, float(_seconds))))
