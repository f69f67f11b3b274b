"""Make a core again from the log, and hold what it says against what the log holds.

From position 0 on, or, where the log no longer starts there, from a snapshot. A core that crashed may not have said
its last outputs yet: the log may end early. It may never hold other bytes.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

import msgspec

from services.adapters.ports import Log
from services.domain.core import Core, Output
from services.domain.errors import InvariantError, LogError
from services.domain.messages import decode_frame
from services.domain.topics import TopicPartition
from services.verify.report import Check
from services.verify.said import Difference, SaidRecords

_ENCODER = msgspec.msgpack.Encoder()

C = TypeVar("C", bound=Core)


class Refold(Generic[C]):
    """A core folded over the log, fresh or as a snapshot left it.

    stops: offsets at which its digest is kept in `digests`, to be compared with snapshots taken there. on_folded: told
    of every read how many frames it brought.
    """

    def __init__(
        self, core: C, log: Log, stops: Collection[int] = (), on_folded: Callable[[int], None] | None = None
    ) -> None:
        self.core = core
        self.digests: dict[int, bytes] = {}
        self.records = 0
        self.unsaid = 0
        """Outputs that the log does not hold yet."""
        self.gone = 0
        """Outputs that the log does not hold any more."""
        self._first = core.next_offset
        self._log = log
        self._stops = frozenset(stops)
        self._on_folded = on_folded
        self._said_before = core.said
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
        start = f", from a snapshot at offset {self._first:,} on" if self._first else ""
        unsaid = f", {self.unsaid} not published yet" if self.unsaid else ""
        gone = f", {self.gone} no longer on the log" if self.gone else ""
        return Check(name, True, f"{self.records:,} records from {until - self._first:,} frames{start}{unsaid}{gone}")

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
            if self._on_folded is not None:
                self._on_folded(len(frames))
            await asyncio.sleep(0)

    def _keep_digest(self) -> None:
        if self.core.next_offset in self._stops:
            self.digests[self.core.next_offset] = self.core.digest()

    async def _compare(self, output: Output) -> None:
        said = self._said_on(output.partition)
        gone, found = await said.take(output.first_sequence, len(output.records))
        self.gone += gone
        self.unsaid += len(output.records) - gone - len(found)
        for i, raw in enumerate(found, gone):
            if _ENCODER.encode(output.records[i]) != bytes(raw):
                raise Difference(
                    f"{output.partition}: sequence {output.first_sequence + i} of {self.core.source} differs from what "
                    f"offset {self.core.next_offset - 1} of {self.core.input} gives"
                )

    def _said_on(self, partition: TopicPartition) -> SaidRecords:
        said = self._said.get(partition)
        if said is None:
            last = self._said_before.get(partition, 0)
            said = self._said[partition] = SaidRecords(self._log, partition, self.core.source, last)
        return said

    async def _expect_no_more(self) -> None:
        for partition, said in self._said.items():
            rest = await said.rest()
            if rest:
                raise Difference(f"{partition}: holds {rest} records more than {self.core.source} can have said")
