"""Coroutines that live and die together."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them until one ends or raises; then cancel the others, in order, and raise what it raised.

    A list and not a TaskGroup: that one cancels in the order of a set, which no simulation could repeat.
    """
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]

    def on_done(_: asyncio.Future[None]) -> None:
        if not first.done():
            first.set_result(None)

    for task in tasks:
        task.add_done_callback(on_done)
    try:
        await first
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
