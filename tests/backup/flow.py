"""A whole flow of real cores, driven by dice: every frame on every partition, and when it was appended.

It knows no processes and no time. Cores fold as far as the dice like, say what they have to say late and in parts, and
repeat themselves, as zombies and producers do.
"""

import random
from typing import Any

import msgspec

from services.adapters.ports import StoredFrame
from services.domain.core import Core
from services.domain.messages import CancelOrder, PlaceOrder, decode_frame, encode_frame
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import (
    BALANCE_EVENTS,
    BALANCE_OPERATIONS,
    ENGINE_OUTPUTS,
    ORDERS,
    TopicPartition,
    account_shard,
)
from services.matcher.engine import MatcherEngine
from services.ubscore.core import UbsCore
from tests.support.balance_shard import ETH_USDT, T0, funded, instruments

USERS = range(1, 7)


def partitions(account_shards: int, matcher_shards: int) -> list[TopicPartition]:
    """Every partition there is."""
    shards = {
        BALANCE_OPERATIONS: account_shards,
        BALANCE_EVENTS: account_shards,
        ORDERS: matcher_shards,
        ENGINE_OUTPUTS: matcher_shards,
    }
    return [TopicPartition(topic, shard) for topic, count in shards.items() for shard in range(count)]


def fresh_cores(account_shards: int, matcher_shards: int) -> list[Any]:
    """All cores, empty."""
    accounts = [UbsCore(shard, account_shards) for shard in range(account_shards)]
    return accounts + [MatcherEngine(shard, account_shards) for shard in range(matcher_shards)]


class Flow:
    """`log` holds what was appended to each partition, `cores` what folded it."""

    def __init__(self, dice: random.Random, account_shards: int, matcher_shards: int) -> None:
        self.dice = dice
        self.account_shards = account_shards
        self.log: dict[TopicPartition, list[bytes]] = {p: [] for p in partitions(account_shards, matcher_shards)}
        self.cores: list[Core] = fresh_cores(account_shards, matcher_shards)
        self._unsaid: dict[tuple[str, TopicPartition], list[tuple[int, list[Any]]]] = {}
        self._orders = 0
        *assets, btc, eth = instruments()
        eth = msgspec.structs.replace(eth, settings=msgspec.structs.replace(ETH_USDT, matcher_shard=matcher_shards - 1))
        for shard in range(account_shards):
            users = [user for user in USERS if account_shard(user, account_shards) == shard]
            commands = [*assets, btc, eth, *funded(*users)]
            self.append(TopicPartition(BALANCE_OPERATIONS, shard), encode_frame("gateway-1", 0, commands))

    def append(self, partition: TopicPartition, data: bytes) -> None:
        self.log[partition].append(data)

    def stored(self, partition: TopicPartition, start: int = 0, end: int | None = None) -> list[StoredFrame]:
        return [StoredFrame(n, data) for n, data in enumerate(self.log[partition][:end])][start:]

    def step(self) -> None:
        """Something happens."""
        choice = self.dice.random()
        if choice < 0.3:
            self.command()
        elif choice < 0.65:
            self.fold(self.dice.choice(self.cores))
        elif choice < 0.95:
            self.say()
        else:
            self.repeat()

    def command(self) -> None:
        """A gateway's frame of a few orders and cancels of one shard's users."""
        dice = self.dice
        shard = dice.randrange(self.account_shards)
        users = [user for user in USERS if account_shard(user, self.account_shards) == shard]
        records = [self._record(dice.choice(users), shard) for _ in range(dice.randint(1, 4))]
        self.append(TopicPartition(BALANCE_OPERATIONS, shard), encode_frame("gateway-1", 0, records))

    def _record(self, user_id: int, shard: int) -> Any:
        dice = self.dice
        self._orders += 1
        if dice.random() < 0.2:
            return CancelOrder(self._orders, T0 + self._orders, user_id, shard << 44 | dice.randint(1, 20))
        return PlaceOrder(
            self._orders,
            T0 + self._orders,
            user_id,
            f"c-{self._orders}",
            dice.choice(("BTC_USDT", "ETH_USDT")),
            dice.choice(list(Side)),
            OrderType.Limit,
            TimeInForce.GTC,
            SelfTradePrevention.ExpireTaker,
            dice.randint(10_000, 10_004),
            dice.randint(1, 9),
        )

    def fold(self, core: Any) -> None:
        """A core applies some of what is there."""
        frames = self.log[core.input]
        for _ in range(self.dice.randint(1, 3)):
            if core.next_offset < len(frames):
                frame = decode_frame(core.input.topic, frames[core.next_offset])
                for partition, first, records in core.apply(frame, core.next_offset):
                    self._unsaid.setdefault((core.source, partition), []).append((first, records))

    def say(self) -> None:
        """A core says some of what it has to say, to one of its partitions."""
        ready = [key for key, outputs in self._unsaid.items() if outputs]
        if not ready:
            return
        source, partition = self.dice.choice(ready)
        first, records = self._unsaid[source, partition].pop(0)
        part = self.dice.randint(1, len(records))
        if part < len(records):
            self._unsaid[source, partition].insert(0, (first + part, records[part:]))
        self.append(partition, encode_frame(source, first, records[:part]))

    def repeat(self) -> None:
        """A frame that a core said is there a second time."""
        said = [(p, data) for p, frames in self.log.items() for data in frames[1:] if b"gateway" not in data[:12]]
        if said:
            self.append(*self.dice.choice(said))

    def drain(self) -> None:
        """Everybody folds and says everything."""
        while any(self._unsaid.values()) or any(core.next_offset < len(self.log[core.input]) for core in self.cores):
            for core in self.cores:
                self.fold(core)
            for _ in range(len(self._unsaid)):
                self.say()
