"""A backup of an exchange under load, put back elsewhere: the same digests, and everything adds up from there on."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.adapters.backup_target import BackupTarget
from services.adapters.ports import Append, CoreSnapshot, Log
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.store import SqliteStore
from services.backup.check import list_backups, newest_backup, open_backup
from services.backup.create import MARK, create_backup
from services.backup.layout import Layout
from services.backup.manifest import MANIFEST, Manifest, backup_name, encode_manifest
from services.backup.prune import ABANDONED_AFTER, prune_backups
from services.backup.restore import DONE, READER, Destination, restore_backup
from services.backup.tables import TABLES
from services.domain.errors import BackupError, ConfigError
from services.domain.messages import decode_frame
from services.domain.rows import ProgressRow
from services.domain.topics import TopicPartition
from services.runtime.backups import SqliteTopics, journal_folders
from services.verify.whole import verify_store
from tests.backup.exchange import PATIENCE_S, Exchange, Feeder, exchange
from tests.contracts.log_contract import read_all
from tests.support.aio import run_async
from tests.support.rows import key_row

LAYOUTS = [Layout(1, 1), Layout(2, 2)]
CREATED_MS = 1_700_000_000_123


def quiet(_what: str, _done: int, _whole: int | None) -> None:
    """Nobody watches."""


async def backup_under_load(layout: Layout, folder: Path, target: BackupTarget) -> tuple[str, Feeder]:
    """Make one while commands come in without a pause."""
    folder.mkdir()
    log, store, feeder = SqliteLog(folder / "log.sqlite3"), SqliteStore(folder / "store.sqlite3"), Feeder(layout)
    async with exchange(layout, log, store, folder) as running:
        await store.put_key(key_row())
        await feeder.feed(log, 300)
        feeding = asyncio.create_task(feeder.feed_on(log))
        source = running.source()._replace(whole_log=True)
        manifest = await create_backup(source, target, "0.1.0", CREATED_MS, quiet)
        feeding.cancel()
        await asyncio.wait([feeding])
        await running.rest()
    await log.close()
    await store.close()
    return manifest.name, feeder


async def restore(target: BackupTarget, name: str, layout: Layout, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    store = SqliteStore(folder / "store.sqlite3")
    try:
        async with journal_folders(folder) as journals:
            to = Destination(layout, SqliteTopics(folder / "log.sqlite3"), store, journals)
            return await restore_backup(open_backup(target, name), to, quiet)
    finally:
        await store.close()


async def check_tables(running: Exchange) -> None:
    found = verify_store(running.log, running.store, *running.layout, consistent=True, watch=quiet)
    assert [check async for check in found if not check.ok] == []


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@run_async
async def test_restore_backup_made_under_load_has_the_digests_and_goes_on(tmp_path: Path, layout: Layout) -> None:
    target = BackupTarget(str(tmp_path / "backups"))
    name, feeder = await backup_under_load(layout, tmp_path / "before", target)
    restored = await restore(target, name, layout, tmp_path / "after")
    assert restored.frames > 300
    log, store = SqliteLog(tmp_path / "after" / "log.sqlite3"), SqliteStore(tmp_path / "after" / "store.sqlite3")
    for source, (next_offset, digest) in restored.digests.items():
        assert (await fold(log, layout.fresh(source), next_offset)).digest() == digest
    async with exchange(layout, log, store, tmp_path / "after") as running:
        await running.rest()
        await check_tables(running)
        assert await store.get_key("key-1") == key_row()
        await feeder.feed(log, 50)
        await running.rest()
        await check_tables(running)
    await log.close()
    await store.close()


async def fold(log: Log, core: Any, until: int) -> Any:
    """An empty core, folded over all of its input."""
    while core.next_offset < until:
        for stored in await log.read(core.input, core.next_offset, min(256, until - core.next_offset)):
            core.apply(decode_frame(core.input.topic, stored.data), stored.offset)
    return core


class _Killed(Exception):
    """The restore's process is gone."""


