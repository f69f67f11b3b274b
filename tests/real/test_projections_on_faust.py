"""Settlement as a member of a real group on a real broker: whatever happens, its rows are a fold of the log."""

import asyncio
import dataclasses
import itertools
import logging
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as BrokerPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from services.adapters.clock import SystemClock
from services.adapters.kafka.bases import write_bases
from services.adapters.kafka.faust_app import SESSION_TIMEOUT_S
from services.adapters.kafka.faust_buffer import MAX_FRAMES
from services.adapters.kafka.faust_frames import NO_BROKER, NO_STORE
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import SettlementBatch
from services.adapters.sqlite.store import SqliteStore
from services.domain.errors import GapError, StoreError, StoreUnavailable
from services.domain.messages import encode_frame
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.settlement.service import READER, settlement_shell
from services.shell.projection_member import ProjectionMember
from services.shell.projection_shell import RUNNING, WAITING
from tests.contracts.store_contract import rows_of, tables_of
from tests.real.broker import PASSWORD, USER, Broker
from tests.support.aio import run_async
from tests.support.feed import Feed, folded
from tests.support.kafka import make_partitions
from tests.support.processes import ROOT, environment
from tests.support.projection_program import settlement_member
from tests.support.streams import Balances, frames

P = TopicPartition(BALANCE_EVENTS, 0)
Q = TopicPartition(BALANCE_EVENTS, 1)
PATIENCE_S = 120.0
_POLL_S = 0.02
_NUMBERS = itertools.count(1)


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    made = KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"faust-{next(_NUMBERS)}.")
    asyncio.run(make_partitions(made, (P, Q)))
    return made


class _FaultyStore(SqliteStore):
    """refuses: the batches that are left before it refuses all. away: whether it does not answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.refuses: int | None = None
        self.away = False

    async def write_settlement(self, batch: SettlementBatch) -> None:
        self._check()
        if self.refuses is not None:
            if self.refuses == 0:
                raise StoreError("it does not like this batch")
            self.refuses -= 1
        await super().write_settlement(batch)

    async def progress(self, reader: str, partition: TopicPartition) -> ProgressRow | None:
        self._check()
        return await super().progress(reader, partition)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("the store is away")


class _Process:
    """The program of tests.support.projection_program."""

    def __init__(self, settings: KafkaSettings, member: str, path: Path) -> None:
        arguments = [settings.bootstrap_servers[0], settings.topic_prefix, member, str(path)]
        self._command = [sys.executable, "-m", "tests.support.projection_program", *arguments]
        self._output = path.with_suffix(f".{member}.out")
        self.running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("ab") as output:
            self.running = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment()
            )

    def send(self, number: int) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        assert self.running is not None
        return self.running.wait(PATIENCE_S)

    def end(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.kill()

    @property
    def said(self) -> str:
        return self._output.read_text(errors="replace")


@asynccontextmanager
async def _processes(*processes: _Process) -> AsyncIterator[None]:
    """Whatever happens, nothing of them is left running."""
    try:
        yield
    finally:
        for process in processes:
            await asyncio.to_thread(process.end)


@asynccontextmanager
async def _member(member: ProjectionMember) -> AsyncIterator[asyncio.Task[None]]:
    """It runs, and is stopped in order at the end, unless it ended before."""
    task = asyncio.create_task(member.run())
    try:
        yield task
    finally:
        member.stop()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([task])


async def _until(condition: Callable[[], bool], task: asyncio.Task[None] | None = None) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            if task is not None and task.done():
                task.result()
            await asyncio.sleep(_POLL_S)


async def _reach(
    store: SqliteStore, ends: dict[TopicPartition, int], tasks: tuple[asyncio.Task[None], ...] = ()
) -> None:
    """Return once the store has the effects of every frame before these ends."""
    async with asyncio.timeout(PATIENCE_S):
        for partition, end in ends.items():
            while await _position(store, partition) < end:
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(_POLL_S)


async def _position(store: SqliteStore, partition: TopicPartition) -> int:
    progress = await SqliteStore.progress(store, READER, partition)
    return 0 if progress is None else progress.next_offset


async def _check(feed: Feed, store: SqliteStore, *tasks: asyncio.Task[None]) -> None:
    """The feed ends, the store catches up, and has what a fold of the log has."""
    ends = await feed.stop()
    await _reach(store, ends, tasks)
    assert await tables_of(store) == await folded(feed.log, ends)
    await feed.close()


async def _move_group(settings: KafkaSettings, offset: int) -> None:
    """Have the group's offset of P be this one."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(settings.bootstrap_servers), group_id=settings.topic(READER), enable_auto_commit=False
    )
    await consumer.start()
    at = BrokerPartition(settings.topic(P.topic), 0)
    consumer.assign([at])
    await consumer.commit({at: offset})
    assert await consumer.committed(at) == offset
    await consumer.stop()


