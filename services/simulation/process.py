"""Processes of the simulated world: groups of tasks that are killed together, between any two steps.

A task belongs to the process whose task made it. After `kill` its ports are dead (see `Process.require_alive`), so that
whatever its abandoned tasks still do while they unwind has no effect on anything but memory that is lost anyway.

A frozen process takes no step until it is thawed, and then goes on as if no time had passed: what its ports were asked
before that happened meanwhile, and what it remembers is old.
"""

import asyncio
import contextvars
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import Any

CURRENT: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("simulated_process", default=None)


def adopt(task: "asyncio.Task[Any]", context: contextvars.Context | None) -> None:
    """Give a new task to the process that it was made in, if any."""
    process = CURRENT.get() if context is None else context.get(CURRENT)
    if process is not None:
        process.adopt(task)


def held(handle: events.Handle) -> bool:
    """Whether what is ready has to wait because its process is frozen."""
    process = handle._context.get(CURRENT)  # type: ignore[attr-defined]
    return process is not None and process.holds(handle)


class Process:
    """One run of one program. resume: takes what became ready while it was frozen. on_kill: told once, when killed."""

    def __init__(self, name: str, resume: Callable[[list[events.Handle]], None]) -> None:
        self.name = name
        self._resume = resume
        self.alive = True
        self.on_kill: list[Callable[[], None]] = []
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._made = 0
        self.frozen = False
        self._held: list[events.Handle] = []

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        if not self.alive:
            task.cancel()
            return
        number = self._made = self._made + 1
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run a coroutine as a task of this process."""
        context = contextvars.copy_context()
        context.run(CURRENT.set, self)
        return asyncio.get_running_loop().create_task(coroutine, context=context)

    def freeze(self) -> None:
        """SIGSTOP: no step from now on."""
        self.frozen = self.alive

    def thaw(self) -> None:
        """SIGCONT: go on with what became ready meanwhile."""
        self.frozen = False
        handles, self._held = self._held, []
        self._resume(handles)

    def holds(self, handle: events.Handle) -> bool:
        if self.frozen:
            self._held.append(handle)
        return self.frozen

    def kill(self) -> None:
        """No further effect from now on; memory is gone. Must not be called by one of its own tasks."""
        if not self.alive:
            return
        self.alive = False
        self.thaw()
        for task in list(self._tasks.values()):
            task.cancel()
        for told in self.on_kill:
            told()

    def require_alive(self) -> None:
        """What every port does first: nobody hears a dead process."""
        if not self.alive:
            raise asyncio.CancelledError


def outside() -> contextvars.Context:
    """A context that belongs to no process: what happens in it goes on when the caller is dead."""
    context = contextvars.copy_context()
    context.run(CURRENT.set, None)
    return context
