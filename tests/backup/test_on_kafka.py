"""Backups of an exchange on a real broker: restored into new topics, where offsets go on, and verified there."""

import asyncio
import itertools
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition as BrokerPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from prometheus_client import CollectorRegistry

from services.adapters.backup_target import BackupTarget
from services.adapters.internal.server import CoreReads, Health, InternalServer
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import CoreState
from services.adapters.sqlite.store import SqliteStore
from services.backup.check import open_backup
from services.backup.create import create_backup
from services.backup.layout import Layout
from services.backup.restore import Destination, Restored, find_core, restore_backup, restore_journal
from services.domain.errors import BackupError, GapError, LogError
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, TopicPartition
from services.runtime.backups import KafkaTopics, journal_folders
from services.runtime.distributed.verification import Parts, verify_parts
from services.shell.core_shell import CoreShell
from services.verify.report import Check
from tests.backup.exchange import Exchange, Feeder, exchange
from tests.backup.test_backup_and_restore import CREATED_MS, quiet
from tests.real.broker import Broker
from tests.support.aio import run_async
from tests.support.internal import TOKEN, at_once, listening, url_of
from tests.support.kafka import make_partitions
from tests.support.rows import key_row

LAYOUTS = [Layout(1, 1), Layout(2, 2)]
_NUMBERS = itertools.count(1)


@pytest.fixture
def place(broker: Broker) -> Callable[[], KafkaSettings]:
    """Gives brokers where nothing is, again and again."""
    return lambda: KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"backup-{next(_NUMBERS)}.")


@asynccontextmanager
async def opened(layout: Layout, brokers: KafkaSettings, folder: Path) -> AsyncIterator[Exchange]:
    """An exchange that runs on this log, and on the store and the journals in this folder."""
    async with AsyncExitStack() as stack:
        folder.mkdir(exist_ok=True)
        await make_partitions(brokers, layout.partitions)
        log, store = KafkaLog(brokers), SqliteStore(folder / "store.sqlite3")
        stack.push_async_callback(log.close)
        stack.push_async_callback(store.close)
        yield await stack.enter_async_context(exchange(layout, log, store, folder))


async def back_up(running: Exchange, feeder: Feeder, target: BackupTarget, created_ms: int = CREATED_MS) -> str:
    """Make a backup while commands come in."""
    feeding = asyncio.create_task(feeder.feed_on(running.log))
    manifest = await create_backup(running.source(), target, "0.1.0", created_ms, quiet)
    feeding.cancel()
    await asyncio.wait([feeding])
    await running.rest()
    return manifest.name


async def restore(target: BackupTarget, name: str, layout: Layout, brokers: KafkaSettings, folder: Path) -> Restored:
    folder.mkdir(exist_ok=True)
    await make_partitions(brokers, layout.partitions)
    store = SqliteStore(folder / "store.sqlite3")
    try:
        async with journal_folders(folder) as journals:
            to = Destination(layout, KafkaTopics(brokers, 1), store, journals)
            return await restore_backup(open_backup(target, name), to, quiet)
    finally:
        await store.close()


@asynccontextmanager
async def answering(running: Exchange) -> AsyncIterator[dict[str, list[str]]]:
    """The cores' internal APIs; gives where each answers."""
    async with AsyncExitStack() as stack:
        addresses = {}
        for source, shell in running.cores.items():

            async def state(source: str = source, shell: CoreShell[Any] = shell) -> CoreState:
                core = shell.core
                return CoreState(source, core.next_offset, core.digest(), "active")

            async def health() -> Health:
                return Health(True, {})

            core = CoreReads(TOKEN, at_once, state, running.source().snapshots[source], None, None)
            server, listener = InternalServer(health, CollectorRegistry(), core), listening()
            await server.start(listener)
            stack.push_async_callback(server.close)
            addresses[source] = [url_of(listener)]
        yield addresses


