"""Where partitions end, for numbers that somebody scrapes: known without asking, and a second old at the most."""

import asyncio
from contextlib import suppress
from typing import Final

from services.adapters.ports import Log
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

LOOK_EVERY_SECONDS: Final = 1.0


class LogEnds:
    """Asks the log once a second. `run` must be running; while the log is away, what was known stays."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._ends: dict[TopicPartition, int | None] = {}

    def end_now(self, partition: TopicPartition) -> int | None:
        """Where it ended when the log was last asked; None until then."""
        return self._ends.setdefault(partition, None)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for partition in list(self._ends):
                with suppress(LogError):
                    self._ends[partition] = await self._log.end(partition)
            await asyncio.sleep(LOOK_EVERY_SECONDS)