class _Mortal:
    """Passes calls on to a log or store, and dies in the one that writes for the last time."""

    def __init__(self, real: Any, life: "list[int]", done: bool) -> None:
        """life: how many writes there will be. done: whether the last one takes effect."""
        self._real = real
        self._life = life
        self._done = done

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        return self._dying(method) if name in ("append", "write_settlement", "write_history", "put_key") else method

    def _dying(self, method: Any) -> Any:
        async def write(*arguments: Any) -> Any:
            self._life[0] -= 1
            if self._life[0] > 0 or self._done:
                result = await method(*arguments)
            if self._life[0] <= 0:
                raise _Killed
            return result

        return write


class _MortalTopics:
    def __init__(self, path: Path, life: list[int], done: bool) -> None:
        self._real = SqliteTopics(path)
        self._life = life
        self._done = done

    async def held(self, partitions: Any) -> Any:
        return await self._real.held(partitions)

    async def open(self, bases: Any) -> Any:
        return _Mortal(await self._real.open(bases), self._life, self._done)


@run_async
async def test_restore_killed_at_any_write_is_finished_by_the_next_one(tmp_path: Path) -> None:
    layout, target = Layout(1, 1), BackupTarget(str(tmp_path / "backups"))
    name, _ = await backup_under_load(layout, tmp_path / "before", target)
    whole = await restore(target, name, layout, tmp_path / "whole")
    expected = await contents(tmp_path / "whole")
    lives = 0
    for life in range(1, 200, 2):
        folder = tmp_path / f"killed-{life}"
        if not await _dies(target, name, layout, folder, life, done=life % 4 == 1):
            break
        lives += 1
        assert await restore(target, name, layout, folder) == whole
        assert await contents(folder) == expected
    assert lives > 10


async def _dies(target: BackupTarget, name: str, layout: Layout, folder: Path, life: int, done: bool) -> bool:
    """Whether a restore with so many writes to live ends before it is done. done: the last one takes effect."""
    folder.mkdir()
    store, left, note = SqliteStore(folder / "store.sqlite3"), [life], ProgressRow(READER, name, 0, 0, {})
    try:
        async with journal_folders(folder) as journals:
            topics = _MortalTopics(folder / "log.sqlite3", left, done)
            to = Destination(layout, topics, _Mortal(store, left, done), journals)
            await restore_backup(open_backup(target, name), to, quiet)
    except _Killed:
        return DONE not in (await store.progress(READER, TopicPartition(name, 0)) or note).sequences
    finally:
        await store.close()
    return False


async def contents(folder: Path) -> list[Any]:
    """All that a restore writes."""
    log, store = SqliteLog(folder / "log.sqlite3"), SqliteStore(folder / "store.sqlite3")
    found: list[Any] = []
    for partition in Layout(1, 1).partitions:
        found += await read_all(log, partition)
    for table in TABLES:
        found += [row async for row in table.read(store)]
    for reader, partition in Layout(1, 1).readers:
        found.append(await store.progress(reader, partition))
    await log.close()
    await store.close()
    return [*found, sorted((path.name, path.read_bytes()) for path in folder.glob("*-0/*"))]


@run_async
async def test_restore_where_anything_is_there_is_refused_with_all_of_it(tmp_path: Path) -> None:
    layout, target = Layout(1, 1), BackupTarget(str(tmp_path / "backups"))
    name, _ = await backup_under_load(layout, tmp_path / "before", target)
    with pytest.raises(BackupError) as caught:
        await restore(target, name, layout, tmp_path / "before")
    for part in (
        "balance.operations/0 has had",
        "table user_balances has rows",
        "table api_keys has rows",
        "settlement has a position on balance.events/0",
        "ubscore-0 has a journal (journal-",
        "matcher-0 has a journal (journal-",
    ):
        assert part in str(caught.value)


@run_async
async def test_restore_done_again_is_refused(tmp_path: Path) -> None:
    layout, target = Layout(1, 1), BackupTarget(str(tmp_path / "backups"))
    name, _ = await backup_under_load(layout, tmp_path / "before", target)
    await restore(target, name, layout, tmp_path / "after")
    with pytest.raises(BackupError, match="was restored here already"):
        await restore(target, name, layout, tmp_path / "after")


