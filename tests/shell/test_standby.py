"""A standby beside an active core, on a log in memory and in virtual time: who speaks, when, and what."""

import asyncio
from typing import Any

import pytest

from services.adapters.journal.journal import Journal
from services.adapters.journal.seed import seed_journal
from services.adapters.ports import Append
from services.domain.errors import JournalError, LogError
from services.domain.messages import encode_frame
from services.domain.topics import TopicPartition
from services.shell.core_shell import CoreShell
from services.simulation.clock import SimulatedClock
from services.ubscore.core import UbsCore
from tests.support.memory_directory import MemoryDirectory
from tests.support.memory_log import MemoryLog
from tests.support.ubscore_process import ACCEPTED, EVENTS, OPERATIONS, fill, order, raw, said
from tests.support.virtual_time import run_in_virtual_time

TAKEOVER_S = 2.0
OUTPUTS = (EVENTS, ACCEPTED)


class _Life:
    """One life of an ubscore process on a disk."""

    def __init__(self, log: MemoryLog, disk: MemoryDirectory | None = None, *, standby: bool, **options: Any) -> None:
        self.disk = disk or MemoryDirectory()
        self.log = log
        clock = SimulatedClock(asyncio.get_running_loop())
        self.shell = CoreShell(
            lambda: UbsCore(0, 1),
            UbsCore.restore,
            log,
            Journal(self.disk, "ubscore-0"),
            clock,
            OUTPUTS,
            standby=standby,
            takeover_after_s=TAKEOVER_S,
            **options,
        )

    async def start(self) -> "_Life":
        await self.shell.recover()
        self.running = asyncio.create_task(self.shell.run())
        return self

    async def kill(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])

    async def stop(self) -> None:
        self.shell.stop()
        await self.running

    async def has_applied_all(self) -> None:
        async with asyncio.timeout(100):
            await self.shell.applied(await self.log.end(OPERATIONS))


async def _pair(log: MemoryLog) -> tuple[_Life, _Life]:
    return await _Life(log, standby=False).start(), await _Life(log, standby=True).start()


async def _order(log: MemoryLog, *numbers: int) -> None:
    for n in numbers:
        await log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, [order(n)]))])


async def _undisturbed(orders: int) -> MemoryLog:
    """The log that one process alone writes."""
    log = MemoryLog()
    await fill(log, orders)
    life = await _Life(log, standby=False).start()
    await life.has_applied_all()
    await life.stop()
    return log


def _says_what(log: MemoryLog, expected: MemoryLog) -> bool:
    return all(said(log, partition) == said(expected, partition) for partition in OUTPUTS)


def _repeats(log: MemoryLog) -> int:
    """Records on the output partitions that were there already."""
    return sum(raw(log, partition) - len(said(log, partition)) for partition in OUTPUTS)


async def _until_said(log: MemoryLog, expected: MemoryLog) -> float:
    """Wait until everything is on the log; returns how long that took."""
    begin = asyncio.get_running_loop().time()
    async with asyncio.timeout(100):
        while not _says_what(log, expected):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - begin


@run_in_virtual_time
async def test_standby_beside_an_active_follows_and_keeps_silent() -> None:
    log = MemoryLog()
    active, standby = await _pair(log)
    await fill(log, 50)
    for life in (active, standby):
        await life.has_applied_all()
    await asyncio.sleep(10 * TAKEOVER_S)
    assert (active.shell.role, standby.shell.role) == ("active", "standby")
    assert standby.shell.core.digest() == active.shell.core.digest()
    assert standby.shell.all_said
    assert standby.shell.takeovers == 0
    assert _repeats(log) == 0
    await active.stop()
    await standby.stop()


@pytest.mark.parametrize("how", ["killed", "stopped"])
@run_in_virtual_time
async def test_standby_active_gone_answers_the_next_command_after_the_time_out(how: str) -> None:
    log, expected = MemoryLog(), await _undisturbed(31)
    active, standby = await _pair(log)
    await fill(log, 30)
    await active.has_applied_all()
    await asyncio.sleep(1)
    await (active.kill() if how == "killed" else active.stop())
    await asyncio.sleep(100)
    assert standby.shell.role == "standby", "nothing is missing, so nobody has to speak"
    await _order(log, 30)
    assert TAKEOVER_S <= await _until_said(log, expected) < TAKEOVER_S + 0.1
    assert standby.shell.role == "active"
    assert _repeats(log) == 0


@run_in_virtual_time
async def test_standby_that_speaks_answers_at_once() -> None:
    log, expected = MemoryLog(), await _undisturbed(10)
    standby = await _Life(log, standby=True).start()
    await fill(log, 9)
    await asyncio.sleep(3)
    assert standby.shell.role == "active"
    await _order(log, 9)
    assert await _until_said(log, expected) < 0.1
    assert (standby.shell.takeovers, _repeats(log)) == (1, 0)


