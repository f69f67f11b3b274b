"""`exchange verify --config`: the log on the brokers against cores, snapshots and the database's rows.

Works while everything runs: each core is compared at the offset where it stood when it was asked.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from services.adapters.backup_target import BackupTarget
from services.adapters.internal.client import RemoteCore
from services.adapters.ports import Log
from services.backup.check import OpenBackup, list_backups
from services.backup.layout import Layout
from services.config import Settings
from services.domain.core import Core
from services.domain.errors import CoreUnavailable, InvariantError, JournalError, LogError
from services.matcher.engine import MatcherEngine
from services.runtime.backups import core_addresses, layout_of
from services.runtime.connections import open_log, open_store
from services.runtime.credentials import secrets_of
from services.runtime.verification import JOURNAL, MEMORY, kept_in_journal
from services.shell.shell_snapshot import decode_shell_snapshot
from services.ubscore.core import UbsCore
from services.verify.cores import check_open_orders
from services.verify.report import Check
from services.verify.whole import Kept, VerifiedStore, Watch, verify_core, verify_invariants, verify_store

SNAPSHOT = "its snapshot has the log's digest"


class Parts(NamedTuple):
    """What is verified. addresses: by source, where instances of a core answer; empty when the cores are stopped.

    data_dir: a folder with journals of cores, if there is one here. target: where backups are, for their snapshots.
    """

    layout: Layout
    log: Log
    store: VerifiedStore
    addresses: dict[str, list[str]]
    token: str
    data_dir: Path | None
    target: BackupTarget | None


async def verify_distributed(
    settings: Settings, watch: Watch, *, stopped: bool, data_dir: Path | None
) -> AsyncIterator[Check]:
    """Yield the checks one by one, as they are done. stopped: the cores do not run. Raises ConfigError."""
    addresses = {} if stopped else core_addresses(settings)
    token = "" if stopped else secrets_of(settings).internal_token
    target = BackupTarget(settings.backup.target) if settings.backup.target else None
    log, store = open_log(settings, "exchange-verify"), open_store(settings)
    try:
        parts = Parts(layout_of(settings), log, store, addresses, token, data_dir, target)
        async for check in verify_parts(parts, watch):
            yield check
    finally:
        await log.close()
        await store.close()


async def verify_parts(parts: Parts, watch: Watch) -> AsyncIterator[Check]:
    """As `verify_distributed`, of parts that are open."""
    live = bool(parts.addresses)
    cores = []
    for source in parts.layout.sources:
        verification = _CoreVerification(parts, source)
        async for check in verification.run(watch):
            yield check
        if not live and verification.core is not None:
            cores.append(verification.core)
    if not live and len(cores) == len(parts.layout.sources):
        # Of cores that run, each was folded up to another moment.
        states = [core.state for core in cores if isinstance(core, UbsCore)]
        yield check_open_orders(states, [core for core in cores if isinstance(core, MatcherEngine)])
    async for check in verify_store(parts.log, parts.store, *parts.layout, consistent=False, watch=watch):
        yield check


class _CoreVerification:
    """One core: who keeps digests of it, from which state it is folded, and the fold."""

    def __init__(self, parts: Parts, source: str) -> None:
        self._parts = parts
        self._source = source
        self._kept: list[Kept] = []
        self._snapshots: list[tuple[int, bytes, str]] = []
        """(offset, the core's own bytes, where from) of every snapshot that may be begun with."""
        self.core: Core | None = None

    async def run(self, watch: Watch) -> AsyncIterator[Check]:
        parts, source = self._parts, self._source
        for check in [*await self._ask_instances(), *await self._read_journal()]:
            yield check
        start = await parts.log.start(parts.layout.fresh(source).input)
        if start > 0 and parts.target is not None:
            await asyncio.to_thread(self._read_backups, parts.target)
        self.core = self._begin(start)
        if self.core is None:
            yield Check(
                f"{source}: what it says again is what the log holds",
                False,
                f"the log starts at offset {start}, and there is no snapshot at or behind it to begin with",
            )
            return
        live = bool(parts.addresses)
        async for check in verify_core(self.core, parts.log, self._kept, live=live, watch=watch):
            yield check
        yield verify_invariants(source, self.core.state.check if isinstance(self.core, UbsCore) else self._check)

    def _check(self) -> None:
        assert isinstance(self.core, MatcherEngine)
        self.core.check()

    def _begin(self, start: int) -> Core | None:
        """Empty where the log has everything, else from the oldest snapshot that it goes on from."""
        if start == 0:
            return self._parts.layout.fresh(self._source)
        usable = [snapshot for snapshot in self._snapshots if snapshot[0] >= start]
        if not usable:
            return None
        return self._parts.layout.restore(self._source, min(usable)[1])

    async def _ask_instances(self) -> list[Check]:
        """Have each instance tell its digest, and one of them its whole state."""
        found: list[str] = []
        silent: list[str] = []
        for url in self._parts.addresses.get(self._source, ()):
            async with _remote(self._source, [url], self._parts.token) as core:
                try:
                    state = await core.state()
                except CoreUnavailable as error:
                    silent.append(str(error))
                    continue
            found.append(url)
            self._kept.append(Kept(MEMORY, {state.next_offset: state.digest}, f"{state.role} at {url}"))
        checks = [Check(f"{self._source}: {MEMORY}", bool(found), f"not asked: {why}") for why in silent]
        if found:
            await self._fetch_snapshot(found)
        return checks

    async def _fetch_snapshot(self, urls: list[str]) -> None:
        async with _remote(self._source, urls, self._parts.token) as remote:
            taken = await remote.snapshot()
        data = decode_shell_snapshot(taken.data).core
        core = self._parts.layout.restore(self._source, data)
        # What counts is what a restart would make of it, not what came with it.
        self._kept.append(Kept(SNAPSHOT, {core.next_offset: core.digest()}, "over the internal API"))
        self._snapshots.append((core.next_offset, data, "the core itself"))

    async def _read_journal(self) -> list[Check]:
        folder = None if self._parts.data_dir is None else self._parts.data_dir / self._source
        if folder is None or not folder.is_dir():
            return []
        assert self._parts.data_dir is not None
        fresh = self._parts.layout.fresh(self._source)
        try:
            self._kept.append(await asyncio.to_thread(kept_in_journal, self._parts.data_dir, fresh))
        except (JournalError, LogError, InvariantError) as error:
            return [Check(f"{self._source}: {JOURNAL}", False, str(error))]
        return []

    def _read_backups(self, target: BackupTarget) -> None:
        for listed in list_backups(target):
            if listed.manifest is None or Layout(listed.manifest.account_shards, listed.manifest.matcher_shards) != (
                self._parts.layout
            ):
                continue
            backup = OpenBackup(target, listed.manifest)
            for entry in listed.manifest.cores:
                if entry.source == self._source:
                    self._snapshots.append((entry.next_offset, backup.snapshot(entry).core, listed.name))


@contextlib.asynccontextmanager
async def _remote(source: str, urls: list[str], token: str) -> AsyncIterator[RemoteCore]:
    core = RemoteCore(source, urls, token)
    try:
        yield core
    finally:
        await core.close()
