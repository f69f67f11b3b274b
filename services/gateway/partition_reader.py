"""One partition of answers, followed from its end."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from services.adapters.ports import Clock, Log
from services.domain.core import SourceSequences
from services.domain.errors import LogError
from services.domain.messages import Frame, decode_frame
from services.domain.topics import TopicPartition

LOOK_BACK_FRAMES: Final = 64
"""Frames before the end that are read at the start, only to learn the sources' sequences from them."""
RETRY_S: Final = 0.2
BEHIND_MS: Final = 2_000
LOOK_S: Final = 1.0
"""Who asks for health does not wait longer than that for the log to say where it ends."""


class PartitionReader:
    """Follows one partition from its end. Repeats of a source's records are dropped; a hole raises GapError."""

    def __init__(self, partition: TopicPartition, apply: Callable[[int, list[Any]], None]) -> None:
        self.partition = partition
        self.started = False
        self.error = ""
        """Why the log is not being read (at the moment)."""
        self.newest_ms = 0
        """When a frame came last."""
        self._apply = apply
        self._sequences = SourceSequences()
        self._next_offset = 0
        self._seen_end = 0
        self._looked_ms = 0
        self._behind = ""

    @property
    def next_offset(self) -> int:
        """The first frame that was not read."""
        return self._next_offset

    async def problem(self, log: Log, clock: Clock) -> str:
        """A sentence when this reader is not where it should be, else empty.

        It is behind when it has not come to where the log ended BEHIND_MS ago or before.
        """
        if not self.started or self.error:
            return self.error or "not started"
        if clock.time_ms() - self._looked_ms >= BEHIND_MS:
            frames = self._seen_end - self._next_offset
            self._behind = f"behind by {frames} frames" if frames > 0 else ""
            try:
                async with asyncio.timeout(LOOK_S):
                    self._seen_end = await log.end(self.partition)
            except (LogError, TimeoutError):
                return "the log does not answer"
            self._looked_ms = clock.time_ms()
        return self._behind

    async def run(self, log: Log, clock: Clock) -> None:
        try:
            await self._follow(log, clock)
        finally:
            self.error = "stopped"

    async def _follow(self, log: Log, clock: Clock) -> None:
        while True:
            try:
                if not self.started:
                    await self._start(log)
                elif self.error:
                    await log.end(self.partition)
                # The log answers again. That cannot wait for the next frame: while no command is taken, none may come.
                self.error = ""
                await log.wait(self.partition, self._next_offset)
                frames = await log.read(self.partition, self._next_offset)
            except LogError as error:
                # The log may come back; until then the gateway is not ready and takes no commands.
                self.error = str(error)
                await clock.sleep(RETRY_S)
                continue
            self.newest_ms = clock.time_ms()
            for stored in frames:
                self._take(decode_frame(self.partition.topic, stored.data), stored.offset)

    async def _start(self, log: Log) -> None:
        end = await log.end(self.partition)
        offset = max(await log.start(self.partition), end - LOOK_BACK_FRAMES)
        while offset < end:
            for stored in (await log.read(self.partition, offset, end - offset))[: end - offset]:
                self._learn(decode_frame(self.partition.topic, stored.data))
                offset = stored.offset + 1
        self._next_offset = self._seen_end = end
        self.started = True

    def _learn(self, frame: Frame[Any]) -> None:
        """Remember how far a source has come, in frames whose records nobody here waits for."""
        last = frame.first_sequence + len(frame.records) - 1
        self._sequences.last[frame.source] = max(self._sequences.last.get(frame.source, 0), last)

    def _take(self, frame: Frame[Any], offset: int) -> None:
        if frame.source not in self._sequences.last:
            self._sequences.last[frame.source] = frame.first_sequence - 1
        repeats = self._sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
        self._next_offset = offset + 1
        self._apply(self.partition.partition, frame.records[repeats:])
