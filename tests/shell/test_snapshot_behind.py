"""For how long a core has applied what no snapshot holds."""

from pathlib import Path
from typing import Any

from services.domain.errors import LogError
from services.domain.topics import TopicPartition
from tests.support.aio import run_async
from tests.support.clock import ManualClock
from tests.support.memory_log import MemoryLog
from tests.support.ubscore_process import OPERATIONS, UbscoreProcess, fill


class _SilentLog(MemoryLog):
    """Does not say where outputs end while it is `silent`, without which no snapshot is taken."""

    silent = False

    async def end(self, partition: TopicPartition) -> int:
        if self.silent and partition != OPERATIONS:
            raise LogError("the brokers are away")
        return await super().end(partition)


@run_async
async def test_snapshot_behind_counts_from_the_last_snapshot_that_was_written(tmp_path: Path) -> None:
    log, clock = _SilentLog(), ManualClock()
    process = UbscoreProcess(log, tmp_path)
    shell: Any = process.shell
    shell._clock = clock
    await shell.recover()
    assert shell.snapshot_behind_ms == 0, "nothing was applied"
    await fill(log, 3)
    await shell._follow(await log.read(OPERATIONS, 0, 10))
    await clock.advance(10, step_s=10)
    log.silent = True
    await shell.take_snapshot()
    await clock.advance(5, step_s=5)
    assert shell.snapshot_age_ms == 5_000, "it fell due"
    assert shell.snapshot_behind_ms == 15_000, "but was not taken"
    log.silent = False
    await shell.take_snapshot()
    await clock.advance(60, step_s=60)
    assert shell.snapshot_behind_ms == 0, "it holds all that was applied"
    await shell.take_snapshot()
    await fill(log, 1)
    await shell._follow(await log.read(OPERATIONS, 4, 10))
    await clock.advance(1, step_s=1)
    assert shell.snapshot_behind_ms == 1_000, "the one before was not needed"
    await process.directory.close()
