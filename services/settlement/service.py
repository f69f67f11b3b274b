"""Settlement: the only writer of balances, their ledger, and trades. One shell follows each account shard's events."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.ports import Clock, ProjectionStore, SettlementBatch
from services.domain.messages import Frame, decode_frame
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.settlement.postings import Postings
from services.shell.projection_shell import Done, Frames, ProjectionShell

READER: Final = "settlement"


class SettlementProjection:
    """`shell.projection_shell.Projection` of postings."""

    reader = READER

    def __init__(self, store: ProjectionStore) -> None:
        self._store = store
        self._postings = Postings()

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
) -> ProjectionShell[SettlementBatch]:
    """Settlement of account shard `shard`."""
    partition = TopicPartition(BALANCE_EVENTS, shard)
    projection = SettlementProjection(store)
    return ProjectionShell(projection, partition, frames, store, clock, on_written=on_written, done=done)