@run_in_virtual_time
async def test_standby_says_only_what_the_active_had_not_said() -> None:
    """The active dies in the middle of an append: one partition has it, the other one not."""
    log, expected = MemoryLog(), await _undisturbed(12)
    active, standby = await _pair(log)
    await fill(log, 10)
    await active.has_applied_all()
    await asyncio.sleep(1)
    await active.kill()
    await _order(log, 10, 11)
    said_before = len(said(log, EVENTS))
    await log.say(EVENTS, "ubscore-0", said_before + 1, [said(expected, EVENTS)[said_before]])
    await _until_said(log, expected)
    assert standby.shell.role == "active"
    assert _repeats(log) == 0


@run_in_virtual_time
async def test_standby_active_comes_back_keeps_silent_again() -> None:
    log, expected = MemoryLog(), await _undisturbed(40)
    active, standby = await _pair(log)
    await fill(log, 10)
    await active.kill()
    await _order(log, *range(10, 20))
    await asyncio.sleep(3)
    assert standby.shell.role == "active"
    again = await _Life(log, active.disk, standby=False).start()
    await again.has_applied_all()
    assert standby.shell.role == "active", "the other one has said nothing new yet"
    await _order(log, *range(20, 40))
    await _until_said(log, expected)
    await asyncio.sleep(1)
    assert standby.shell.role == "standby"
    before = _repeats(log)
    await _order(log, *range(40, 50))
    await asyncio.sleep(10)
    assert _repeats(log) == before
    assert again.shell.core.digest() == standby.shell.core.digest()


@run_in_virtual_time
async def test_standby_that_speaks_old_words_of_the_active_come_late_goes_on_speaking() -> None:
    """A write that was under way when the active died is no sign of life."""
    log = MemoryLog()
    await fill(log, 5)
    standby = await _Life(log, standby=True).start()
    await asyncio.sleep(3)
    frame = log.decoded(EVENTS)[0]
    await log.say(EVENTS, "ubscore-0", frame.first_sequence, list(frame.records))
    await _order(log, 5)
    await asyncio.sleep(1)
    assert (standby.shell.role, standby.shell.takeovers) == ("active", 1)


@run_in_virtual_time
async def test_standby_active_is_slow_but_alive_keeps_silent() -> None:
    """The active says one record a second, of which many are due: it is not gone."""
    log, expected = MemoryLog(), await _undisturbed(8)
    await fill(log, 8)
    standby = await _Life(log, standby=True).start()
    records = said(expected, EVENTS)
    for sequence, record in enumerate(records, 1):
        await asyncio.sleep(TAKEOVER_S / 2)
        await log.say(EVENTS, "ubscore-0", sequence, [record])
    assert standby.shell.role == "standby"
    await asyncio.sleep(TAKEOVER_S + 1)
    assert standby.shell.role == "active", "and then it said no more"
    assert _says_what(log, expected)


class _SlowToSayTheEnd(MemoryLog):
    """A log that takes its time to say where balance.events ends."""

    delay_s = 0.0

    async def end(self, partition: TopicPartition) -> int:
        end = await super().end(partition)
        if partition == EVENTS:
            await asyncio.sleep(self.delay_s)
        return end


@run_in_virtual_time
async def test_standby_hears_the_active_while_it_looks_waits_anew() -> None:
    """What it read before it heard that is no evidence of a silence since then."""
    log, expected = _SlowToSayTheEnd(), await _undisturbed(8)
    await fill(log, 8)
    standby = await _Life(log, standby=True).start()
    log.delay_s = TAKEOVER_S + 2
    await asyncio.sleep(TAKEOVER_S + 1)
    await log.say(EVENTS, "ubscore-0", 1, said(expected, EVENTS)[:1])
    await asyncio.sleep(TAKEOVER_S + 2)
    assert standby.shell.role == "standby", "the active spoke, and where the log ends was not asked since"
    await asyncio.sleep(TAKEOVER_S + 2)
    assert standby.shell.role == "active"
    assert _says_what(log, expected)


@run_in_virtual_time
async def test_standby_starts_far_behind_an_active_says_nothing() -> None:
    log = MemoryLog()
    await fill(log, 500)
    active = await _Life(log, standby=False).start()
    await active.has_applied_all()
    standby = await _Life(log, standby=True, max_pending_records=20).start()
    await standby.has_applied_all()
    await asyncio.sleep(10)
    assert (standby.shell.role, _repeats(log)) == ("standby", 0)


