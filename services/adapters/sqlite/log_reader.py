"""Reading the local log's file: for `exchange verify` and `exchange log tail`, and for readers that are far behind."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from services.adapters.ports import Append, StoredFrame
from services.adapters.sqlite.log_table import Bounds, FrameTable
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

_T = TypeVar("_T")

_POLL_INTERVAL_S: Final = 0.05


class SqliteLogReader:
    """The local log as `ports.Log`, read-only: `append` raises LogError. Another process may be writing it.

    `wait` looks every `poll_interval_s`. Raises LogError when there is no log at `path`.
    """

    def __init__(self, path: Path, *, poll_interval_s: float = _POLL_INTERVAL_S) -> None:
        self._table = FrameTable(path, read_only=True)
        self._poll_interval_s = poll_interval_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-read")
        self._closed = False

    async def append(self, frames: Sequence[Append]) -> list[int]:
        raise LogError("the log was opened for reading only")

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> list[StoredFrame]:
        frames = await self._on_thread(lambda: self._table.select(partition, offset, max_frames))
        if not frames or frames[0].offset != offset:
            bounds = await self._bounds(partition)
            check_offset(partition, offset, bounds.start, bounds.end)
            # What was written between the two looks is for the next read.
            return []
        return frames

    async def wait(self, partition: TopicPartition, offset: int) -> None:
        # Another process cannot set an event here.
        while await self.end(partition) <= offset:  # noqa: ASYNC110
            await asyncio.sleep(self._poll_interval_s)

    async def start(self, partition: TopicPartition) -> int:
        return (await self._bounds(partition)).start

    async def end(self, partition: TopicPartition) -> int:
        return (await self._bounds(partition)).end

    async def partitions(self) -> list[TopicPartition]:
        """Every partition that was ever written, sorted."""
        return sorted(await self._on_thread(self._table.bounds))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._table.close)
        self._thread.shutdown()

    async def _bounds(self, partition: TopicPartition) -> Bounds:
        return await self._on_thread(lambda: self._table.bounds_of(partition))

    async def _on_thread(self, job: Callable[[], _T]) -> _T:
        if self._closed:
            raise LogError("the log is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        except sqlite3.Error as error:
            raise LogError(f"reading the log failed: {error}") from error


def check_offset(partition: TopicPartition, offset: int, start: int, end: int) -> None:
    """Raises LogError when `offset` cannot be read from."""
    if not start <= offset <= end:
        raise LogError(f"{partition}: offset {offset} is not on the log, which holds {start} up to {end}")
