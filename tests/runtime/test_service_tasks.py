"""The services of one process, and what is done beside them."""

import asyncio

import pytest

from services.domain.errors import LogError
from services.runtime.service_tasks import ServiceTasks
from tests.support.aio import run_async


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _fails() -> None:
    raise LogError("the service failed")


@run_async
async def test_run_beside_cancelled_work_is_over_when_it_returns() -> None:
    """Else a start that was given up goes on behind the stop, on what the stop closes."""
    tasks, ended = ServiceTasks(), asyncio.Event()

    async def work() -> None:
        try:
            await _for_ever()
        finally:
            ended.set()

    starting = asyncio.create_task(tasks.run_beside(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert ended.is_set()
    tasks.close()


@run_async
async def test_run_beside_service_fails_raises_what_stopped_it_and_work_is_over() -> None:
    tasks = ServiceTasks()
    tasks.spawn("service", _fails())
    with pytest.raises(LogError, match="the service failed"):
        await tasks.run_beside(_for_ever())
    assert asyncio.all_tasks() == {asyncio.current_task()}
    tasks.close()


@run_async
async def test_run_beside_work_fails_raises_that() -> None:
    tasks = ServiceTasks()
    with pytest.raises(LogError, match="the service failed"):
        await tasks.run_beside(_fails())
    tasks.close()
