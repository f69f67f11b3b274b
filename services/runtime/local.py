"""The local form: all five services as tasks of one process, on a SQLite log and a SQLite store (see layout.py)."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from fastapi import FastAPI

from services import __version__
from services.adapters.clock import SystemClock
from services.adapters.files import FileDirectory
from services.adapters.journal.journal import Journal
from services.adapters.logs.levels import LogLevels
from services.adapters.logs.logs import Logs
from services.adapters.metrics.core_meter import CoreMeter
from services.adapters.metrics.projection_meter import ProjectionMeter
from services.adapters.metrics.prometheus import Metrics
from services.adapters.ports import CoreState, HistoryBatch, SettlementBatch
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.store import SqliteStore
from services.adapters.store_calls import calls_meter
from services.adapters.tracing.calls import traced
from services.config import Settings
from services.domain.core import Core
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.gateway.app import create_app
from services.gateway.commands import PREFIX_BITS
from services.gateway.deps import GatewayDeps
from services.gateway.gateway import Gateway
from services.matcher.engine import MatcherEngine
from services.matcher.service import LocalBookReads
from services.order_history.service import order_history_shell
from services.runtime.core_parts import AppliedHook, CoreKind, build_core
from services.runtime.credentials import load_credentials, load_secrets, register_keys
from services.runtime.declarations import declare, fund_demo_users
from services.runtime.demo_data import DEMO_USERS, with_demo
from services.runtime.event_lines import EventLines
from services.runtime.gateway_config import gateway_config
from services.runtime.layout import LOG_FILE, STORE_FILE
from services.runtime.service_tasks import ServiceTasks
from services.runtime.traces import Traces
from services.runtime.watched import watch_core, watch_gateway_lag, watch_projections, watch_reconciliations
from services.settlement.reconciliation import Reconciliation
from services.settlement.service import settlement_shell
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import RUNNING, ProjectionShell
from services.shell.standby import ACTIVE
from services.ubscore.core import UbsCore
from services.ubscore.service import LocalBalanceReads

OPERATIONS: Final = TopicPartition(BALANCE_OPERATIONS, 0)
EVENTS: Final = TopicPartition(BALANCE_EVENTS, 0)
ACCEPTED: Final = TopicPartition(ORDERS, 0)
OUTPUTS: Final = TopicPartition(ENGINE_OUTPUTS, 0)

DRAIN_SECONDS: Final = 5.0
"""How long a stop waits for the cores to answer each other."""

POLL_SECONDS: Final = 0.002

C = TypeVar("C", bound=Core)
B = TypeVar("B")


class LocalExchange:
    """One whole exchange on one data folder, which nobody else may hold (see `files.FolderLock`).

    demo: also declare the demo's instruments and fund its users. logs: None for no logs.
    `app` is there from the beginning, and ready after `start`.
    """

    def __init__(self, settings: Settings, data_dir: Path, *, logs: Logs | None = None, demo: bool = False) -> None:
        self.settings = with_demo(settings) if demo else settings
        self.clock = SystemClock()
        self._data_dir = data_dir
        self._demo = demo
        self._secrets = load_secrets(data_dir)
        self.metrics = Metrics(__version__)
        self._logs = logs
        self._lines = EventLines(logs, events=settings.log.events)
        self._event = logs.service("gateway").info if logs is not None else _no_event
        self._traces = Traces(settings, logs, local=True)
        self._traces.watch(self.metrics)
        self._traces.watch_requests(self.metrics)
        self._services = ServiceTasks()
        self._directories: list[FileDirectory] = []
        self._journals: list[Journal] = []
        self.log = SqliteLog(data_dir / LOG_FILE)
        self.store = SqliteStore(data_dir / STORE_FILE)
        self.ubscore = self._core_shell(
            CoreKind("ubscore", 0, lambda: UbsCore(0, 1), UbsCore.restore, (EVENTS, ACCEPTED)),
            self._lines.ubscore_applied,
            account_shards=1,
        )
        self.matcher = self._core_shell(
            CoreKind("matcher", 0, lambda: MatcherEngine(0, 1), MatcherEngine.restore, (OUTPUTS, OPERATIONS)),
            self._lines.matcher_applied,
        )
        store, log, clock = self.store, self.log, self.clock
        calls = calls_meter(self.metrics)
        store.on_call = traced(calls) if settings.telemetry.otlp_endpoint else calls
        meter = ProjectionMeter(self.metrics)
        reconciliation = Reconciliation(store, clock)
        self.projections: dict[str, ProjectionShell[SettlementBatch] | ProjectionShell[HistoryBatch]] = {
            "settlement": settlement_shell(
                0,
                log,
                store,
                clock,
                _both(self._lines.settlement_written, meter.settlement_written),
                reconciliation=reconciliation,
                tracing=self._traces.service("settlement"),
            )
        }
        for partition in (OUTPUTS, EVENTS):
            on_written = _both(self._lines.history_written, meter.history_written)
            tracing = self._traces.service("order_history")
            history = order_history_shell(partition, log, store, clock, on_written, tracing=tracing)
            self.projections[f"order_history {partition.topic}"] = history
        watch_projections(self.metrics, self.projections.values, log)
        watch_reconciliations(self.metrics, lambda: [(EVENTS, reconciliation)])
        self.metrics.watch_components(lambda: [(name, state == RUNNING) for name, state in self.health().items()])
        self.balance_reads = LocalBalanceReads(lambda: self.ubscore.core.state)
        self.book_reads = LocalBookReads(lambda: self.matcher.core)
        self.app: FastAPI = create_app(self._gateway_deps())
        self.gateway: Gateway = self.app.state.gateway
        watch_gateway_lag(self.metrics, log, self.gateway.tracker)

    def _core_shell(self, kind: CoreKind[C], lines: AppliedHook, account_shards: int = 0) -> CoreShell[C]:
        source = kind.fresh().source
        meter = CoreMeter(self.metrics, source, kind.shard, account_shards)
        journal_settings, folder = self.settings.journal, self._data_dir / source
        tracing = self._traces.service(kind.service, kind.shard)
        shell, journal, directory = build_core(
            kind, journal_settings, folder, self.log, self.clock, (lines,), meter, tracing=tracing
        )
        self._directories.append(directory)
        self._journals.append(journal)
        watch_core(self.metrics, shell, journal, self.log)
        return shell

    def _gateway_deps(self) -> GatewayDeps:
        return GatewayDeps(
            log=self.log,
            clock=self.clock,
            queries=self.store,
            keys=self.store,
            balances=[self.balance_reads],
            books=[self.book_reads],
            config=gateway_config(self.settings, self._secrets),
            request_prefix=secrets.randbits(PREFIX_BITS),
            health=self.health,
            states=self.states,
            event=self._event,
            tracing=self._traces.service("gateway"),
            metrics=self.metrics,
            log_levels=self._logs.levels if self._logs is not None else LogLevels(),
        )

    async def start(self) -> None:
        """Recover the cores, start every service, and declare what the settings name.

        Raises ConfigError when a setting is refused; JournalError, GapError or InvariantError when the folder's state
        cannot be vouched for.
        """
        await self._recover("ubscore", self.ubscore)
        await self._recover("matcher", self.matcher)
        services = self._services
        services.spawn("ubscore", self.ubscore.run())
        services.spawn("matcher", self.matcher.run())
        for name, projection in self.projections.items():
            services.spawn(name, projection.run())
        services.spawn("gateway", self.gateway.run())
        await services.run_beside(self._prepare())

    async def _recover(self, service: str, shell: CoreShell[Any]) -> None:
        await shell.recover()
        if self._logs is not None:
            log = self._logs.service(service, 0)
            for finding in shell.findings:
                log.warning("journal_mended", finding=finding)
            if shell.replayed_frames:
                log.info("recovered", next_offset=shell.core.next_offset, replayed_frames=shell.replayed_frames)

    async def _prepare(self) -> None:
        """Everything that a first request may need: cores that know what was answered before, keys, instruments."""
        # A core whose journal was lost or flushed at intervals knows less than the log until it has caught up.
        await _until(self._is_quiet)
        await _until(self._answers_are_read)
        credentials = load_credentials(self._data_dir, DEMO_USERS if self._demo else ())
        await register_keys(credentials, self.store, self._secrets.encryption_key, self.clock.time_ms())
        dispatcher, time_ms = self.gateway.dispatcher, self.clock.time_ms
        for sentence in await declare(self.settings, [self.balance_reads], dispatcher, time_ms):
            self._event("settings_differ", reason=sentence)
        if self._demo:
            await fund_demo_users(self.gateway.balances_of, dispatcher, time_ms)

    async def _answers_are_read(self) -> bool:
        return self.gateway.tracker.started

    def health(self) -> dict[str, str]:
        """The state of every service; "running" is good, everything else says why not."""
        states = self._services.states()
        for name, projection in self.projections.items():
            if states.get(name) == RUNNING:
                states[name] = projection.state
        return states

    async def states(self) -> list[CoreState]:
        """Where each core stands, all at this moment."""
        cores: list[Core] = [self.ubscore.core, self.matcher.core]
        return [CoreState(core.source, core.next_offset, core.digest(), ACTIVE) for core in cores]

    async def wait_failed(self) -> None:
        """Return never; raise what stopped a service.

        No answer comes any more then: whoever waits for one is told so first, and does not hold up the end.
        """
        try:
            await self._services.wait_failed()
        except Exception:
            await self._services.end("gateway", cancel=True)
            raise

    async def stop(self) -> None:
        """Stop taking commands, let the cores answer each other, take last snapshots, write what is left, close.

        After a failure, or a start that failed, there is nothing to wait for: everything is just let go of.
        """
        services = self._services
        services.let_end()
        await services.end("gateway", cancel=True)
        if services.started and not services.failed:
            await self._drain()
            for name, shell in (("ubscore", self.ubscore), ("matcher", self.matcher)):
                shell.stop()
                await services.end(name)
            await self._settle()
        await services.cancel_all()
        await self._close()

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await _until(self._is_quiet)

    async def _is_quiet(self) -> bool:
        cores = (self.ubscore.core, self.matcher.core)
        return all([core.next_offset >= await self.log.end(core.input) for core in cores])

    async def _settle(self) -> None:
        """Have the projections write what is on the log; what the store does not take now it gets at the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await _until(self._is_stored)
        for shell in self.projections.values():
            shell.stop()

    async def _is_stored(self) -> bool:
        return all([shell.next_offset >= await self.log.end(shell.partition) for shell in self.projections.values()])

    async def _close(self) -> None:
        for journal in self._journals:
            if not self._services.failed:
                await journal.close()
        for directory in self._directories:
            await directory.close()
        await self.log.close()
        await self.store.close()
        await self._traces.close()
        self._services.close()


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition that nobody announces. Only for starts and stops."""
    while not await condition():  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)


def _both(first: Callable[[B], None], second: Callable[[B], None]) -> Callable[[B], None]:
    """Both are told."""

    def tell(batch: B) -> None:
        first(batch)
        second(batch)

    return tell


def _no_event(event: str, **fields: object) -> None:
    pass
