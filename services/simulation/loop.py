"""An event loop without a world behind it: time is a number, and jumps to the next timer when nothing is ready.

What is ready runs in the order in which it became ready, timers by (time, order of their making). Nothing depends on
a hash, an address, a thread, a file descriptor or the wall clock.
"""

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable
from contextvars import Context
from typing import Any, NoReturn

from services.domain.errors import InvariantError


class Stuck(InvariantError):
    """Nothing is ready and no timer is set: the world would wait for ever."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs callbacks one after the other in virtual time.

    on_task: told of every task and of the context that it was given; None when it runs in its maker's. holds: whether
    somebody keeps what is ready from running now; who does gives it back to `resume`.
    """

    _ready: Any
    _stopping: bool

    def __init__(
        self,
        on_task: Callable[["asyncio.Task[Any]", Context | None], None],
        holds: Callable[[events.Handle], bool],
    ) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, events.TimerHandle]] = []
        self._timer_count = 0
        self._on_task = on_task
        self._holds = holds
        self.broken: BaseException | None = None
        """The first exception that a callback, not a task, raised. Ends the run."""
        self.set_exception_handler(self._note_exception)
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        handle = events.TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def resume(self, handles: list[events.Handle]) -> None:
        """Make ready again what was held."""
        self._ready.extend(handles)

    def run_in_executor(self, *_args: Any) -> NoReturn:  # type: ignore[override]
        """A thread would bring its own order of things."""
        raise RuntimeError("the simulation has no threads: only ports may do I/O")

    def _make_task(self, _loop: Any, coroutine: Any, **kwargs: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, **kwargs)
        self._on_task(task, kwargs.get("context"))
        return task

    def _run_once(self) -> None:
        if not self._ready:
            self._advance()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle._cancelled and not self._holds(handle):
                handle._run()
        if self.broken is not None:
            raise self.broken

    def _advance(self) -> None:
        """Jump to the next timer and make it and all of its moment ready."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing is ready and no timer is set: everybody waits for somebody")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)

    def _note_exception(self, _loop: Any, context: dict[str, Any]) -> None:
        # Without a handle it tells of an exception that nobody fetched, whenever the garbage collector finds it:
        # the world must not depend on that. Supervisors look at the tasks that matter.
        if "handle" in context and self.broken is None:
            self.broken = context["exception"]

    # An abandoned generator of a killed process is gone, as its process is. Closing it when the garbage collector
    # finds it would run code at a moment that no seed decides.
    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        pass

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        pass

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        pass

    def _process_events(self, event_list: Any) -> NoReturn:
        raise RuntimeError("the simulation has no I/O")

    def _write_to_self(self) -> NoReturn:
        raise RuntimeError("the simulation has no threads that could call it")
