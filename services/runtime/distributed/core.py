"""A core as a process of its own: on the log, with its journal on a volume, and its reads for the gateways."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from services.adapters.internal.server import CoreReads, Health
from services.adapters.logs.logs import Logs
from services.adapters.metrics.core_meter import CoreMeter
from services.adapters.ports import BalanceReads, BookReads, CoreSnapshot, CoreState, Log
from services.config import Settings
from services.domain.core import Core
from services.domain.errors import CoreUnavailable, LogError
from services.runtime.core_parts import AppliedHook, CoreKind, build_core
from services.runtime.distributed.process import STOPPING, ProcessParts
from services.runtime.watched import watch_core
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import RUNNING
from services.shell.read_fence import ReadFence

C = TypeVar("C", bound=Core)
T = TypeVar("T")


@dataclass(frozen=True)
class CorePlace:
    """Where a core runs. folder: its own, held by this process. token: of those who may read from it."""

    folder: Path
    log: Log
    token: str
    standby: bool = False
    takeover_after_ms: int = 2_000


class CoreProcess(Generic[C]):
    """`Process` of one instance of a core.

    It is ready once it has recovered and has come to where its input ended at that time, and from then on.
    account_shards: how many there are, for one of them. balances, books: its reads, given its shell.
    """

    def __init__(
        self,
        kind: CoreKind[C],
        place: CorePlace,
        settings: Settings,
        logs: Logs,
        lines: AppliedHook,
        *,
        account_shards: int = 0,
        balances: Callable[[CoreShell[C]], BalanceReads] | None = None,
        books: Callable[[CoreShell[C]], BookReads] | None = None,
    ) -> None:
        self._parts = parts = ProcessParts(kind.service, kind.shard, settings, logs)
        self.name, self.metrics = parts.name, parts.metrics
        self._log = place.log
        meter = CoreMeter(parts.metrics, kind.fresh().source, kind.shard, account_shards)
        self.shell, self._journal, self._directory = build_core(
            kind,
            settings.journal,
            place.folder,
            place.log,
            parts.clock,
            (lines,),
            meter,
            tracing=parts.tracing,
            standby=place.standby,
            takeover_after_s=place.takeover_after_ms / 1000,
        )
        watch_core(parts.metrics, self.shell, self._journal, parts.watch_ends(place.log))
        self._fence = ReadFence(place.log, self.shell.core.input, self.shell.applied)
        self.core_reads = CoreReads(
            place.token,
            self._known(self._fence.passed),
            self._known(self._state),
            self._known(self._snapshot),
            balances(self.shell) if balances is not None else None,
            books(self.shell) if books is not None else None,
            source=self.shell.core.source,
        )

    async def health(self) -> Health:
        states = self._parts.states()
        ready = all(state == RUNNING for state in states.values())
        return Health(ready, states | {"role": self.shell.role})

    async def start(self) -> None:
        parts, shell = self._parts, self.shell
        # A broker that is not there yet, and topics that nobody has made yet, are waited for.
        await parts.insist(lambda: self._log.end(shell.core.input), "the log", LogError)
        parts.state = "recovering"
        await shell.recover()
        for finding in shell.findings:
            parts.lines.warning("journal_mended", finding=finding)
        parts.lines.info("recovered", next_offset=shell.core.next_offset, replayed_frames=shell.replayed_frames)
        parts.tasks.spawn(self.name, shell.run())
        parts.state = "catching up"
        await parts.tasks.run_beside(self._catch_up())
        parts.state = RUNNING

    async def _catch_up(self) -> None:
        end = await self._parts.insist(lambda: self._log.end(self.shell.core.input), "the log", LogError)
        await self.shell.applied(end)

    async def wait_failed(self) -> None:
        await self._parts.tasks.wait_failed()

    async def stop(self) -> None:
        parts = self._parts
        parts.state = STOPPING
        parts.tasks.let_end()
        try:
            if parts.tasks.started and not parts.tasks.failed:
                self.shell.stop()
                await parts.finish(self.name)
                await self._journal.close()
        finally:
            await parts.end()
            await self._directory.close()
            await self._log.close()

    def _known(self, read: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
        """The read, once there is a state to be read."""

        async def known() -> T:
            if not self._parts.tasks.started:
                raise CoreUnavailable(f"{self.name} is {self._parts.state}")
            return await read()

        return known

    async def _state(self) -> CoreState:
        core = self.shell.core
        return CoreState(core.source, core.next_offset, core.digest(), self.shell.role)

    async def _snapshot(self) -> CoreSnapshot:
        taken = await self.shell.snapshot_now()
        return CoreSnapshot(self.shell.core.source, taken.next_offset, taken.digest, taken.data)
