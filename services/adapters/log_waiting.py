"""What one event loop waits for on a log that is written by a thread: answers, room in the queue, new frames."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from services.domain.errors import LogError
from services.domain.topics import TopicPartition


class Answer(NamedTuple):
    """What became of one `append`."""

    done: asyncio.Future[list[int]]
    size: int
    """The bytes that it held in the queue."""
    result: list[int] | LogError


class LoopSide:
    """One event loop's side of the log. All but `call` is for that loop alone, so it needs no lock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_queued_bytes: int) -> None:
        self.loop = loop
        self._max_queued_bytes = max_queued_bytes
        self._queued_bytes = 0
        self._blocked: deque[tuple[asyncio.Future[None], int]] = deque()
        self._waiters: dict[TopicPartition, list[tuple[int, asyncio.Future[None]]]] = {}

    def call(self, what: Callable[..., None], *args: Any) -> None:
        """Run `what` on the loop; from any thread. Nothing happens when the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(what, *args)
        except RuntimeError:
            assert self.loop.is_closed()

    async def admit(self, size: int) -> None:
        """Return once `size` bytes may be queued, in the order of asking; they count until `release`."""
        if self._queued_bytes < self._max_queued_bytes and not self._blocked:
            self._queued_bytes += size
            return
        admitted: asyncio.Future[None] = self.loop.create_future()
        self._blocked.append((admitted, size))
        try:
            await admitted
        except asyncio.CancelledError:
            if not admitted.cancelled():
                # Admitted and cancelled at once: the room goes to the next one.
                self.release(size)
            raise

    def release(self, size: int) -> None:
        """Give room back, and admit who fits into it."""
        self._queued_bytes -= size
        while self._blocked and self._queued_bytes < self._max_queued_bytes:
            self._admit_next()

    def admit_all(self) -> None:
        """Admit everyone who waits, whatever the limit says."""
        while self._blocked:
            self._admit_next()

    def _admit_next(self) -> None:
        admitted, size = self._blocked.popleft()
        if not admitted.done():
            self._queued_bytes += size
            admitted.set_result(None)

    async def wait_for(self, partition: TopicPartition, offset: int) -> None:
        """Return once `deliver` says that `partition` ends behind `offset`. Raises LogError when the log stops."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        entry = (offset, waiter)
        waiters = self._waiters.setdefault(partition, [])
        waiters.append(entry)
        try:
            await waiter
        finally:
            if entry in waiters:
                waiters.remove(entry)

    def deliver(self, answers: list[Answer], ends: Mapping[TopicPartition, int], failure: LogError | None) -> None:
        """Hand out the answers of one transaction, and wake who waits for frames that can now be read."""
        for done, size, result in answers:
            self.release(size)
            if done.done():
                continue
            if isinstance(result, LogError):
                done.set_exception(own_copy(result))
            else:
                done.set_result(result)
        if failure is not None:
            self.stop(failure)
            return
        for partition, waiters in self._waiters.items():
            if waiters:
                self._wake(waiters, ends.get(partition, 0))

    def stop(self, why: LogError) -> None:
        """Fail everyone who waits for frames, because none will come."""
        for waiters in self._waiters.values():
            for _, waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(own_copy(why))

    def _wake(self, waiters: list[tuple[int, asyncio.Future[None]]], end: int) -> None:
        for offset, waiter in waiters:
            if offset < end and not waiter.done():
                waiter.set_result(None)


def own_copy(error: LogError) -> LogError:
    """An equal error of its own: one that is raised at several places would collect all their tracebacks."""
    copy = LogError(*error.args)
    copy.__cause__ = error.__cause__
    return copy
