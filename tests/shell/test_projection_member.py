"""A member runs a shell for each partition it has, and fails with the first that fails."""

import asyncio
from typing import Any

import pytest

from services.domain.errors import GapError
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.settlement.service import READER, settlement_shell
from services.shell.projection_member import ProjectionMember, stored_position
from services.shell.projection_shell import RUNNING, WAITING
from tests.support.aio import run_async
from tests.support.clock import ManualClock, settle
from tests.support.memory_log import MemoryLog
from tests.support.memory_store import MemoryStore
from tests.support.streams import Balances

P = TopicPartition(BALANCE_EVENTS, 0)
Q = TopicPartition(BALANCE_EVENTS, 1)


class _Group(MemoryLog):
    """A group on a log in memory, whose partitions a test deals out."""

    def __init__(self) -> None:
        super().__init__()
        self.state = RUNNING
        self.failure: Exception | None = None
        self._stopping = asyncio.Event()
        self._mine: set[TopicPartition] = set()

    async def run(self, on_assigned: Any, on_revoked: Any) -> None:
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        await self._stopping.wait()
        for partition in list(self._mine):
            await self.revoke(partition)
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self._stopping.set()

    def assign(self, partition: TopicPartition) -> None:
        self._mine.add(partition)
        self._on_assigned(partition)

    async def revoke(self, partition: TopicPartition) -> None:
        self._mine.remove(partition)
        await self._on_revoked(partition)


class _Run:
    """A member that runs."""

    def __init__(self) -> None:
        self.group, self.store, self.clock = _Group(), MemoryStore(), ManualClock()
        self.member = ProjectionMember(
            self.group, lambda partition: settlement_shell(partition.partition, self.group, self.store, self.clock)
        )
        self.task = asyncio.create_task(self.member.run())

    async def say(self, partition: TopicPartition, user_id: int) -> None:
        await self.group.say(partition, f"ubscore-{partition.partition}", 1, [Balances().deposit(user_id)])
        await settle()

    async def stop(self) -> None:
        self.member.stop()
        await self.task


@run_async
async def test_partitions_come_and_go_each_has_a_shell_meanwhile() -> None:
    run = _Run()
    await settle()
    assert run.member.shells == {}
    for partition in (P, Q):
        run.group.assign(partition)
        await run.say(partition, 1_001 + partition.partition)
    assert set(run.member.shells) == {P, Q}
    assert [shell.next_offset for shell in run.member.shells.values()] == [1, 1]
    await run.group.revoke(P)
    assert set(run.member.shells) == {Q}
    await run.group.say(P, "ubscore-0", 2, [Balances().deposit(1_003)])
    run.group.assign(P)
    await settle()
    assert run.member.shells[P].next_offset == 2
    await run.stop()
    assert run.member.shells == {}


@run_async
async def test_revoked_shell_writes_first_what_it_has_folded() -> None:
    run = _Run()
    await settle()
    run.group.assign(P)
    await run.say(P, 1_001)
    await run.group.say(P, "ubscore-0", 2, [Balances().deposit(1_002)])
    await settle()
    await run.group.revoke(P)
    assert (
        len(await run.store.balances([(1_001, "BTC"), (1_002, "BTC")])) == run.store._progress[READER, *P].next_offset
    )
    await run.stop()


@run_async
async def test_shell_that_finds_a_gap_ends_the_member_with_it() -> None:
    run = _Run()
    await settle()
    run.group.assign(P)
    run.group.assign(Q)
    await run.group.say(P, "ubscore-0", 5, [Balances().deposit()])
    with pytest.raises(GapError, match="expected sequence 1, got 5"):
        await asyncio.wait_for(run.task, 5)
    assert run.member.shells == {}


@run_async
async def test_stream_that_fails_ends_the_member_with_it() -> None:
    run = _Run()
    await settle()
    run.group.assign(P)
    run.group.failure = GapError("a hole")
    run.group.stop()
    with pytest.raises(GapError, match="a hole"):
        await asyncio.wait_for(run.task, 5)


@run_async
async def test_state_is_that_of_the_group_or_of_the_shell_in_trouble() -> None:
    run = _Run()
    await settle()
    run.group.assign(P)
    await settle()
    assert run.member.state == RUNNING
    run.store.faults.extend(["before"])
    await run.say(P, 1_001)
    assert run.member.state == WAITING
    run.group.state = "waiting for brokers"
    assert run.member.state == "waiting for brokers"
    await run.stop()


@run_async
async def test_stored_position_is_the_readers_and_0_when_it_never_wrote() -> None:
    store = MemoryStore()
    store._move(ProgressRow(READER, *P, 9, {}))
    position = stored_position(store, READER)
    assert [await position(P), await position(Q)] == [9, 0]
