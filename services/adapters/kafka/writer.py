"""Writing to the Kafka protocol: a partition has one batch in flight, and the next one takes all that came meanwhile.

So a batch that fails has nothing behind it that could still be written: what one call says to a partition is there
from its first frame up to some frame, never with a hole.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from services.adapters.kafka.cursor import BaseOf
from services.adapters.kafka.metadata import NoSuchPartition, require_partition
from services.adapters.kafka.producer import ProducerSource
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.log_waiting import LoopSide, own_copy
from services.adapters.ports import Append, Headers
from services.domain.errors import LogError
from services.domain.topics import TopicPartition


class KafkaWriter:
    """`ports.Log.append` and `close`, for the event loop on which it was made."""

    def __init__(self, settings: KafkaSettings, base_of: BaseOf) -> None:
        self._settings = settings
        self._base_of = base_of
        self._side = LoopSide(asyncio.get_running_loop(), settings.max_queued_bytes)
        self._producers = ProducerSource(settings)
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._closing = False
        self._closed = False

    async def append(self, frames: Sequence[Append]) -> list[int]:
        if self._closing:
            raise LogError("the log is closed")
        for partition, data, _ in frames:
            self._check_size(partition, data)
        if not frames:
            return []
        size = sum([len(frame.data) for frame in frames])
        await self._side.admit(size)
        if self._closed:
            self._side.release(size)
            raise LogError("the log is closed")
        call = _Call(len(frames), size, self._side)
        for index, (partition, data, headers) in enumerate(frames):
            self._lane(partition).queue.append(_Entry(call, index, data, headers))
        for partition in {frame.partition: None for frame in frames}:
            self._lane(partition).wake()
        return await call.done

    async def close(self) -> None:
        """Write what was asked for, within the time that an append has, and let go of the producer."""
        if self._closing:
            return
        self._closing = True
        # Who waits for room was there before: let all of them queue up.
        self._side.admit_all()
        await asyncio.sleep(0)
        self._closed = True
        while tasks := [lane.task for lane in self._lanes.values() if lane.task is not None]:
            await asyncio.wait(tasks)
        await self._producers.close()

    def _check_size(self, partition: TopicPartition, data: bytes) -> None:
        if len(data) > self._settings.max_frame_bytes:
            raise LogError(
                f"{partition}: a frame of {len(data)} bytes is bigger than {self._settings.max_frame_bytes}, the limit"
            )

    def _lane(self, partition: TopicPartition) -> "_Lane":
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane(
                partition, self._settings, self._producers, self._base_of, self._fail_all
            )
        return lane

    def _fail_all(self, error: LogError) -> None:
        """The producer is of no more use: fail all that is in flight or queued, in every partition."""
        self._producers.drop()
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.fail(error)
            lane.cancel()


class _Call:
    """One call of `append`."""

    def __init__(self, frames: int, size: int, side: LoopSide) -> None:
        self.done: asyncio.Future[list[int]] = side.loop.create_future()
        self._offsets = [0] * frames
        self._missing = frames
        self._size = size
        self._side = side

    def landed(self, index: int, offset: int) -> None:
        """One of its frames is durable."""
        self._offsets[index] = offset
        self._missing -= 1
        if self._missing == 0:
            self._side.release(self._size)
            if not self.done.done():
                self.done.set_result(self._offsets)

    def fail(self, error: LogError) -> None:
        """One of its frames is not, or nobody knows."""
        if self._size:
            self._side.release(self._size)
            self._size = 0
        if not self.done.done():
            self.done.set_exception(own_copy(error))


class _Entry(NamedTuple):
    """A frame on its way, and its place in its call."""

    call: _Call
    at: int
    data: bytes
    headers: Headers


class _Lane:
    """What is to be written to one partition. fail_all: called with the error when a batch failed."""

    def __init__(
        self,
        partition: TopicPartition,
        settings: KafkaSettings,
        producers: ProducerSource,
        base_of: BaseOf,
        fail_all: Any,
    ) -> None:
        self.queue: deque[_Entry] = deque()
        self.task: asyncio.Task[None] | None = None
        self._in_flight: list[_Entry] = []
        self._given_up = False
        self._partition = partition
        self._on_broker = settings.on_broker(partition)
        self._timeout_s = settings.append_timeout_s
        self._producers = producers
        self._base_of = base_of
        self._fail_all = fail_all

    def wake(self) -> None:
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())

    def fail(self, error: LogError) -> None:
        """Fail all of its calls."""
        entries = [*self._in_flight, *self.queue]
        self._in_flight = []
        self.queue.clear()
        for entry in entries:
            entry.call.fail(error)

    def cancel(self) -> None:
        """Write no more. The writing itself may ask for it."""
        self._given_up = True
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    async def _run(self) -> None:
        try:
            while self.queue:
                await self._write_batch()
        except NoSuchPartition as error:
            self.fail(error)
        except Exception as error:  # Whatever it was: unanswered callers would wait for ever.
            if not self._given_up:
                self._fail_all(self._unknown(error))
        finally:
            self.task = None

    async def _write_batch(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            base = await self._base_of(self._partition)
            producer = await self._producers.get()
            await require_partition(producer.client, self._partition, self._on_broker)
            batch = producer.create_batch()
            queue, taken = self.queue, self._in_flight
            while queue and _append(batch, queue[0]):
                taken.append(queue.popleft())
            batch.close()
            sent = await producer.send_batch(batch, self._on_broker.topic, partition=self._on_broker.partition)
            first = (await sent).offset
        if first < 0:
            raise LogError("the broker has the frames, and no longer knows where")
        self._in_flight = []
        for count, entry in enumerate(taken):
            entry.call.landed(entry.at, base + first + count)

    def _unknown(self, error: Exception) -> LogError:
        why = f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else repr(error)
        failure = LogError(f"{self._partition}: appending failed, and whether it was written is unknown: {why}")
        failure.__cause__ = error
        return failure


def _append(batch: Any, entry: _Entry) -> bool:
    """Add a frame to a batch of the client's; False when it has no room."""
    return batch.append(timestamp=None, key=None, value=entry.data, headers=list(entry.headers)) is not None
