"""Waiting for a position: in order, at no cost for those who gave up, and never for ever."""

import asyncio

import pytest

from services.domain.errors import LogError
from services.shell.progress import Progress
from tests.support.aio import run_async


async def _waiting(progress: Progress, *positions: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(progress.reached(position)) for position in positions]
    await asyncio.sleep(0)
    return tasks


@run_async
async def test_progress_advances_wakes_only_who_waited_for_that() -> None:
    progress = Progress()
    tasks = await _waiting(progress, 7, 3, 5, 3)
    progress.advance(5)
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [False, True, True, True]
    await progress.reached(5)
    progress.advance(9)
    await tasks[0]


@run_async
async def test_progress_fails_tells_who_waits_and_who_comes_later() -> None:
    progress = Progress()
    tasks = await _waiting(progress, 2, 1)
    progress.advance(1)
    progress.fail("the reader is gone")
    await tasks[1]
    for late in (tasks[0], progress.reached(2)):
        with pytest.raises(LogError, match="the reader is gone"):
            await late
    await progress.reached(1)


@run_async
async def test_progress_of_those_who_gave_up_keeps_nothing() -> None:
    """A core that stands still, and readers who lose their patience and ask again, for hours."""
    progress = Progress()
    for _ in range(50):
        for task in await _waiting(progress, *[9] * 100):
            task.cancel()
        await asyncio.sleep(0)
    (task,) = await _waiting(progress, 9)
    assert len(progress._waiting) < 2_000
    progress.advance(9)
    await task
