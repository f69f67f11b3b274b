"""Where partitions end, for numbers that somebody scrapes: known without asking, and not old."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from services.adapters.ports import Log
from services.domain.errors import LogError
from services.domain.topics import TopicPartition

LOOK_EVERY_SECONDS: Final = 1.0
FORGET_AFTER_SECONDS: Final = 3.0
"""A lag measured against an older end would say that all is well while nothing arrives."""


class LogEnds:
    """Asks the log once a second. `run` must be running; while the log is away, nothing is known."""

    def __init__(self, log: Log, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._ends: dict[TopicPartition, tuple[int, float] | None] = {}
        """Each end, and when it was told."""

    def end_now(self, partition: TopicPartition) -> int | None:
        """Where it ended when the log last answered; None when that was FORGET_AFTER_SECONDS ago, or never."""
        known = self._ends.setdefault(partition, None)
        if known is None or self._now() - known[1] > FORGET_AFTER_SECONDS:
            return None
        return known[0]

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for partition in list(self._ends):
                with suppress(LogError):
                    # Its age counts from the question: what was appended since may not be in the answer.
                    asked = self._now()
                    self._ends[partition] = (await self._log.end(partition), asked)
            await asyncio.sleep(LOOK_EVERY_SECONDS)
