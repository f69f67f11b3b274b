"""The services of one process as tasks: the first that fails, or ends without being asked to, is the failure of all."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from services.domain.errors import ExchangeError
from services.shell.projection_shell import RUNNING


class ServiceTasks:
    """Tasks by the names of their services. Make it on the event loop that runs them."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._may_end = False

    @property
    def started(self) -> bool:
        """Whether any service was started."""
        return bool(self._tasks)

    @property
    def failed(self) -> bool:
        """Whether a service has failed."""
        return self._failure.done() and not self._failure.cancelled()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a service."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_done)
        self._tasks[name] = task

    def states(self) -> dict[str, str]:
        """By name: RUNNING, or "stopped" and why."""
        return {name: _describe(task) for name, task in self._tasks.items()}

    async def wait_failed(self) -> None:
        """Return never; raise what stopped a service."""
        await asyncio.shield(self._failure)

    async def run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`; when a service fails before it is done, cancel it and raise what stopped the service."""
        task = asyncio.ensure_future(work)
        done: set[asyncio.Future[None]] = set()
        try:
            done, _ = await asyncio.wait([task, self._failure], return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await (task if task in done else self._failure)

    def let_end(self) -> None:
        """From now on a service may end without that being a failure."""
        self._may_end = True

    async def end(self, name: str, *, cancel: bool = False) -> None:
        """Wait for a service to end, whichever way; nothing happens when it was never started."""
        task = self._tasks.get(name)
        if task is not None:
            if cancel:
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def cancel_all(self) -> None:
        """End whatever still runs, in the order of their start."""
        for name in list(self._tasks):
            await self.end(name, cancel=True)

    def close(self) -> None:
        """Nobody will ask for a failure any more."""
        if self._failure.done():
            # Looked at, so that asyncio does not complain about one that nobody waited for.
            self._failure.exception()
        else:
            self._failure.cancel()

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self._failure.done():
            return
        error = task.exception()
        if error is not None:
            self._failure.set_exception(error)
        elif not self._may_end:
            self._failure.set_exception(ExchangeError(f"{task.get_name()} ended, and nobody had asked it to"))


def _describe(task: "asyncio.Task[None]") -> str:
    if not task.done():
        return RUNNING
    error = None if task.cancelled() else task.exception()
    return f"stopped: {error}" if error is not None else "stopped"
