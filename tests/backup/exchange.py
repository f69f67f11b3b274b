"""An exchange of any number of shards on any log and store, in one event loop, with a feeder in place of gateways."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.adapters.clock import SystemClock
from services.adapters.files import FileDirectory
from services.adapters.journal.journal import Journal
from services.adapters.ports import Append, BackupStore, CoreSnapshot, Log
from services.backup.create import Source
from services.backup.layout import Layout
from services.domain.topics import BALANCE_OPERATIONS, TopicPartition
from services.order_history.service import order_history_shell
from services.settlement.reconciliation import Reconciliation
from services.settlement.service import READER as SETTLEMENT
from services.settlement.service import settlement_shell
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import ProjectionShell
from tests.backup.flow import Flow

PATIENCE_S = 120.0


class Exchange:
    """Cores and projections as their processes wire them. folder: of the journals. feeder: makes commands."""

    def __init__(self, layout: Layout, log: Log, store: BackupStore, folder: Path) -> None:
        self.layout = layout
        self.log = log
        self.store = store
        clock = SystemClock()
        self._directories = [FileDirectory(folder / source) for source in layout.sources]
        self.cores: dict[str, CoreShell[Any]] = {}
        for source, directory in zip(layout.sources, self._directories, strict=True):
            journal = Journal(directory, source)
            self.cores[source] = CoreShell(
                lambda source=source: layout.fresh(source),
                type(layout.fresh(source)).restore,
                log,
                journal,
                clock,
                layout.outputs(source),
            )
        self._projections: list[ProjectionShell[Any]] = []
        self._reconciliations: list[Reconciliation] = []
        for reader, partition in layout.readers:
            if reader == SETTLEMENT:
                comparing = Reconciliation(store, clock)
                self._reconciliations.append(comparing)
                self._projections.append(
                    settlement_shell(partition.partition, log, store, clock, reconciliation=comparing)
                )
            else:
                self._projections.append(order_history_shell(partition, log, store, clock))
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for shell in self.cores.values():
            await shell.recover()
        self._tasks = [asyncio.create_task(shell.run()) for shell in (*self.cores.values(), *self._projections)]

    async def rest(self) -> None:
        """Return once everything on the log was read by everybody, and nobody has anything left to say or compare."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_at_rest():
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def _is_at_rest(self) -> bool:
        before = [shell.core.next_offset for shell in self.cores.values()]
        # Given between two batches: what was applied before is said then.
        await asyncio.gather(*[shell.snapshot_now() for shell in self.cores.values()])
        for shell, offset in zip(self.cores.values(), before, strict=True):
            if not offset == shell.core.next_offset == await self.log.end(shell.core.input):
                return False
        if any(reconciliation.comparing for reconciliation in self._reconciliations):
            return False
        return all([shell.next_offset >= await self.log.end(shell.partition) for shell in self._projections])

    async def stop(self) -> None:
        for shell in (*self.cores.values(), *self._projections):
            shell.stop()
        await asyncio.gather(*self._tasks)
        for directory in self._directories:
            await directory.close()

    def source(self) -> Source:
        """As a backup sees it."""
        return Source(self.layout, self.log, self.store, {source: self._snapshot(source) for source in self.cores})

    def _snapshot(self, source: str) -> Any:
        async def snapshot() -> CoreSnapshot:
            taken = await self.cores[source].snapshot_now()
            return CoreSnapshot(source, taken.next_offset, taken.digest, taken.data)

        return snapshot

    def digests(self) -> dict[str, tuple[int, bytes]]:
        """By source, where each core stands and its digest."""
        return {source: (shell.core.next_offset, shell.core.digest()) for source, shell in self.cores.items()}


@asynccontextmanager
async def exchange(layout: Layout, log: Log, store: BackupStore, folder: Path) -> AsyncIterator[Exchange]:
    """A started one; stopped in order at the end."""
    made = Exchange(layout, log, store, folder)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class Feeder:
    """Gateways: commands of an account shard's users, one frame after the other, the same for the same seed."""

    def __init__(self, layout: Layout, seed: int = 1) -> None:
        self._flow = Flow(random.Random(seed), *layout)
        self._fed = dict.fromkeys(self._operations, 0)

    @property
    def _operations(self) -> list[TopicPartition]:
        return [partition for partition in self._flow.log if partition.topic == BALANCE_OPERATIONS]

    async def feed(self, log: Log, frames: int) -> None:
        """Append that many more frames."""
        for _ in range(frames):
            self._flow.command()
        for partition in self._operations:
            fresh = self._flow.log[partition][self._fed[partition] :]
            self._fed[partition] += len(fresh)
            for data in fresh:
                await log.append([Append(partition, data)])

    async def feed_on(self, log: Log) -> None:
        """Append for ever."""
        while True:
            await self.feed(log, 5)
            await asyncio.sleep(0)
