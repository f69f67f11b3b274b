"""The local log: all partitions in one SQLite file, as `ports.Log`.

One thread writes. Everything that was asked for while it waited for the disk goes into its next transaction (group
commit), so that a busy log syncs no more often than an idle one. Readers in the same process are served from memory;
those that are far behind, and other processes (`open_read_only`), read the file.
"""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from services.adapters.files import make_folder, sync_folder
from services.adapters.log_tail import LogTail
from services.adapters.log_waiting import Answer, LoopSide
from services.adapters.ports import Append, StoredFrame
from services.adapters.sqlite.log_reader import SqliteLogReader, check_offset
from services.adapters.sqlite.log_table import FrameTable, NewFrame
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

MIB: Final = 1024 * 1024


class _Request(NamedTuple):
    """One call of `append`, on its way to the writer."""

    frames: list[Append]
    size: int
    done: asyncio.Future[list[int]]
    side: LoopSide


class SqliteLog:
    """The log of one process; a second one must not write to the same file (see `files.FolderLock`).

    path: made when missing. max_batch_bytes: of one transaction. max_queued_bytes: what waits for the writer before
    `append` waits too. tail_bytes: newest frames kept in memory.

    It may be used from several event loops. After a transaction failed, that one and all later appends raise LogError
    until the log is opened anew: what the disk then holds is unknown. Raises LogError when it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_batch_bytes: int = 8 * MIB,
        max_queued_bytes: int = 32 * MIB,
        tail_bytes: int = 32 * MIB,
    ) -> None:
        make_folder(path.parent)
        self._max_batch_bytes = max_batch_bytes
        self._max_queued_bytes = max_queued_bytes
        self._table = FrameTable(path)
        sync_folder(path.parent)
        self._file_reader = SqliteLogReader(path)
        bounds = self._table.bounds()
        self._starts = {partition: bound.start for partition, bound in bounds.items()}
        self._ends = {partition: bound.end for partition, bound in bounds.items()}
        self._tail = LogTail(tail_bytes)
        self._failure: LogError | None = None
        self._stopped: str | None = None
        """Why appends are refused."""
        self._closing = False
        self._sides: dict[asyncio.AbstractEventLoop, LoopSide] = {}
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="log-write", daemon=True)
        self._writer.start()

    @staticmethod
    def open_read_only(path: Path, *, poll_interval_s: float = 0.05) -> SqliteLogReader:
        """The same log for looking at, also while another process writes. Its `wait` polls."""
        return SqliteLogReader(path, poll_interval_s=poll_interval_s)

    async def append(self, frames: Sequence[Append]) -> list[int]:
        if self._closing:
            raise LogError("the log is closed")
        self._refuse_stopped()
        if not frames:
            return []
        side = self._side()
        size = sum([len(frame.data) for frame in frames])
        await side.admit(size)
        if self._stopped is not None:
            side.release(size)
            self._refuse_stopped()
        request = _Request(list(frames), size, side.loop.create_future(), side)
        self._queue.put(request)
        return await request.done

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        end = self._ends.get(partition, 0)
        check_offset(partition, offset, self._starts.get(partition, 0), end)
        if offset == end:
            return []
        # The file may hold more than is known to be durable: who read that would then ask for what lies beyond `end`.
        most = min(max_frames, end - offset)
        return self._tail.read(partition, offset, most) or await self._file_reader.read(partition, offset, most)

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        side = self._side()
        while self._ends.get(partition, 0) <= offset:
            self._refuse_stopped()
            await side.wait_for(partition, offset)

    async def start(self, partition: TopicPartition) -> int:
        return self._starts.get(partition, 0)

    async def end(self, partition: TopicPartition) -> int:
        return self.end_now(partition)

    def end_now(self, partition: TopicPartition) -> int:
        """As `end`, for those who cannot wait, such as a scrape."""
        return self._ends.get(partition, 0)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        # Who waits for room was there before: let all of them queue up before the request to stop.
        self._side().admit_all()
        await asyncio.sleep(0)
        self._stopped = self._stopped or "it is closed"
        self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._writer.join)
        await self._file_reader.close()
        self._table.close()

    def _side(self) -> LoopSide:
        loop = asyncio.get_running_loop()
        side = self._sides.get(loop)
        if side is None:
            side = self._sides[loop] = LoopSide(loop, self._max_queued_bytes)
        return side

    def _refuse_stopped(self) -> None:
        if self._stopped is not None:
            raise LogError(f"the log takes no frames: {self._stopped}")

    # On the writing thread

    def _write(self) -> None:
        while batch := self._next_batch():
            self._commit(batch)
        for side in self._known_sides():
            side.call(side.stop, LogError("the log was closed"))

    def _next_batch(self) -> list[_Request]:
        """Wait for a request and take all that came with it; empty when the log is to be closed."""
        request = self._queue.get()
        batch, size = list[_Request](), 0
        while request is not None:
            batch.append(request)
            size += request.size
            if size >= self._max_batch_bytes:
                return batch
            try:
                request = self._queue.get_nowait()
            except Empty:
                return batch
        if batch:
            # The request to close is seen again once these are written.
            self._queue.put(None)
        return batch

    def _commit(self, batch: list[_Request]) -> None:
        """Write a batch in one transaction, and tell every loop with one wake-up."""
        if self._failure is None:
            ends = dict(self._ends)
            frames, offsets = _place(batch, ends)
            try:
                self._table.insert(frames)
            except Exception as error:  # Whatever it was: unanswered callers would wait for ever.
                self._fail(error)
            else:
                self._publish(frames, ends)
                self._answer(batch, offsets)
                return
        self._answer(batch, [self._failure] * len(batch))

    def _fail(self, error: Exception) -> None:
        self._failure = LogError(f"writing the log failed, and it takes no more frames: {error}")
        self._failure.__cause__ = error
        self._stopped = str(self._failure)

    def _publish(self, frames: list[NewFrame], ends: dict[TopicPartition, int]) -> None:
        """Let readers see what was written: first the tail, then the ends that allow to read it."""
        added: dict[TopicPartition, list[StoredFrame]] = {}
        for partition, offset, data, headers in frames:
            added.setdefault(partition, []).append(StoredFrame(offset, data, headers))
        for partition, stored in added.items():
            self._tail.add(partition, stored)
        self._ends = ends

    def _answer(self, batch: list[_Request], results: Sequence[list[int] | LogError | None]) -> None:
        answers: dict[LoopSide, list[Answer]] = {}
        for request, result in zip(batch, results, strict=True):
            assert result is not None
            answers.setdefault(request.side, []).append(Answer(request.done, request.size, result))
        for side in self._known_sides():
            side.call(side.deliver, answers.get(side, []), self._ends, self._failure)

    def _known_sides(self) -> list[LoopSide]:
        """Loops that ever used this log, without those that have ended."""
        # list() of a dict is one step of the interpreter, so a loop that is being added does not disturb it.
        for side in list(self._sides.values()):
            if side.loop.is_closed():
                self._sides.pop(side.loop, None)
        return list(self._sides.values())


def _place(batch: list[_Request], ends: dict[TopicPartition, int]) -> tuple[list[NewFrame], list[list[int]]]:
    """Give every frame its offset, from `ends` on, which it moves. Returns the frames, and the offsets a request."""
    frames, offsets = list[NewFrame](), list[list[int]]()
    for request in batch:
        given = []
        for partition, data, headers in request.frames:
            offset = ends.get(partition, 0)
            ends[partition] = offset + 1
            given.append(offset)
            frames.append(NewFrame(partition, offset, data, headers))
        offsets.append(given)
    return frames, offsets
