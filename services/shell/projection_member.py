"""The shells of one process that shares the partitions of its topics with others: one for each that it has."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from services.adapters.ports import ProjectionStore
from services.domain.errors import InvariantError
from services.domain.topics import TopicPartition
from services.shell.projection_shell import RUNNING, Frames, ProjectionShell


class GroupFrames(Frames, Protocol):
    """Frames of the partitions that a member of a group has at the moment (see adapters.kafka.faust_frames)."""

    state: str

    async def run(
        self, on_assigned: Callable[[TopicPartition], None], on_revoked: Callable[[TopicPartition], Awaitable[None]]
    ) -> None: ...

    def stop(self) -> None: ...


class ProjectionMember:
    """Runs a shell on every partition that the group gives to this process. The first that fails stops all.

    make_shell: makes the shell of a partition; it reads from `frames`.
    """

    def __init__(self, frames: GroupFrames, make_shell: Callable[[TopicPartition], ProjectionShell[Any]]) -> None:
        self.shells: dict[TopicPartition, ProjectionShell[Any]] = {}
        self.frames = frames
        self._make_shell = make_shell
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] | None = None

    @property
    def state(self) -> str:
        """`RUNNING` when all is well, else what the group or the first shell in trouble waits for."""
        states = [self.frames.state, *(shell.state for shell in self.shells.values())]
        return next((state for state in states if state != RUNNING), RUNNING)

    async def run(self) -> None:
        """Be a member until `stop`. Raises what stopped a shell or the stream."""
        self._failed = asyncio.get_running_loop().create_future()
        member = asyncio.create_task(self.frames.run(self._start, self._end))
        try:
            await asyncio.wait([member, self._failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.frames.stop()
            await asyncio.wait([member])
        if self._failed.done():
            self._failed.result()
        member.result()

    def stop(self) -> None:
        """Let the shells write what they have folded, and `run` return."""
        self.frames.stop()

    def _start(self, partition: TopicPartition) -> None:
        shell = self.shells[partition] = self._make_shell(partition)
        task = self._tasks[partition] = asyncio.create_task(shell.run())
        task.add_done_callback(self._ended)

    async def _end(self, partition: TopicPartition) -> None:
        """Have the shell write what it has folded; cancelled, it is broken off."""
        shell, task = self.shells.pop(partition), self._tasks.pop(partition)
        shell.stop()
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed is None or self._failed.done():
            return
        if (error := task.exception()) is not None:
            self._failed.set_exception(error)
        elif task in self._tasks.values():
            self._failed.set_exception(InvariantError("a projection ended without being asked to"))


def stored_position(store: ProjectionStore, reader: str) -> Callable[[TopicPartition], Awaitable[int]]:
    """Where the store says that a projection stands on a partition; for the group's frames."""

    async def position(partition: TopicPartition) -> int:
        progress = await store.progress(reader, partition)
        return 0 if progress is None else progress.next_offset

    return position
