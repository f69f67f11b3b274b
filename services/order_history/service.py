"""Order history: one shell follows each partition that tells of orders: a matcher's outputs, a shard's events."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.ports import Clock, HistoryBatch, ProjectionStore
from services.adapters.tracing.port import Tracing
from services.domain.messages import Frame, OrderRejected, decode_frame, decode_kind
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.order_history.projection import OrderHistory, statistics_shard
from services.shell.projection_shell import Done, Frames, ProjectionShell

READER: Final = "order_history"


class HistoryProjection:
    """`shell.projection_shell.Projection` of order history."""

    reader = READER

    def __init__(
        self, shard: int, store: ProjectionStore, on_records: Callable[[Sequence[Any]], None] | None = None
    ) -> None:
        """shard: of `statistics_shard`. on_records: told of every record before it is folded, once and in order."""
        self._store = store
        self._history = OrderHistory(shard)
        self._on_records = on_records

    @property
    def conflicts(self) -> int:
        return self._history.conflicts

    def decode(self, topic: str, data: bytes) -> Frame[Any]:
        # Of all balance events only refusals are of interest here, and they are few.
        return decode_kind(data, OrderRejected) if topic == BALANCE_EVENTS else decode_frame(topic, data)

    def add(self, source: str, first_sequence: int, records: Sequence[Any]) -> None:
        if self._on_records is not None:
            self._on_records(records)
        self._history.add(source, first_sequence, records)

    async def finish(self, progress: ProgressRow) -> HistoryBatch:
        unknown = self._history.unknown()
        stored = await self._store.statistics(unknown) if unknown else {}
        return self._history.finish(stored, progress)

    async def write(self, batch: HistoryBatch) -> None:
        await self._store.write_history(batch)


def order_history_shell(
    partition: TopicPartition,
    frames: Frames,
    store: ProjectionStore,
    clock: Clock,
    on_written: Callable[[HistoryBatch], None] | None = None,
    done: Done | None = None,
    tracing: Tracing | None = None,
    on_records: Callable[[Sequence[Any]], None] | None = None,
) -> ProjectionShell[HistoryBatch]:
    """Order history of a partition of engine.outputs or balance.events."""
    projection = HistoryProjection(statistics_shard(partition), store, on_records)
    return ProjectionShell(
        projection, partition, frames, store, clock, on_written=on_written, done=done, tracing=tracing
    )