async def verified(running: Exchange, folder: Path, target: BackupTarget | None = None) -> list[Check]:
    """Everything, with the cores' answers."""
    async with answering(running) as addresses:
        parts = Parts(running.layout, running.log, running.store, addresses, TOKEN, folder, target)
        return [check async for check in verify_parts(parts, quiet)]


def failed(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.ok]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@run_async
async def test_restore_into_new_topics_goes_on_at_the_same_offsets_and_verifies(
    tmp_path: Path, place: Callable[[], KafkaSettings], layout: Layout
) -> None:
    target, feeder = BackupTarget(str(tmp_path / "backups")), Feeder(layout)
    async with opened(layout, place(), tmp_path / "before") as running:
        await running.store.put_key(key_row())
        await feeder.feed(running.log, 200)
        await running.rest()
        name = await back_up(running, feeder, target)
        ends = {partition: await running.log.end(partition) for partition in layout.partitions}
    manifest = open_backup(target, name).manifest
    assert all(entry.start > 0 for entry in manifest.partitions), "only tails are in it"
    there = place()
    restored = await restore(target, name, layout, there, tmp_path / "after")
    async with opened(layout, there, tmp_path / "after") as running:
        await running.rest()
        for entry in manifest.partitions:
            assert await running.log.start(entry.partition) == entry.start
            assert await running.log.end(entry.partition) <= ends[entry.partition]
        await check_digests(running, restored)
        checks = await verified(running, tmp_path / "after", target)
        assert failed(checks) == []
        assert any("older than the log" in check.detail for check in checks)
        await feeder.feed(running.log, 50)
        await running.rest()
        assert failed(await verified(running, tmp_path / "after", target)) == []
        assert await running.store.get_key("key-1") == key_row()


async def check_digests(running: Exchange, restored: Restored) -> None:
    """What the restore foretold is what the backup's snapshots and the new log give."""
    for source, shell in running.cores.items():
        offset, digest = restored.digests[source]
        assert shell.core.next_offset >= offset
        if shell.core.next_offset == offset:
            assert shell.core.digest() == digest


