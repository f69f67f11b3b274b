"""Where the log ends, for numbers: known without asking, and forgotten when the log has been away for some time."""

import asyncio

from services.adapters.log_ends import FORGET_AFTER_SECONDS, LogEnds
from services.adapters.ports import Append
from services.domain.errors import LogError
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from tests.support.aio import run_async
from tests.support.memory_log import MemoryLog

PARTITION = TopicPartition(BALANCE_EVENTS, 0)


class _Log(MemoryLog):
    away = False

    async def end(self, partition: TopicPartition) -> int:
        if self.away:
            raise LogError("no broker")
        return await super().end(partition)


async def look(ends: LogEnds) -> None:
    """One look at the log."""
    looking = asyncio.create_task(ends.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not looking.done()
    looking.cancel()


@run_async
async def test_log_ends_are_unknown_at_first_then_known_and_forgotten_while_the_log_is_away() -> None:
    log, seconds = _Log(), 0.0
    ends = LogEnds(log, lambda: seconds)
    assert ends.end_now(PARTITION) is None
    await log.append([Append(PARTITION, b"frame")])
    await look(ends)
    assert ends.end_now(PARTITION) == 1
    log.away, seconds = True, FORGET_AFTER_SECONDS
    await look(ends)
    assert ends.end_now(PARTITION) == 1
    seconds += 0.1
    assert ends.end_now(PARTITION) is None
    log.away = False
    await look(ends)
    assert ends.end_now(PARTITION) == 1