async def _remove_before(settings: KafkaSettings, offset: int) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))
    await admin.start()
    await admin.delete_records({BrokerPartition(settings.topic(P.topic), 0): RecordsToDelete(before_offset=offset)})
    await admin.close()


# What stops it


@run_async
async def test_store_that_refuses_ends_the_member_and_the_next_life_skips_nothing(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    store, feed = _FaultyStore(tmp_path / "store"), Feed(settings, [P])
    store.refuses = 3
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreError, match="does not like"):
            await settlement_member(settings, "0", store).run()
    stood = await _position(store, P)
    store.refuses = None
    await feed.more(50)
    async with _member(settlement_member(settings, "0", store)) as task:
        await _check(feed, store, task)
    assert stood > 0
    await store.close()


@run_async
async def test_hole_in_the_offsets_stops_with_the_position(settings: KafkaSettings, tmp_path: Path) -> None:
    """A transaction's end has an offset of its own, which nobody gets."""
    balances = Balances()
    said = [encode_frame("ubscore-0", number + 1, [balances.deposit()]) for number in range(2)]
    producer = AIOKafkaProducer(bootstrap_servers=list(settings.bootstrap_servers), transactional_id="makes-a-hole")
    await producer.start()
    for data in said:
        async with producer.transaction():
            await producer.send_and_wait(settings.topic(P.topic), data, partition=0)
    await producer.stop()
    store = SqliteStore(tmp_path / "store")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(GapError, match=r"balance.events/0: expected offset 1, the stream goes on at 2"):
            await settlement_member(settings, "0", store).run()
    await store.close()


@run_async
async def test_frames_that_retention_removed_stop_with_the_positions(settings: KafkaSettings, tmp_path: Path) -> None:
    feed, store = Feed(settings, [P]), SqliteStore(tmp_path / "store")
    await feed.more(20)
    ends = await feed.stop()
    await _remove_before(settings, 7)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(
            GapError, match=rf"balance.events/0: the database stands at offset 0, the log holds 7 up to {ends[P]}"
        ):
            await settlement_member(settings, "0", store).run()
    await feed.close()
    await store.close()


