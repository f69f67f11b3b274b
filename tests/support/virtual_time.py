"""Tests that wait for hours: the clock of their event loop jumps to the next timer."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from services.simulation.loop import SimulatedLoop
from services.simulation.process import adopt, held


def run_in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """The coroutine function as a plain one. What it runs may do no I/O and use no thread."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        loop = SimulatedLoop(adopt, held)
        try:
            loop.run_until_complete(test(*arguments, **named))
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.001))
            loop.close()

    return run