@run_in_virtual_time
async def test_standby_bound_of_what_it_keeps_reached_reads_no_further_until_it_speaks() -> None:
    log, expected = MemoryLog(), await _undisturbed(500)
    await fill(log, 500)
    standby = await _Life(log, standby=True, max_pending_records=100).start()
    await asyncio.sleep(TAKEOVER_S / 2)
    assert 0 < standby.shell.core.next_offset < 400
    await _until_said(log, expected)
    assert _repeats(log) == 0


@run_in_virtual_time
async def test_standby_bound_reached_while_it_recovers_speaks_at_once() -> None:
    log, expected = MemoryLog(), await _undisturbed(300)
    disk = MemoryDirectory()
    await fill(log, 300)
    before = await _Life(log, disk, standby=True).start()
    await before.has_applied_all()
    await before.kill()
    await _Life(log, disk, standby=True, max_pending_records=100).start()
    await _until_said(log, expected)
    assert _repeats(log) == 0


# Restarts of a standby


@pytest.mark.parametrize("standby", [True, False], ids=["as a standby", "as the active"])
@pytest.mark.parametrize("how", ["killed", "stopped"])
@run_in_virtual_time
async def test_standby_restarted_before_it_spoke_says_what_the_log_lacks(how: str, standby: bool) -> None:
    """What it kept is in no snapshot: the restart folds it again."""
    log, expected, disk = MemoryLog(), await _undisturbed(25), MemoryDirectory()
    active = await _Life(log, standby=False).start()
    first = await _Life(log, disk, standby=True, snapshot_interval_ms=10).start()
    await fill(log, 20)
    await active.has_applied_all()
    await asyncio.sleep(1)
    await active.kill()
    await _order(log, *range(20, 25))
    await first.has_applied_all()
    await asyncio.sleep(TAKEOVER_S / 2)
    assert not first.shell.all_said
    await (first.kill() if how == "killed" else first.stop())
    assert not _says_what(log, expected)
    await _Life(log, disk, standby=standby).start()
    await _until_said(log, expected)
    assert _repeats(log) == 0


@run_in_virtual_time
async def test_standby_snapshot_due_waits_for_the_active_and_is_taken() -> None:
    log, disk = MemoryLog(), MemoryDirectory()
    active = await _Life(log, standby=False).start()
    standby = await _Life(log, disk, standby=True, snapshot_interval_ms=100).start()
    await fill(log, 3)
    for n in range(3, 60):
        await _order(log, n)
        await asyncio.sleep(0.01)
    assert any(name.startswith("snapshot-") for name in disk.files)
    await standby.stop()
    again = await _Life(log, disk, standby=True).start()
    assert again.shell.replayed_frames == 0
    assert again.shell.core.digest() == active.shell.core.digest()


@run_in_virtual_time
async def test_standby_log_cannot_be_heard_any_more_ends() -> None:
    class DeafLog(MemoryLog):
        async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> Any:
            if partition == EVENTS and offset == 1:
                raise LogError("cannot be read")
            return await super().read(partition, offset, max_frames)

    log = DeafLog()
    standby = await _Life(log, standby=True).start()
    for sequence in (1, 2):
        await log.say(EVENTS, "ubscore-0", sequence, [[1]])
        await asyncio.sleep(1)
    with pytest.raises(LogError, match="cannot be read"):
        async with asyncio.timeout(100):
            await standby.running


# The log is away


class _AwayLog(MemoryLog):
    """A log that is away while `away`: where it ends is known in no time, and reading raises."""

    away = False

    async def end(self, partition: TopicPartition) -> int:
        while self.away:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return await super().end(partition)

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> Any:
        if self.away:
            raise LogError("no broker answers")
        return await super().read(partition, offset, max_frames)


@run_in_virtual_time
async def test_core_shell_log_away_while_a_snapshot_is_due_goes_on_when_it_is_back() -> None:
    log = _AwayLog()
    await fill(log, 2)
    life = await _Life(log, standby=False, snapshot_interval_ms=60_000).start()
    await life.has_applied_all()
    log.away = True
    asked = asyncio.create_task(life.shell.snapshot_now())
    await asyncio.sleep(600)
    with pytest.raises(LogError, match="does not say where the output ends"):
        await asked
    assert not life.running.done()
    log.away = False
    await _order(log, 2)
    await life.has_applied_all()
    await life.stop()


@pytest.mark.parametrize("standby", [False, True], ids=["active", "standby with something to say"])
@run_in_virtual_time
async def test_core_shell_told_to_stop_while_the_log_is_away_ends_soon_and_loses_nothing(standby: bool) -> None:
    log, expected = _AwayLog(), await _undisturbed(8)
    life = await _Life(log, standby=standby).start()
    await fill(log, 8)
    await life.has_applied_all()
    log.away = True
    await asyncio.sleep(2 * TAKEOVER_S)
    async with asyncio.timeout(10):
        await life.stop()
    log.away = False
    again = await _Life(log, life.disk, standby=False).start()
    await again.has_applied_all()
    await again.stop()
    assert _says_what(log, expected)


