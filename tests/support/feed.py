"""Balance events written to a real log without a break, and what a fold of that log says that a store must hold."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from services.adapters.clock import SystemClock
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Append
from services.domain.errors import LogError
from services.domain.messages import encode_frame
from services.domain.topics import TopicPartition, ubscore_source
from services.settlement.service import settlement_shell
from tests.contracts.store_contract import tables_of
from tests.support.memory_store import MemoryStore
from tests.support.streams import Balances

FRAME_EVENTS = 4
_PAUSE_S = 0.004
_POLL_S = 0.01


class Feed:
    """Writes frames to each partition, one after the other, as its ubscore would; `written` counts them."""

    def __init__(self, settings: KafkaSettings, partitions: Sequence[TopicPartition]) -> None:
        self.log = KafkaLog(settings)
        self._stopping = False
        self._written = dict.fromkeys(partitions, 0)
        self._tasks = [asyncio.create_task(self._write(partition)) for partition in partitions]

    async def more(self, frames: int) -> None:
        """Return once each partition has that many more."""
        goals = {partition: count + frames for partition, count in self._written.items()}
        while any(self._written[partition] < goal for partition, goal in goals.items()):
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> dict[TopicPartition, int]:
        """Write no more; returns the ends of the partitions."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        return {partition: await self.log.end(partition) for partition in self._written}

    async def close(self) -> None:
        await self.stop()
        await self.log.close()

    async def _write(self, partition: TopicPartition) -> None:
        balances, sequence, source = Balances(), 1, ubscore_source(partition.partition)
        user = 2_000 + partition.partition
        makers = [
            lambda: balances.deposit(user, "BTC"),
            lambda: balances.accept(user, "USDT"),
            lambda: balances.close(user, "USDT"),
            lambda: balances.deposit(user + 10, "USDT"),
        ]
        # Their users and their fee account are of shard 0.
        events = itertools.cycle(makers if partition.partition else [*makers, balances.trade])
        while not self._stopping:
            records: list[Any] = [next(events)() for _ in range(FRAME_EVENTS)]
            await self._say(Append(partition, encode_frame(source, sequence, records)))
            sequence += len(records)
            self._written[partition] += 1
            await asyncio.sleep(_PAUSE_S)

    async def _say(self, append: Append) -> None:
        """Until it is certain that it is there; perhaps it is there twice then."""
        while True:
            try:
                await self.log.append([append])
            except LogError:
                continue
            return


async def folded(log: KafkaLog, ends: dict[TopicPartition, int]) -> dict[str, list[Any]]:
    """The tables that settlement makes of the log when nothing disturbs it."""
    store = MemoryStore()
    for partition, end in ends.items():
        shell = settlement_shell(partition.partition, log, store, SystemClock())
        task = asyncio.create_task(shell.run())
        while shell.next_offset < end and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        shell.stop()
        await task
    return await tables_of(store)