@run_async
async def test_restore_begun_and_somebody_wrote_since_is_refused(tmp_path: Path) -> None:
    layout, target = Layout(1, 1), BackupTarget(str(tmp_path / "backups"))
    name, _ = await backup_under_load(layout, tmp_path / "before", target)
    for folder, life, said in (("early", 2, "holds other frames than the backup"), ("late", 8, "holds offsets 0 up")):
        assert await _dies(target, name, layout, tmp_path / folder, life, True)
        log = SqliteLog(tmp_path / folder / "log.sqlite3")
        await log.append([Append(layout.partitions[0], b"somebody else's")])
        await log.close()
        with pytest.raises(BackupError, match=said):
            await restore(target, name, layout, tmp_path / folder)


@run_async
async def test_restore_other_numbers_of_shards_is_refused(tmp_path: Path) -> None:
    target = BackupTarget(str(tmp_path / "backups"))
    name, _ = await backup_under_load(Layout(1, 1), tmp_path / "before", target)
    with pytest.raises(
        BackupError, match="1 account and 1 matcher shards; this environment has 2 account and 1 matcher"
    ):
        await restore(target, name, Layout(2, 1), tmp_path / "after")
    assert not list((tmp_path / "after").glob("log*"))


@run_async
async def test_restore_any_file_damaged_names_it_and_both_checksums(tmp_path: Path) -> None:
    target = BackupTarget(str(tmp_path / "backups"))
    name, _ = await backup_under_load(Layout(1, 1), tmp_path / "before", target)
    manifest = open_backup(target, name).manifest
    assert len(manifest.files) == 2 + 8 + 4
    for number, file in enumerate(manifest.files):
        path = tmp_path / "backups" / name / file.name
        whole = path.read_bytes()
        if not whole:
            continue
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        for content in (bytes(damaged), whole[:-1], whole + b"x", None):
            path.unlink() if content is None else path.write_bytes(content)
            with pytest.raises(BackupError, match="is missing" if content is None else file.blake2b) as caught:
                await restore(target, name, Layout(1, 1), tmp_path / f"after-{number}")
            assert f"{name}/{file.name}" in str(caught.value)
        path.write_bytes(whole)


@pytest.mark.parametrize("keep", [1, 3, 10])
def test_prune_keeps_the_newest_finished_ones(keep: int) -> None:
    target = BackupTarget(f"memory://prune-{keep}")
    names = [backup_name(CREATED_MS + n) for n in range(6)]
    for n, name in enumerate(names):
        finished = n not in (1, 5)
        with target.create(name, MANIFEST if finished else "core-ubscore-0.bin") as file:
            manifest = Manifest(1, name, "0.1.0", CREATED_MS + n, 1, 1, [], [], [], [])
            file.write(encode_manifest(manifest) if finished else b"x")
    with target.create("something-else", "file") as file:
        file.write(b"x")
    removed = prune_backups(target, keep)
    finished_names = [name for n, name in enumerate(names) if n not in (1, 5)]
    assert removed == finished_names[: max(0, 4 - keep)]
    assert target.folders() == sorted([*(set(names) - set(removed)), "something-else"])


def _touch(target: BackupTarget, folder: str, name: str) -> None:
    with target.create(folder, name) as file:
        file.write(b"x")


def _finish(target: BackupTarget, name: str) -> None:
    with target.create(name, MANIFEST) as file:
        file.write(encode_manifest(Manifest(1, name, "0.1.0", CREATED_MS, 1, 1, [], [], [], [])))


def _age(folder: Path, by: timedelta) -> None:
    for path in (*folder.iterdir(), folder):
        then = path.stat().st_mtime - by.total_seconds()
        os.utime(path, (then, then))


def test_prune_unfinished_is_removed_when_older_and_silent_and_without_a_manifest(tmp_path: Path) -> None:
    target, names = BackupTarget(str(tmp_path)), [backup_name(CREATED_MS + n) for n in range(7)]
    silent, empty, being_made, slow, damaged, finished, newer = names
    for name in (silent, being_made, slow, newer):
        _touch(target, name, "core-ubscore-0.bin")
    (tmp_path / empty).mkdir()
    _touch(target, damaged, MANIFEST)
    for name in (silent, empty, slow, damaged, newer):
        _age(tmp_path / name, ABANDONED_AFTER + timedelta(minutes=1))
    _touch(target, slow, MARK)
    _finish(target, finished)
    assert prune_backups(target, 1) == [silent, empty]
    assert target.folders() == [being_made, slow, damaged, finished, newer]