@run_async
async def test_restore_into_topics_with_frames_or_other_bases_is_refused(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, target, feeder = Layout(1, 1), BackupTarget(str(tmp_path / "backups")), Feeder(Layout(1, 1))
    first = place()
    async with opened(layout, first, tmp_path / "before") as running:
        await feeder.feed(running.log, 40)
        await running.rest()
        names = [await back_up(running, feeder, target, CREATED_MS + n) for n in range(2)]
    with pytest.raises(BackupError, match=r"balance.operations/0 has had [0-9,]+ frames"):
        await restore(target, names[0], layout, first, tmp_path / "after")
    there = place()
    await restore(target, names[0], layout, there, tmp_path / "one")
    with pytest.raises(BackupError, match="the environment is not empty"):
        await restore(target, names[1], layout, there, tmp_path / "two")


@run_async
async def test_verify_under_load_passes_and_a_changed_row_or_memory_fails(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, feeder = Layout(2, 2), Feeder(Layout(2, 2))
    async with opened(layout, place(), tmp_path / "here") as running:
        await feeder.feed(running.log, 100)
        feeding = asyncio.create_task(feeder.feed_on(running.log))
        for _ in range(2):
            assert failed(await verified(running, tmp_path / "here")) == []
        feeding.cancel()
        await asyncio.wait([feeding])
        await running.rest()
        for statement, table in _TAMPERINGS:
            with sqlite3.connect(tmp_path / "here" / "store.sqlite3") as store:
                assert store.execute(statement).rowcount >= 1
                store.commit()
                wrong = failed(await verified(running, tmp_path / "here"))
                assert any(table in check.name for check in wrong), (statement, wrong)
                store.execute(statement.replace("+ 1", "- 1"))
        assert failed(await verified(running, tmp_path / "here")) == []
        running.cores["ubscore-1"].core.state.now_ms += 1
        assert [check.name for check in failed(await verified(running, tmp_path / "here"))] == [
            "ubscore-1: memory has the log's digest",
            "ubscore-1: its snapshot has the log's digest",
        ]


_TAMPERINGS = [
    ("UPDATE user_balances SET available = available + 1 WHERE user_id = 1 AND asset_id = 'USDT'", "user_balances"),
    ("UPDATE balance_ledger SET available_delta = available_delta + 1 WHERE user_id = 2 AND seq = 3", "ledger"),
    ("UPDATE settled_trades SET buyer_fee = buyer_fee + 1 WHERE trade_id = 1", "settled_trades"),
    ("UPDATE order_history SET filled_lots = filled_lots + 1 WHERE order_id = 1", "order_history"),
    ("UPDATE order_updates_stream SET filled_lots = filled_lots + 1 WHERE sequence = 5", "order_updates_stream"),
    ("UPDATE order_statistics SET new = new + 1 WHERE user_id = 3", "order_statistics"),
]


@run_async
async def test_verify_rows_older_than_the_log_are_checked_by_themselves(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, target, feeder = Layout(2, 2), BackupTarget(str(tmp_path / "backups")), Feeder(Layout(2, 2))
    async with opened(layout, place(), tmp_path / "before") as running:
        await feeder.feed(running.log, 150)
        await running.rest()
        name = await back_up(running, feeder, target)
    there = place()
    await restore(target, name, layout, there, tmp_path / "after")
    async with opened(layout, there, tmp_path / "after") as running:
        await running.rest()
        assert failed(await verified(running, tmp_path / "after")) == []
        for statement, table in _OLDER_TAMPERINGS:
            with sqlite3.connect(tmp_path / "after" / "store.sqlite3") as store:
                assert store.execute(statement).rowcount >= 1
                store.commit()
                wrong = failed(await verified(running, tmp_path / "after"))
                assert any(table in check.name for check in wrong), (statement, wrong)
                store.execute(statement.replace("+ 1", "- 1"))
        assert failed(await verified(running, tmp_path / "after")) == []


_OLDER_TAMPERINGS = [
    (
        "UPDATE balance_ledger SET available = available + 1 WHERE user_id = 2 AND asset_id = 'USDT' AND seq = 2",
        "ledger",
    ),
    ("UPDATE balance_ledger SET reserved_delta = reserved_delta + 1 WHERE user_id = 3 AND seq = 3", "ledger"),
    ("UPDATE order_statistics SET new = new + 1 WHERE user_id = 3", "order_statistics"),
    (
        "UPDATE active_orders SET filled_lots = filled_lots + 1 "
        "WHERE order_id = (SELECT min(order_id) FROM active_orders)",
        "orders",
    ),
]


async def _remove_before(brokers: KafkaSettings, partition: TopicPartition, offset: int) -> None:
    """As retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers.bootstrap_servers))
    await admin.start()
    at = BrokerPartition(*brokers.on_broker(partition))
    await admin.delete_records({at: RecordsToDelete(before_offset=offset)})
    await admin.close()


@run_async
async def test_retention_removed_what_a_core_needs_is_refused_with_the_positions(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, feeder, brokers = Layout(1, 1), Feeder(Layout(1, 1)), place()
    operations = TopicPartition(BALANCE_OPERATIONS, 0)
    async with opened(layout, brokers, tmp_path / "here") as running:
        await feeder.feed(running.log, 60)
        await running.rest()
        stood = running.cores["ubscore-0"].core.next_offset
    log = KafkaLog(brokers)
    await feeder.feed(log, 60)
    assert await log.end(operations) > stood + 10
    await _remove_before(brokers, operations, stood + 10)
    with pytest.raises(
        GapError, match=rf"ubscore-0: needs {operations} from offset {stood}, but the log starts at {stood + 10}"
    ):
        async with opened(layout, brokers, tmp_path / "here"):
            pass
    await log.close()


@run_async
async def test_retention_removed_what_a_projection_needs_stops_it_with_the_positions(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, feeder, brokers = Layout(1, 1), Feeder(Layout(1, 1)), place()
    events = TopicPartition(BALANCE_EVENTS, 0)
    async with opened(layout, brokers, tmp_path / "here") as running:
        # The slower the machine, the more answers go into one frame.
        while (end := await running.log.end(events)) < 10:
            await feeder.feed(running.log, 20)
            await running.rest()
    with sqlite3.connect(tmp_path / "here" / "store.sqlite3") as store:
        store.execute("UPDATE settlement_progress SET next_offset = 5 WHERE reader = 'settlement'")
    await _remove_before(brokers, events, 9)
    with pytest.raises(LogError, match=rf"{events}: offset 5 is not on the log, which holds 9 up to {end}"):
        async with opened(layout, brokers, tmp_path / "here") as running:
            await running.rest()
    log, sqlite = KafkaLog(brokers), SqliteStore(tmp_path / "here" / "store.sqlite3")
    parts = Parts(layout, log, sqlite, {}, "", tmp_path / "here", None)
    details = [check.detail for check in failed([check async for check in verify_parts(parts, quiet)])]
    assert "settlement has stored balance.events/0 up to offset 5, but the log starts at 9" in details
    await log.close()
    await sqlite.close()


@run_async
async def test_journal_lost_and_the_log_no_longer_goes_back_core_goes_on_from_a_backup(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, feeder, brokers = Layout(2, 2), Feeder(Layout(2, 2)), place()
    target, here = BackupTarget(str(tmp_path / "backups")), tmp_path / "here"
    async with opened(layout, brokers, here) as running:
        await feeder.feed(running.log, 60)
        await running.rest()
        name = await back_up(running, feeder, target)
        await feeder.feed(running.log, 60)
        await running.rest()
        before = running.digests()
    backup = open_backup(target, name)
    for core in backup.manifest.cores:
        shutil.rmtree(here / core.source)
        await _remove_before(brokers, layout.fresh(core.source).input, core.next_offset)
    with pytest.raises(GapError, match=r"ubscore-0: needs balance.operations/0 from offset 0, but the log starts at"):
        async with opened(layout, brokers, here):
            pass
    for core in backup.manifest.cores:
        shutil.rmtree(here / core.source, ignore_errors=True)
        async with journal_folders(here) as journals:
            await restore_journal(backup, find_core(backup, core.source), journals(core.source))
    async with opened(layout, brokers, here) as running:
        await running.rest()
        assert running.digests() == before
        assert failed(await verified(running, here, target)) == []


@run_async
async def test_restore_journal_where_another_one_is_refused(tmp_path: Path, place: Callable[[], KafkaSettings]) -> None:
    layout, target = Layout(1, 1), BackupTarget(str(tmp_path / "backups"))
    feeder = Feeder(layout)
    async with opened(layout, place(), tmp_path / "here") as running:
        await feeder.feed(running.log, 10)
        name = await back_up(running, feeder, target)
    backup = open_backup(target, name)
    async with journal_folders(tmp_path / "here") as journals:
        with pytest.raises(BackupError, match="ubscore-0 has a journal that is not from backup-"):
            await restore_journal(backup, find_core(backup, "ubscore-0"), journals("ubscore-0"))
    with pytest.raises(BackupError, match="has no core ubscore-1: it has ubscore-0, matcher-0"):
        find_core(backup, "ubscore-1")


@run_async
async def test_store_brought_back_from_an_older_copy_projections_rewind_by_themselves(
    tmp_path: Path, place: Callable[[], KafkaSettings]
) -> None:
    layout, feeder, brokers, here = Layout(2, 2), Feeder(Layout(2, 2)), place(), tmp_path / "here"
    async with opened(layout, brokers, here) as running:
        await feeder.feed(running.log, 60)
        await running.rest()
    shutil.copy(here / "store.sqlite3", tmp_path / "older.sqlite3")
    async with opened(layout, brokers, here) as running:
        await feeder.feed(running.log, 60)
        await running.rest()
    shutil.copy(tmp_path / "older.sqlite3", here / "store.sqlite3")
    async with opened(layout, brokers, here) as running:
        await running.rest()
        assert failed(await verified(running, here)) == []