@run_async
async def test_database_beyond_the_log_stops_with_the_positions(settings: KafkaSettings, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    await store.write_settlement(SettlementBatch([], [], [], ProgressRow(READER, *P, 9, {"ubscore-0": 90})))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(GapError, match="the database stands at offset 9, the log holds 0 up to 0"):
            await settlement_member(settings, "0", store).run()
    await store.close()


# Where it goes on


@pytest.mark.parametrize("ahead", [True, False], ids=["ahead", "behind"])
@run_async
async def test_group_offsets_apart_from_the_database_the_database_wins(
    settings: KafkaSettings, tmp_path: Path, ahead: bool
) -> None:
    feed, store = Feed(settings, [P]), SqliteStore(tmp_path / "store")
    before = settlement_shell(0, feed.log, store, SystemClock())
    running = asyncio.create_task(before.run())
    await feed.more(60)
    before.stop()
    await running
    await feed.more(60)
    await _move_group(settings, before.next_offset + 40 if ahead else 3)
    async with _member(settlement_member(settings, "0", store)) as task:
        await _check(feed, store, task)
    await store.close()


@run_async
async def test_database_restored_from_an_older_backup_settlement_rewinds(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    feed, store = Feed(settings, [P]), SqliteStore(tmp_path / "store")
    older = SqliteStore(tmp_path / "older")
    for target, number in ((older, 40), (store, 100)):
        async with _member(settlement_member(settings, "0", target)) as task:
            await _reach(target, {P: number}, (task,))
    assert await _position(older, P) < await _position(store, P)
    async with _member(settlement_member(settings, "0", older)) as task:
        await _check(feed, older, task)
    for each in (older, store):
        await each.close()


@run_async
async def test_log_that_was_restored_offsets_go_on_where_they_were(settings: KafkaSettings, tmp_path: Path) -> None:
    base = 5_000
    await write_bases(settings, {P: base})
    feed, store = Feed(settings, [P]), SqliteStore(tmp_path / "store")
    await store.write_settlement(SettlementBatch([], [], [], ProgressRow(READER, *P, base, {})))
    for _ in range(2):
        async with _member(settlement_member(settings, "0", store)) as task:
            await feed.more(30)
            await _reach(store, {P: await _position(store, P) + 10}, (task,))
    async with _member(settlement_member(settings, "0", store)) as task:
        ends = await feed.stop()
        await _reach(store, ends, (task,))
    assert ends[P] > base + 60
    assert await _position(store, P) == ends[P]
    await feed.close()
    await store.close()


# What it lives through


@run_async
async def test_store_away_it_waits_says_so_and_goes_on(settings: KafkaSettings, tmp_path: Path) -> None:
    feed, store = Feed(settings, [P, Q]), _FaultyStore(tmp_path / "store")
    store.away = True
    member = settlement_member(settings, "0", store)
    async with _member(member) as task:
        await _until(lambda: member.state == NO_STORE, task)
        # Away for longer than the group waits for a place, and than a member may be silent.
        await asyncio.sleep(SESSION_TIMEOUT_S + 1)
        store.away = False
        await _reach(store, {P: 50, Q: 50}, (task,))
        assert member.state == RUNNING
        store.away = True
        await _until(lambda: member.state == WAITING, task)
        await feed.more(20)
        store.away = False
        await _check(feed, store, task)
        assert member.shells[P].repeated_records == 0
    await store.close()


@run_async
async def test_store_away_while_much_comes_memory_is_bounded_and_the_group_kept(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    log, store, balances = KafkaLog(settings), _FaultyStore(tmp_path / "store"), Balances()
    number = MAX_FRAMES + 2_000
    member = settlement_member(settings, "0", store)
    async with _member(member) as task:
        await _until(lambda: len(member.shells) == 2, task)
        shell, store.away = member.shells[P], True
        await log.append(frames(P, "ubscore-0", [balances.deposit() for _ in range(number)], [1] * number))
        await _until(lambda: member.frames.held == MAX_FRAMES, task)
        # Nobody takes anything for longer than a session.
        await asyncio.sleep(SESSION_TIMEOUT_S + 1)
        assert member.frames.held == MAX_FRAMES
        store.away = False
        await _reach(store, {P: number}, (task,))
        assert (member.shells[P], shell.repeated_records) == (shell, 0), "it was ours all the time"
    assert [row.version for row in await rows_of(store.all_balances())] == [number]
    await log.close()
    await store.close()


@run_async
async def test_broker_killed_under_load_nothing_is_lost_or_doubled(
    broker: Broker, settings: KafkaSettings, tmp_path: Path
) -> None:
    feed, store = Feed(settings, [P, Q]), SqliteStore(tmp_path / "store")
    async with _member(settlement_member(settings, "0", store)) as task:
        for _ in range(3):
            await feed.more(60)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
        await feed.more(60)
        await _check(feed, store, task)
    await store.close()


@run_async
async def test_broker_silent_longer_than_a_session_nothing_is_lost(
    broker: Broker, settings: KafkaSettings, tmp_path: Path
) -> None:
    feed, store = Feed(dataclasses.replace(settings, request_timeout_s=2.0), [P, Q]), SqliteStore(tmp_path / "store")
    async with _member(settlement_member(settings, "0", store)) as task:
        await feed.more(60)
        broker.freeze()
        # The silence itself.
        await asyncio.sleep(SESSION_TIMEOUT_S + 3)
        broker.thaw()
        await feed.more(60)
        await _check(feed, store, task)
    await store.close()


@run_async
async def test_stop_while_the_broker_is_silent_returns_and_leaves_no_thread(
    broker: Broker, settings: KafkaSettings, tmp_path: Path
) -> None:
    feed, store = Feed(settings, [P]), SqliteStore(tmp_path / "store")
    before = set(threading.enumerate())
    async with _member(settlement_member(settings, "0", store)) as task:
        await _reach(store, {P: 20}, (task,))
        ends = await feed.stop()
        await _reach(store, ends, (task,))
        broker.freeze()
    await _until(lambda: all(thread in before or "store" in thread.name for thread in threading.enumerate()))
    broker.thaw()
    await feed.close()
    await store.close()


@run_async
async def test_no_broker_yet_it_begins_once_there_is_one(
    broker: Broker, settings: KafkaSettings, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "store")
    await asyncio.to_thread(broker.kill)
    async with _member(settlement_member(settings, "0", store)) as task:
        await asyncio.to_thread(broker.start)
        feed = Feed(settings, [P])
        await feed.more(20)
        await _check(feed, store, task)
    await store.close()


@run_async
async def test_killed_again_and_again_rows_are_a_fold_of_the_log(settings: KafkaSettings, tmp_path: Path) -> None:
    path = tmp_path / "store"
    feed, store, process = Feed(settings, [P, Q]), SqliteStore(path), _Process(settings, "0", path)
    async with _processes(process):
        for round_ in range(8):
            stood = await _position(store, P)
            await asyncio.to_thread(process.start)
            await _reach(store, {P: stood + 1 + 7 * round_})
            await asyncio.to_thread(process.kill)
        await asyncio.to_thread(process.start)
        await _check(feed, store)
        process.send(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait) == 0, process.said
    await store.close()


@run_async
async def test_two_members_share_partitions_and_one_takes_over_when_the_other_is_killed(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    feed, store, process = Feed(settings, [P, Q]), SqliteStore(path), _Process(settings, "1", path)
    member = settlement_member(settings, "0", store)
    async with _processes(process), _member(member) as task:
        await _until(lambda: len(member.shells) == 2, task)
        for _ in range(2):
            await asyncio.to_thread(process.start)
            await _until(lambda: len(member.shells) == 1, task)
            (other,) = {P, Q} - set(member.shells)
            await _reach(store, {other: await _position(store, other) + 50}, (task,))
            await asyncio.to_thread(process.kill)
            await _until(lambda: len(member.shells) == 2, task)
        await feed.more(20)
        await _check(feed, store, task)
    await store.close()


@run_async
async def test_member_frozen_longer_than_a_session_comes_back_and_harms_nothing(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    feed, store, process = Feed(settings, [P, Q]), SqliteStore(path), _Process(settings, "1", path)
    member = settlement_member(settings, "0", store)
    async with _processes(process), _member(member) as task:
        await _until(lambda: len(member.shells) == 2, task)
        await asyncio.to_thread(process.start)
        await _until(lambda: len(member.shells) == 1, task)
        process.send(signal.SIGSTOP)
        await _until(lambda: len(member.shells) == 2, task)
        await feed.more(50)
        process.send(signal.SIGCONT)
        await _until(lambda: len(member.shells) == 1, task)
        await feed.more(50)
        await _check(feed, store, task)
        process.send(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait) == 0, process.said
    await store.close()


@run_async
async def test_process_that_finds_a_gap_ends_with_an_error(settings: KafkaSettings, tmp_path: Path) -> None:
    path = tmp_path / "store"
    store, process = SqliteStore(path), _Process(settings, "0", path)
    await store.write_settlement(SettlementBatch([], [], [], ProgressRow(READER, *P, 9, {"ubscore-0": 90})))
    async with _processes(process):
        await asyncio.to_thread(process.start)
        assert await asyncio.to_thread(process.wait) != 0
        assert "GapError: balance.events/0: the database stands at offset 9" in process.said
    await store.close()


# How it is let in


def _secured(broker: Broker, settings: KafkaSettings, **fields: Any) -> KafkaSettings:
    values = {
        "bootstrap_servers": (broker.secure_address,),
        "tls": ssl.create_default_context(cafile=str(broker.certificate)),
        "sasl_mechanism": "PLAIN",
        "sasl_username": USER,
        "sasl_password": PASSWORD,
    }
    return dataclasses.replace(settings, **(values | fields))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
@run_async
async def test_tls_and_sasl_work_and_nobody_sees_the_password(
    broker: Broker, settings: KafkaSettings, mechanism: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secure = _secured(broker, settings, sasl_mechanism=mechanism)
    feed, store = Feed(secure, [P]), SqliteStore(tmp_path / "store")
    async with _member(settlement_member(secure, "0", store)) as task:
        await feed.more(20)
        await _check(feed, store, task)
    assert PASSWORD not in caplog.text
    await store.close()


@run_async
async def test_wrong_password_it_waits_says_why_and_stops_when_asked(
    broker: Broker, settings: KafkaSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong, store = "another-password", SqliteStore(tmp_path / "store")
    member = settlement_member(_secured(broker, settings, sasl_password=wrong), "0", store)
    async with _member(member) as task:
        await _until(lambda: member.state.startswith(f"{NO_BROKER}: "), task)
        said = member.state
    assert member.state == "stopped: as asked"
    assert wrong not in caplog.text + said
    await store.close()
