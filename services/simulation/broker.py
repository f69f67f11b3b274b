"""A simulated log: durable only after its commit, slow at times, and as unsure about failures as a real broker.

What the port's contract allows happens: a frame may be durable although its writer died or was told LogError; it may
land long after that; a write of several frames may end after any of them, though never with a hole in a partition; and
a frame may be there twice, as when a producer repeats what it got no answer for.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.ports import Append, StoredFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition
from services.simulation.faults import MILLISECOND, Faults
from services.simulation.process import Process, outside

Step = Callable[[Process], None]

_COMMIT_MS: Final = (0.2, 3.0)
_ANSWER_MS: Final = (0.05, 1.0)
_LATE_MS: Final = (1.0, 120.0)


class _Write:
    """One append on its way. left: what is not committed yet."""

    def __init__(self, process: Process, frames: Sequence[Append], done: "asyncio.Future[list[int]]") -> None:
        self.process = process
        self.left = list(frames)
        self.done = done


class Broker:
    """All partitions. It is no process and never dies; only what was committed is there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults) -> None:
        self.partitions: dict[TopicPartition, list[bytes]] = {}
        self.in_flight = 0
        """Frames and answers that are on their way."""
        self._loop = loop
        self._faults = faults
        self._waiting: dict[TopicPartition, list[tuple[int, asyncio.Future[None]]]] = {}

    def frames(self, partition: TopicPartition) -> list[bytes]:
        return self.partitions.setdefault(partition, [])

    def later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """Have the broker itself do something, whatever becomes of who asked."""
        self.in_flight += 1
        self._loop.call_later(delay_s, self._run, callback, *args, context=outside())

    def _run(self, callback: Callable[..., None], *args: Any) -> None:
        self.in_flight -= 1
        callback(*args)

    def send(self, process: Process, frames: Sequence[Append]) -> "asyncio.Future[list[int]]":
        """Start a write; its future ends with the offsets, or with LogError."""
        write = _Write(process, frames, self._loop.create_future())
        faults = self._faults
        self.later(faults.delay_s(*_COMMIT_MS), self._arrive, write)
        return write.done

    def _arrive(self, write: _Write) -> None:
        faults = self._faults
        failing = faults.strikes(faults.rates.log_error)
        if not failing and write.process.alive:
            offsets = [self._commit(frame) for frame in write.left]
            self.later(faults.delay_s(*_ANSWER_MS), _answer, write, offsets)
            return
        # Nobody will ever know what became of this write: some of it, all of it, now or later.
        committed = faults.dice.randint(0, len(write.left))
        for frame in write.left[:committed]:
            self._commit(frame)
        del write.left[:committed]
        if write.left and faults.strikes(faults.rates.late_append):
            self.later(faults.dice.uniform(*_LATE_MS) * MILLISECOND, self._land, write)
        if failing:
            faults.counts.log_errors += 1
            self.later(faults.delay_s(*_ANSWER_MS), _refuse, write)

    def _land(self, write: _Write) -> None:
        for frame in write.left:
            self._commit(frame)

    def _commit(self, frame: Append) -> int:
        frames = self.frames(frame.partition)
        frames.append(frame.data)
        faults = self._faults
        if faults.strikes(faults.rates.duplicate):
            self.later(faults.dice.choice((0.0, 0.002, 0.05)), self._repeat, frame)
        self._wake(frame.partition)
        return len(frames) - 1

    def _repeat(self, frame: Append) -> None:
        self._faults.counts.duplicates += 1
        self.frames(frame.partition).append(frame.data)
        self._wake(frame.partition)

    def _wake(self, partition: TopicPartition) -> None:
        end = len(self.frames(partition))
        waiting = self._waiting.get(partition, [])
        self._waiting[partition] = [(offset, woken) for offset, woken in waiting if offset >= end]
        for offset, woken in waiting:
            if offset < end:
                self.later(self._faults.delay_s(*_ANSWER_MS), _wake_one, woken)

    def wait(self, partition: TopicPartition, offset: int) -> "asyncio.Future[None]":
        """A future that ends after the frame at `offset` was committed."""
        woken: asyncio.Future[None] = self._loop.create_future()
        if offset < len(self.frames(partition)):
            woken.set_result(None)
        else:
            self._waiting.setdefault(partition, []).append((offset, woken))
        return woken


def _answer(write: _Write, offsets: list[int]) -> None:
    if not write.done.done():
        write.done.set_result(offsets)


def _refuse(write: _Write) -> None:
    if not write.done.done():
        write.done.set_exception(LogError("simulated: the log did not answer"))


def _wake_one(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


class SimulatedLog:
    """`ports.Log` as one process sees it."""

    def __init__(
        self,
        broker: Broker,
        process: Process,
        faults: Faults,
        step: Step,
        on_append: Callable[[Sequence[Append]], None],
    ) -> None:
        """on_append: called before every write."""
        self.asked_end: dict[TopicPartition, tuple[int, float]] = {}
        """The last answer of `end`, and when it was given."""
        self._on_append = on_append
        self._broker = broker
        self._process = process
        self._faults = faults
        self._step = step

    async def append(self, frames: Sequence[Append]) -> list[int]:
        self._process.require_alive()
        self._on_append(frames)
        self._step(self._process)
        offsets = await self._broker.send(self._process, frames)
        self._process.require_alive()
        return offsets

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        await self._ask()
        if self._faults.strikes(self._faults.rates.log_read_error):
            self._faults.counts.log_errors += 1
            raise LogError("simulated: the log cannot be read now")
        frames = self._broker.frames(partition)
        if not 0 <= offset <= len(frames):
            raise LogError(f"{partition}: offset {offset} is not within 0 to {len(frames)}")
        # Sometimes a read gives less than there is, as any broker may.
        count = self._faults.dice.choice((1, 3, max_frames, max_frames, max_frames))
        part = frames[offset : offset + min(count, max_frames)]
        return [StoredFrame(offset + i, data) for i, data in enumerate(part)]

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        self._process.require_alive()
        self._step(self._process)
        await self._broker.wait(partition, offset)
        self._process.require_alive()

    async def start(self, partition: TopicPartition) -> int:
        await self._ask()
        return 0

    async def end(self, partition: TopicPartition) -> int:
        await self._ask()
        end = len(self._broker.frames(partition))
        self.asked_end[partition] = (end, asyncio.get_running_loop().time())
        return end

    def committed(self, partition: TopicPartition) -> list[bytes]:
        """All that is there, for those who check."""
        return self._broker.frames(partition)

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def _ask(self) -> None:
        self._process.require_alive()
        self._step(self._process)
        await asyncio.sleep(self._faults.delay_s(*_ANSWER_MS))
        self._process.require_alive()
