"""Make a core again from position 0 of the log, and hold what it says against what the log holds.

A core that crashed may not have said its last outputs yet: the log may end early. It may never hold other bytes.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

import msgspec

from services.adapters.ports import Log
from services.domain.core import Core, Output
from services.domain.errors import InvariantError, LogError
from services.domain.messages import Frame, decode_frame, decode_header
from services.domain.topics import TopicPartition
from services.verify.report import Check

_ENCODER = msgspec.msgpack.Encoder()

C = TypeVar("C", bound=Core)


class Difference(Exception):
    """The log does not hold what it should; the message says where. Ends the verification of one core."""


class SaidRecords:
    """The records of one source on one partition, in order of sequence, repeats dropped."""

    def __init__(self, log: Log, partition: TopicPartition, source: str) -> None:
        self._log = log
        self._partition = partition
        self._source = source
        self._offset: int | None = None
        self._pending: deque[msgspec.Raw] = deque()
        self.last = 0
        """The last sequence that was found on the log."""

    async def take(self, count: int) -> list[msgspec.Raw]:
        """The next `count` records, or as many as the log has."""
        while len(self._pending) < count and await self._read_on():
            pass
        return [self._pending.popleft() for _ in range(min(count, len(self._pending)))]

    async def rest(self) -> int:
        """How many more there are."""
        while await self._read_on():
            pass
        return len(self._pending)

    async def _read_on(self) -> bool:
        if self._offset is None:
            self._offset = await self._log.start(self._partition)
        frames = await self._log.read(self._partition, self._offset)
        for stored in frames:
            header = decode_header(stored.data)
            if header.source == self._source:
                self._add(header, stored.offset)
        if frames:
            self._offset = frames[-1].offset + 1
        return bool(frames)

    def _add(self, header: Frame[msgspec.Raw], offset: int) -> None:
        if header.first_sequence > self.last + 1:
            raise Difference(
                f"{self._partition} offset {offset}: {self._source} goes on at sequence {header.first_sequence}, "
                f"but {self.last + 1} is missing"
            )
        fresh = header.records[self.last + 1 - header.first_sequence :]
        self._pending.extend(fresh)
        self.last += len(fresh)


class Refold(Generic[C]):
    """A fresh core folded over the log.

    stops: offsets at which its digest is kept in `digests`, to be compared with snapshots taken there.
    """

    def __init__(self, core: C, log: Log, stops: Collection[int] = ()) -> None:
        self.core = core
        self.digests: dict[int, bytes] = {}
        self.records = 0
        self.unsaid = 0
        """Outputs that the log does not hold yet."""
        self._log = log
        self._stops = frozenset(stops)
        self._said: dict[TopicPartition, SaidRecords] = {}

    async def run(self, until: int, *, live: bool) -> Check:
        """Fold everything before offset `until`.

        live: the exchange is running, so that the log may hold answers to what comes after `until`.
        """
        name = f"{self.core.source}: what it says again is what the log holds"
        try:
            await self._fold(until)
            if not live:
                await self._expect_no_more()
        except (Difference, LogError, InvariantError) as error:
            return Check(name, False, str(error))
        unsaid = f", {self.unsaid} not published yet" if self.unsaid else ""
        return Check(name, True, f"{self.records:,} records from {until:,} frames{unsaid}")

    async def _fold(self, until: int) -> None:
        core, log = self.core, self._log
        self._keep_digest()
        while core.next_offset < until:
            frames = await log.read(core.input, core.next_offset, min(256, until - core.next_offset))
            if not frames:
                raise Difference(f"{core.input}: ends at offset {core.next_offset}, before {until}")
            for stored in frames:
                frame = decode_frame(core.input.topic, stored.data)
                self.records += len(frame.records)
                for output in core.apply(frame, stored.offset):
                    await self._compare(output)
                self._keep_digest()
            await asyncio.sleep(0)

    def _keep_digest(self) -> None:
        if self.core.next_offset in self._stops:
            self.digests[self.core.next_offset] = self.core.digest()

    async def _compare(self, output: Output) -> None:
        said = self._said.get(output.partition)
        if said is None:
            said = self._said[output.partition] = SaidRecords(self._log, output.partition, self.core.source)
        found = await said.take(len(output.records))
        self.unsaid += len(output.records) - len(found)
        for i, (record, raw) in enumerate(zip(output.records, found, strict=False)):
            if _ENCODER.encode(record) != bytes(raw):
                raise Difference(
                    f"{output.partition}: sequence {output.first_sequence + i} of {self.core.source} differs from what "
                    f"offset {self.core.next_offset - 1} of {self.core.input} gives"
                )

    async def _expect_no_more(self) -> None:
        for partition, said in self._said.items():
            rest = await said.rest()
            if rest:
                raise Difference(f"{partition}: holds {rest} records more than {self.core.source} can have said")