# Waiting and snapshots on demand


@run_in_virtual_time
async def test_applied_returns_once_the_offset_is_applied() -> None:
    log = MemoryLog()
    life = await _Life(log, standby=False).start()
    waiting = [asyncio.create_task(life.shell.applied(offset)) for offset in (3, 1, 2, 1)]
    await fill(log, 1)
    await asyncio.sleep(1)
    assert [task.done() for task in waiting] == [False, True, True, True]
    await _order(log, 1)
    await waiting[0]
    assert life.shell.core.next_offset == 3


@run_in_virtual_time
async def test_applied_and_snapshot_now_shell_ends_raise() -> None:
    life = _Life(MemoryLog(), standby=False)
    asked = [asyncio.create_task(life.shell.applied(1)), asyncio.create_task(life.shell.applied(2))]
    await life.start()
    await asyncio.sleep(1)
    await life.stop()
    for task in asked:
        with pytest.raises(LogError, match="ubscore-0 has stopped at offset 0"):
            await task
    for late in (life.shell.applied(1), life.shell.snapshot_now()):
        with pytest.raises(LogError, match="has stopped"):
            await late
    await life.shell.applied(0)


@pytest.mark.parametrize("standby", [False, True])
@run_in_virtual_time
async def test_snapshot_now_seeds_another_process_and_leaves_the_journal_alone(standby: bool) -> None:
    log = MemoryLog()
    active, follower = await _pair(log)
    await fill(log, 30)
    life = follower if standby else active
    await life.has_applied_all()
    files = dict(life.disk.files)
    taken = await life.shell.snapshot_now()
    assert life.disk.files == files
    assert (taken.next_offset, taken.digest) == (31, life.shell.core.digest())
    disk = MemoryDirectory()
    await seed_journal(disk, "ubscore-0", taken.data, taken.next_offset)
    other = await _Life(log, disk, standby=False).start()
    assert other.shell.core.next_offset == 31
    assert other.shell.core.digest() == taken.digest
    await _order(log, 30)
    await other.has_applied_all()
    await other.stop()
    again = await _Life(log, disk, standby=False).start()
    assert again.shell.core.digest() == active.shell.core.digest()


@run_in_virtual_time
async def test_snapshot_now_while_nobody_speaks_waits_until_all_is_said() -> None:
    log, expected = MemoryLog(), await _undisturbed(5)
    await fill(log, 5)
    standby = await _Life(log, standby=True).start()
    await standby.has_applied_all()
    taken = await standby.shell.snapshot_now()
    assert standby.shell.role == "active"
    assert _says_what(log, expected)
    assert taken.next_offset == 6


@run_in_virtual_time
async def test_seed_journal_where_one_is_refuses() -> None:
    disk = MemoryDirectory()
    await seed_journal(disk, "ubscore-0", b"snapshot", 7)
    with pytest.raises(JournalError, match="there is one already"):
        await seed_journal(disk, "ubscore-0", b"snapshot", 8)


@pytest.mark.parametrize("shards", [(0, 2), (1, 2)])
@run_in_virtual_time
async def test_core_shell_snapshot_of_another_layout_is_refused(shards: tuple[int, int]) -> None:
    log, disk = MemoryLog(), MemoryDirectory()
    life = await _Life(log, disk, standby=False).start()
    await fill(log, 2)
    await life.has_applied_all()
    await life.stop()
    other = _Life(log, disk, standby=False).shell
    other.core = UbsCore(*shards)
    with pytest.raises(JournalError, match=f"account shard 0 of 1, but this process is account shard {shards[0]} of 2"):
        await other.recover()


@run_in_virtual_time
async def test_core_shell_snapshot_for_other_numbers_of_partitions_is_refused() -> None:
    log, disk = MemoryLog(), MemoryDirectory()
    life = await _Life(log, disk, standby=False).start()
    await fill(log, 2)
    await life.has_applied_all()
    await life.stop()
    outputs = [*OUTPUTS, TopicPartition(ACCEPTED.topic, 1)]
    clock = SimulatedClock(asyncio.get_running_loop())
    journal = Journal(disk, "ubscore-0")
    shell = CoreShell(lambda: UbsCore(0, 1), UbsCore.restore, log, journal, clock, outputs)
    with pytest.raises(JournalError, match=r"output to balance.events/0, orders/0, this .* orders/0, orders/1:"):
        await shell.recover()
