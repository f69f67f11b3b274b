"""Settlement: the only writer of balances, their ledger, and trades. One shell follows each account shard's events."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.ports import Clock, ProjectionStore, SettlementBatch
from services.adapters.tracing.port import Tracing
from services.domain.messages import Frame, decode_frame
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.settlement.postings import Postings
from services.settlement.reconciliation import Reconciliation
from services.shell.projection_shell import Done, Frames, ProjectionShell

READER: Final = "settlement"


class SettlementProjection:
    """`shell.projection_shell.Projection` of postings."""

    reader = READER

    def __init__(self, store: ProjectionStore) -> None:
        self._store = store
        self._postings = Postings()

    @property
    def conflicts(self) -> int:
        return self._postings.conflicts

    def decode(self, topic: str, data: bytes) -> Frame[Any]:
        return decode_frame(topic, data)

    def add(self, source: str, first_sequence: int, records: Sequence[Any]) -> None:
        self._postings.add(source, first_sequence, records)

    async def finish(self, progress: ProgressRow) -> SettlementBatch:
        unknown = self._postings.unknown()
        stored = await self._store.balances(unknown) if unknown else {}
        return self._postings.finish({key: row.version for key, row in stored.items()}, progress)

    async def write(self, batch: SettlementBatch) -> None:
        await self._store.write_settlement(batch)


def settlement_shell(
    shard: int,
    frames: Frames,
    store: ProjectionStore,
    clock: Clock,
    on_written: Callable[[SettlementBatch], None] | None = None,
    done: Done | None = None,
    reconciliation: Reconciliation | None = None,
    tracing: Tracing | None = None,
) -> ProjectionShell[SettlementBatch]:
    """Settlement of account shard `shard`, and beside it the comparison of what it writes.

    reconciliation: for whoever wants to see its numbers.
    """
    comparing = reconciliation or Reconciliation(store, clock)

    def written(batch: SettlementBatch) -> None:
        comparing.written(batch)
        if on_written is not None:
            on_written(batch)

    return ProjectionShell(
        SettlementProjection(store),
        TopicPartition(BALANCE_EVENTS, shard),
        frames,
        store,
        clock,
        on_written=written,
        done=done,
        beside=comparing.run,
        tracing=tracing,
    )
