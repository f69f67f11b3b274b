"""Read the log as far as the store's own progress says, and make the tables that the store must hold."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from services.adapters.ports import Log, ProjectionStore
from services.domain.core import SourceSequences
from services.domain.errors import LogError
from services.domain.messages import decode_frame
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition
from services.matcher.chain import ChainVerifier
from services.verify.report import Check
from services.verify.tables import Tables

SETTLEMENT = "settlement"
ORDER_HISTORY = "order_history"


class Recount:
    """Fills `tables` with what the log holds up to the store's positions.

    newer: after `catch_up`, what came behind them: a store that is written meanwhile may hold any of it. starts: where
    the log starts; what is older than that it cannot tell. on_read: told how many frames each read brought.
    """

    def __init__(
        self,
        log: Log,
        store: ProjectionStore,
        account_shards: int,
        matcher_shards: int,
        on_read: Callable[[int], None] | None = None,
    ) -> None:
        self.tables = Tables(account_shards)
        self.newer = Tables(account_shards)
        self.starts: dict[TopicPartition, int] = {}
        self._log = log
        self._store = store
        self._events = [TopicPartition(BALANCE_EVENTS, shard) for shard in range(account_shards)]
        self._outputs = [TopicPartition(ENGINE_OUTPUTS, shard) for shard in range(matcher_shards)]
        self._on_read = on_read
        self._reached: dict[tuple[str, TopicPartition], int] = {}

    async def find_progress(self) -> None:
        """Ask the store for its positions. Before its rows are read: they may be newer then, but never older.

        Raises LogError when a position is not on the log.
        """
        for partition in self._events + self._outputs:
            self.starts[partition] = await self._log.start(partition)
            for reader in (SETTLEMENT, ORDER_HISTORY) if partition in self._events else (ORDER_HISTORY,):
                self._reached[reader, partition] = await self._progress(reader, partition)

    async def _progress(self, reader: str, partition: TopicPartition) -> int:
        row = await self._store.progress(reader, partition)
        start, end = self.starts[partition], await self._log.end(partition)
        reached = row.next_offset if row is not None else 0
        if reached > end:
            raise LogError(f"{reader} has stored {partition} up to offset {reached}, but the log ends at {end}")
        if reached < start:
            raise LogError(f"{reader} has stored {partition} up to offset {reached}, but the log starts at {start}")
        return reached

    async def run(self) -> list[Check]:
        """Returns a check a matcher shard: that its hash chain holds. Raises LogError as `find_progress`."""
        if not self._reached:
            await self.find_progress()
        for partition in self._events:
            settled, told = self._reached[SETTLEMENT, partition], self._reached[ORDER_HISTORY, partition]
            async for offset, sequence, event in self._records(partition, max(settled, told)):
                self._add_event(partition, offset, sequence, event)
        return [await self._walk_chain(partition) for partition in self._outputs]

    def _add_event(self, partition: TopicPartition, offset: int, sequence: int, event: Any) -> None:
        shard = partition.partition
        if offset < self._reached[SETTLEMENT, partition]:
            self.tables.add_event(event, shard)
        if offset < self._reached[ORDER_HISTORY, partition]:
            self.tables.add_refusal(event, shard, sequence)

    async def _walk_chain(self, partition: TopicPartition) -> Check:
        name = f"{partition}: hash chain"
        chain = ChainVerifier() if self.starts[partition] == 0 else None
        async for offset, _, result in self._records(partition, await self._log.end(partition)):
            if chain is None:
                # What it should continue is gone: the first link that is left is believed.
                chain = ChainVerifier(result.sequence - 1, result.previous_hash)
            if broken := chain.feed(result):
                return Check(name, False, f"offset {offset}: {broken.reason}")
            if offset < self._reached[ORDER_HISTORY, partition]:
                self.tables.add_result(result.decode_body(), partition.partition, result.sequence)
        if chain is None:
            return Check(name, True, "nothing is left of it on the log")
        return Check(name, True, f"{chain.sequence:,} links, the last {chain.hash.hex()}")

    async def catch_up(self) -> None:
        """Fill `newer` with what is on the log by now. Once."""
        for partition in self._events + self._outputs:
            end = await self._log.end(partition)
            async for offset, sequence, record in self._records(partition, end, self._oldest(partition)):
                if partition in self._events:
                    if offset >= self._reached[SETTLEMENT, partition]:
                        self.newer.add_event(record, partition.partition)
                    if offset >= self._reached[ORDER_HISTORY, partition]:
                        self.newer.add_refusal(record, partition.partition, sequence)
                else:
                    self.newer.add_result(record.decode_body(), partition.partition, sequence)

    def _oldest(self, partition: TopicPartition) -> int:
        return min(reached for (_, at), reached in self._reached.items() if at == partition)

    async def _records(
        self, partition: TopicPartition, until: int, start: int | None = None
    ) -> AsyncIterator[tuple[int, int, Any]]:
        """(offset, sequence, record) of everything from `start` on and before offset `until`, repeats dropped."""
        offset = self.starts[partition] if start is None else start
        sequences: SourceSequences | None = SourceSequences() if offset == 0 else None
        while offset < until:
            frames = await self._log.read(partition, offset, min(256, until - offset))
            if self._on_read is not None:
                self._on_read(len(frames))
            for stored in frames:
                frame = decode_frame(partition.topic, stored.data)
                if sequences is None:
                    sequences = SourceSequences({frame.source: frame.first_sequence - 1})
                repeats = sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
                for i in range(repeats, len(frame.records)):
                    yield stored.offset, frame.first_sequence + i, frame.records[i]
                offset = stored.offset + 1