def test_prune_without_any_finished_backup_removes_nothing(tmp_path: Path) -> None:
    target, name = BackupTarget(str(tmp_path)), backup_name(CREATED_MS)
    _touch(target, name, "core-ubscore-0.bin")
    _age(tmp_path / name, 2 * ABANDONED_AFTER)
    assert prune_backups(target, 1) == []
    assert target.folders() == [name]


@run_async
async def test_create_backup_that_takes_long_is_marked_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.backup.create.WRITES_EVERY_S", 0.001)
    target, seen = BackupTarget(str(tmp_path / "backups")), set[str]()

    async def snapshot_when_marked(taken: CoreSnapshot) -> CoreSnapshot:
        async with asyncio.timeout(PATIENCE_S):
            while not (marks := list((tmp_path / "backups").glob(f"*/{MARK}"))):  # noqa: ASYNC110  a file
                await asyncio.sleep(0.001)
        seen.update(path.name for path in marks)
        return taken

    name = await _create_with(tmp_path, target, snapshot_when_marked)
    assert seen == {MARK}
    assert MARK not in target.sizes(name)


@run_async
async def test_create_backup_removed_meanwhile_is_not_finished(tmp_path: Path) -> None:
    target = BackupTarget(str(tmp_path / "backups"))

    async def remove_what_is_there(taken: CoreSnapshot) -> CoreSnapshot:
        for folder in target.folders():
            target.remove(folder, MANIFEST)
        return taken

    with pytest.raises(BackupError, match=r"was removed or changed while it was made: core-ubscore-0\.bin"):
        await _create_with(tmp_path, target, remove_what_is_there)
    assert [backup.manifest for backup in list_backups(target)] == [None]


async def _create_with(
    folder: Path, target: BackupTarget, then: Callable[[CoreSnapshot], Awaitable[CoreSnapshot]]
) -> str:
    """Make a backup; each core's snapshot goes through `then`."""
    log, store = SqliteLog(folder / "log.sqlite3"), SqliteStore(folder / "store.sqlite3")
    try:
        async with exchange(Layout(1, 1), log, store, folder) as running:
            source = running.source()

            def through(take: Callable[[], Awaitable[CoreSnapshot]]) -> Callable[[], Awaitable[CoreSnapshot]]:
                async def snapshot() -> CoreSnapshot:
                    return await then(await take())

                return snapshot

            snapshots = {core: through(take) for core, take in source.snapshots.items()}
            made = await create_backup(source._replace(snapshots=snapshots), target, "0.1.0", CREATED_MS, quiet)
            return made.name
    finally:
        await log.close()
        await store.close()


@pytest.mark.parametrize("cut_at", [0, 1, 20, -2])
def test_open_backup_manifest_torn_is_no_backup(cut_at: int) -> None:
    target, name = BackupTarget(f"memory://torn-{cut_at}"), backup_name(CREATED_MS)
    data = encode_manifest(Manifest(1, name, "0.1.0", CREATED_MS, 1, 1, [], [], [], []))
    with target.create(name, MANIFEST) as file:
        file.write(data[:cut_at])
    with pytest.raises(BackupError, match="is damaged or was not finished"):
        open_backup(target, name)
    (listed,) = list_backups(target)
    assert listed.manifest is None
    with pytest.raises(BackupError, match="holds no backup"):
        newest_backup(target)


def test_open_backup_manifest_changed_or_of_another_version_is_refused() -> None:
    target, name = BackupTarget("memory://versions"), backup_name(CREATED_MS)
    made = Manifest(1, name, "0.1.0", CREATED_MS, 1, 1, [], [], [], [])
    for data, why in (
        (encode_manifest(made).replace(b"0.1.0", b"0.1.1"), "is damaged: it says blake2b"),
        (encode_manifest(msgspec.structs.replace(made, version=2)), "format version 2, this program knows 1"),
        (encode_manifest(msgspec.structs.replace(made, name="backup-x")), "holds backup-x"),
    ):
        with target.create(name, MANIFEST) as file:
            file.write(data)
        with pytest.raises(BackupError, match=why):
            open_backup(target, name)


def test_target_of_unknown_kind_or_without_its_library_says_so() -> None:
    with pytest.raises(ConfigError, match="Protocol not known: nowhere"):
        BackupTarget("nowhere://bucket")
