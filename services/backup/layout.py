"""Who and what there is in an exchange of so many shards. Pure."""

from typing import NamedTuple

from services.domain.core import Core
from services.domain.topics import (
    BALANCE_EVENTS,
    BALANCE_OPERATIONS,
    ENGINE_OUTPUTS,
    ORDERS,
    TopicPartition,
    matcher_source,
    ubscore_source,
)
from services.matcher.engine import MatcherEngine
from services.order_history.service import READER as ORDER_HISTORY
from services.settlement.service import READER as SETTLEMENT
from services.shell.restoring import restore_same_shard
from services.ubscore.core import UbsCore


class Layout(NamedTuple):
    """How many shards there are."""

    account_shards: int
    matcher_shards: int

    @property
    def sources(self) -> list[str]:
        """Every core."""
        accounts = [ubscore_source(shard) for shard in range(self.account_shards)]
        return accounts + [matcher_source(shard) for shard in range(self.matcher_shards)]

    @property
    def partitions(self) -> list[TopicPartition]:
        """Every partition of the log."""
        counts = {
            BALANCE_OPERATIONS: self.account_shards,
            BALANCE_EVENTS: self.account_shards,
            ORDERS: self.matcher_shards,
            ENGINE_OUTPUTS: self.matcher_shards,
        }
        return [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]

    @property
    def readers(self) -> list[tuple[str, TopicPartition]]:
        """Every projection, with the partition it reads."""
        found = []
        for partition in self.partitions:
            if partition.topic == BALANCE_EVENTS:
                found.append((SETTLEMENT, partition))
            if partition.topic in (BALANCE_EVENTS, ENGINE_OUTPUTS):
                found.append((ORDER_HISTORY, partition))
        return found

    def outputs(self, source: str) -> list[TopicPartition]:
        """Every partition that a core may speak to."""
        shard = int(source.rpartition("-")[2])
        own, others = (
            (BALANCE_EVENTS, ORDERS) if source == ubscore_source(shard) else (ENGINE_OUTPUTS, BALANCE_OPERATIONS)
        )
        return [TopicPartition(own, shard), *(partition for partition in self.partitions if partition.topic == others)]

    def fresh(self, source: str) -> Core:
        """An empty core."""
        shard = int(source.rpartition("-")[2])
        if source == ubscore_source(shard):
            return UbsCore(shard, self.account_shards)
        return MatcherEngine(shard, self.account_shards)

    def restore(self, source: str, data: bytes) -> Core:
        """A core from its own snapshot. Raises JournalError when that is of another shard, or of other numbers."""
        fresh = self.fresh(source)
        return restore_same_shard(fresh, type(fresh).restore, data)
