"""A read waits for what was durable when it was asked, and not for ever."""

import asyncio

import pytest

from services.adapters.ports import Append
from services.domain.errors import CoreUnavailable, LogError
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from services.shell.progress import Progress
from services.shell.read_fence import ReadFence
from tests.support.aio import run_async
from tests.support.memory_log import MemoryLog

INPUT = TopicPartition(BALANCE_OPERATIONS, 0)


class CountingLog(MemoryLog):
    def __init__(self) -> None:
        super().__init__()
        self.ends_asked = 0
        self.silent = False

    async def end(self, partition: TopicPartition) -> int:
        self.ends_asked += 1
        if self.silent:
            await asyncio.Event().wait()
        return await super().end(partition)


async def append(log: MemoryLog, count: int) -> None:
    await log.append([Append(INPUT, b"frame")] * count)


@run_async
async def test_read_fence_is_passed_when_the_core_has_applied_what_was_durable() -> None:
    log, core = CountingLog(), Progress()
    fence = ReadFence(log, INPUT, core.reached)
    await append(log, 3)
    core.advance(2)
    reads = [asyncio.create_task(fence.passed()) for _ in range(500)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert log.ends_asked >= 1
    assert not any(read.done() for read in reads)
    # What is written now was not there when they asked.
    await append(log, 5)
    core.advance(3)
    await asyncio.gather(*reads)
    assert log.ends_asked <= 2


@run_async
async def test_read_fence_core_that_stays_behind_is_unavailable_and_says_how_far() -> None:
    log, core = CountingLog(), Progress()
    await append(log, 3)
    with pytest.raises(CoreUnavailable, match=r"balance\.operations/0: is behind offset 3, the log's end"):
        await ReadFence(log, INPUT, core.reached, patience_s=0.05).passed()


@run_async
async def test_read_fence_log_that_does_not_answer_is_unavailable() -> None:
    log = CountingLog()
    log.silent = True
    with pytest.raises(CoreUnavailable, match="does not say where it ends"):
        await ReadFence(log, INPUT, Progress().reached, patience_s=0.05).passed()


@run_async
async def test_read_fence_core_that_stopped_is_unavailable_with_its_reason() -> None:
    log, core = CountingLog(), Progress()
    await append(log, 3)

    async def failing(_offset: int) -> None:
        raise LogError("ubscore-0 has stopped at offset 2")

    core.fail("ubscore-0 has stopped at offset 2")
    for applied in (core.reached, failing):
        with pytest.raises(CoreUnavailable, match="has stopped at offset 2"):
            await ReadFence(log, INPUT, applied).passed()
