"""What backups are made of and restored into, opened: the local form's folder, or the distributed form's parts."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from services.adapters.files import FileDirectory, FolderLock
from services.adapters.internal.client import RemoteCore
from services.adapters.journal.format import decode_snapshot, snapshot_offset
from services.adapters.kafka.bases import read_bases, write_bases
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import CoreSnapshot, Directory, Log
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.store import SqliteStore
from services.backup.create import Source
from services.backup.layout import Layout
from services.backup.restore import Destination
from services.config import Settings
from services.domain.errors import BackupError, ConfigError
from services.domain.topics import TopicPartition
from services.runtime.connections import kafka_settings, open_log, open_store
from services.runtime.credentials import secrets_of
from services.runtime.layout import LOG_FILE, STORE_FILE
from services.runtime.topics import apply_settings
from services.shell.shell_snapshot import ShellSnapshot, decode_shell_snapshot, encode_shell_snapshot

LOCAL: Final = Layout(1, 1)


@contextlib.asynccontextmanager
async def local_source(data_dir: Path) -> AsyncIterator[Source]:
    """A data folder of the local form, stopped or running: reads only. The whole log goes into the backup.

    Raises ConfigError when the folder holds no exchange.
    """
    if not (data_dir / LOG_FILE).exists():
        raise ConfigError(f"{data_dir}: holds no exchange (there is no {LOG_FILE})")
    log = SqliteLog.open_read_only(data_dir / LOG_FILE)
    store = SqliteStore(data_dir / STORE_FILE, read_only=True)
    try:
        snapshots = {source: _folder_snapshot(data_dir, source) for source in LOCAL.sources}
        yield Source(LOCAL, log, store, snapshots, whole_log=True)
    finally:
        await store.close()
        await log.close()


def _folder_snapshot(data_dir: Path, source: str) -> Callable[[], Awaitable[CoreSnapshot]]:
    """The newest snapshot in a journal's folder; without one, that of an empty core."""

    async def read() -> CoreSnapshot:
        folder = data_dir / source
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        newest = max((name for name in names if snapshot_offset(name) is not None), default=None)
        if newest is None:
            core = LOCAL.fresh(source)
            empty = ShellSnapshot(core.snapshot(), [(*partition, 0) for partition in LOCAL.outputs(source)])
            return CoreSnapshot(source, 0, core.digest(), encode_shell_snapshot(empty))
        snapshot = decode_snapshot((folder / newest).read_bytes(), newest)
        core = LOCAL.restore(source, decode_shell_snapshot(snapshot.data).core)
        return CoreSnapshot(source, snapshot.next_offset, core.digest(), snapshot.data)

    return read


class SqliteTopics:
    """`backup.restore.Topics` of the local form."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def held(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        log = SqliteLog(self._path)
        try:
            return {partition: await log.end(partition) for partition in partitions}
        finally:
            await log.close()

    async def open(self, bases: Mapping[TopicPartition, int]) -> Log:
        for partition, base in bases.items():
            if base:
                raise BackupError(f"{partition} begins at offset {base}: it is not a backup of the local form")
        return SqliteLog(self._path)


class KafkaTopics:
    """`backup.restore.Topics` on brokers, where the topics exist already."""

    def __init__(self, settings: KafkaSettings, replication: int) -> None:
        self._settings = settings
        self._replication = replication

    async def held(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        bases, log = await read_bases(self._settings), KafkaLog(self._settings)
        try:
            return {partition: await log.end(partition) - bases.get(partition, 0) for partition in partitions}
        finally:
            await log.close()

    async def open(self, bases: Mapping[TopicPartition, int]) -> Log:
        await write_bases(self._settings, bases, replication=self._replication)
        return KafkaLog(self._settings)


@contextlib.asynccontextmanager
async def local_destination(data_dir: Path) -> AsyncIterator[Destination]:
    """A data folder of the local form, which is made when missing, and is nobody else's meanwhile."""
    lock = FolderLock(data_dir)
    try:
        store = SqliteStore(data_dir / STORE_FILE)
        try:
            async with journal_folders(data_dir) as journals:
                yield Destination(LOCAL, SqliteTopics(data_dir / LOG_FILE), store, journals)
        finally:
            await store.close()
    finally:
        lock.release()


@contextlib.asynccontextmanager
async def journal_folders(data_dir: Path) -> AsyncIterator[Callable[[str], Directory]]:
    """Gives the folder of each core's journal, as its process would find it."""
    opened: dict[str, FileDirectory] = {}

    def folder(source: str) -> FileDirectory:
        if source not in opened:
            opened[source] = FileDirectory(data_dir / source)
        return opened[source]

    try:
        yield folder
    finally:
        for directory in opened.values():
            await directory.close()


@contextlib.asynccontextmanager
async def distributed_source(settings: Settings) -> AsyncIterator[Source]:
    """The processes that the settings name, asked over their internal API. Raises ConfigError."""
    async with contextlib.AsyncExitStack() as stack:
        cores = {name: await stack.enter_async_context(core) for name, core in remote_cores(settings).items()}
        log, store = open_log(settings, "exchange-backup"), open_store(settings)
        stack.push_async_callback(log.close)
        stack.push_async_callback(store.close)
        yield Source(layout_of(settings), log, store, {name: core.snapshot for name, core in cores.items()})


@contextlib.asynccontextmanager
async def distributed_destination(settings: Settings, data_dir: Path | None) -> AsyncIterator[Destination]:
    """Topics, which are made when missing, and tables that `exchange schema apply` has made.

    data_dir: a folder for the journals of all cores; None: each is restored on its own volume.
    """
    await apply_settings(settings)
    topics = KafkaTopics(kafka_settings(settings, "exchange-restore"), settings.broker.replication)
    async with contextlib.AsyncExitStack() as stack:
        store = open_store(settings)
        stack.push_async_callback(store.close)
        journals = None if data_dir is None else await stack.enter_async_context(journal_folders(data_dir))
        yield Destination(layout_of(settings), topics, store, journals)


def layout_of(settings: Settings) -> Layout:
    """How many shards the settings want."""
    return Layout(settings.ubscore.shards, settings.matcher.shards)


def remote_cores(settings: Settings) -> dict[str, contextlib.AbstractAsyncContextManager[RemoteCore]]:
    """By source, the core with all of its instances. Raises ConfigError when an address or the secret is missing."""
    return {name: _closing(name, urls, settings) for name, urls in core_addresses(settings).items()}


def core_addresses(settings: Settings) -> dict[str, list[str]]:
    """By source, where its instances answer. Raises ConfigError when one has no address."""
    layout = layout_of(settings)
    addresses = [*settings.ubscore.addresses, *settings.matcher.addresses]
    if len(addresses) != len(layout.sources):
        raise ConfigError(
            "keys `ubscore.addresses` and `matcher.addresses`: want a list of URLs for each shard of the cores"
        )
    return dict(zip(layout.sources, addresses, strict=True))


@contextlib.asynccontextmanager
async def _closing(name: str, urls: Sequence[str], settings: Settings) -> AsyncIterator[RemoteCore]:
    core = RemoteCore(name, urls, secrets_of(settings).internal_token)
    try:
        yield core
    finally:
        await core.close()
