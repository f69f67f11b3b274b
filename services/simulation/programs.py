"""The programs of the simulated exchange, each as its production composition root would wire it, on simulated ports.

A program is one run of one process; its memory is lost when it is killed. What outlives it is the node's (nodes.py).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.adapters.journal.journal import Journal
from services.adapters.ports import Append
from services.domain.core import Core
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.gateway.commands import PREFIX_BITS, CommandBus, FrameLimits, RequestIds
from services.gateway.dispatcher import Dispatcher
from services.gateway.outcomes import OutcomeTracker
from services.gateway.tasks import run_together
from services.matcher.engine import MatcherEngine
from services.order_history.service import order_history_shell
from services.settlement.service import settlement_shell
from services.shell.core_shell import CoreShell
from services.shell.read_fence import ReadFence
from services.simulation.audit.accounts import Contradiction
from services.simulation.clock import SimulatedClock
from services.simulation.database import SimulatedStore
from services.simulation.disk import Disk, SimulatedDirectory
from services.simulation.process import Process
from services.simulation.tables import Tables
from services.simulation.takeovers import TakeoverCheck
from services.ubscore.core import UbsCore

MAX_IN_FLIGHT: Final = 40


@dataclass(frozen=True)
class Parts:
    """What the world is made of: production code, unless a test plants a fault to see whether it is found."""

    ubscore: type[UbsCore] = UbsCore
    matcher: type[MatcherEngine] = MatcherEngine
    core_shell: type[CoreShell[Any]] = CoreShell
    journal: type[Journal] = Journal
    settlement_shell: Callable[..., Any] = settlement_shell
    order_history_shell: Callable[..., Any] = order_history_shell
    tables: type[Tables] = Tables
    command_bus: type[CommandBus] = CommandBus
    tracker: type[OutcomeTracker] = OutcomeTracker


@dataclass(frozen=True)
class Shape:
    """How one seed's exchange is laid out and configured. standbys: names of the cores that have one."""

    account_shards: int
    matcher_shards: int
    gateways: int
    users: int
    flush_interval_s: float
    """Of the journals; 0: every batch is flushed before its effects are published."""
    segment_bytes: int
    keep_snapshots: int
    snapshot_interval_ms: int
    frame_linger_s: float
    answer_timeout_s: float
    standbys: tuple[str, ...]
    takeover_after_s: float
    max_pending_records: int


class Ports(Protocol):
    """What the world gives to a program: its ports, as that process sees them."""

    shape: Shape
    parts: Parts

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def log(self, process: Process, on_append: Callable[[Sequence[Append]], None]) -> Any: ...

    def directory(self, process: Process, disk: Disk) -> SimulatedDirectory: ...

    def store(self, process: Process) -> SimulatedStore: ...

    def clock(self, skew_ms: int = 0) -> SimulatedClock: ...

    def draw(self, most: int) -> int:
        """A whole number from 0 to `most`."""

    def count_takeover(self) -> None:
        """A standby began to speak."""


class Program(Protocol):
    """One run of a process."""

    ready: bool

    async def main(self) -> None: ...

    def stop(self) -> None:
        """Ask it to end by itself."""


def _nothing(_: Sequence[Append]) -> None:
    pass


class CoreProgram:
    """A core in its shell, on a journal. fence: what readers of the core wait for."""

    def __init__(self, ports: Ports, process: Process, disk: Disk, kind: str, shard: int, *, standby: bool) -> None:
        shape, parts = ports.shape, ports.parts
        self.ready = False
        self._takeovers = 0
        self._count_takeover = ports.count_takeover
        self._disk = disk
        self._name = f"{kind}-{shard}"
        self._checks_flush = shape.flush_interval_s == 0
        self.journal = parts.journal(
            ports.directory(process, disk),
            self._name,
            segment_bytes=shape.segment_bytes,
            flush="interval" if shape.flush_interval_s else "batch",
            flush_interval_s=shape.flush_interval_s,
            keep_snapshots=shape.keep_snapshots,
        )
        fresh, restore = fresh_core(ports, kind, shard)
        log = ports.log(process, self._check_append)
        self._check = TakeoverCheck(self._name, log, shape.takeover_after_s, ports.loop.time)
        self.shell = parts.core_shell(
            fresh,
            restore,
            log,
            self.journal,
            ports.clock(),
            output_partitions(shape, kind, shard),
            snapshot_interval_ms=shape.snapshot_interval_ms,
            on_applied=self._check.applied,
            standby=standby,
            takeover_after_s=shape.takeover_after_s,
            max_pending_records=shape.max_pending_records,
        )
        self.fence = ReadFence(log, self.shell.core.input, self.shell.applied)

    async def main(self) -> None:
        await self.shell.recover()
        self._check.recovered()
        self.ready = True
        await self.shell.run()
        await self.journal.close()

    def stop(self) -> None:
        self.shell.stop()

    def _check_append(self, frames: Sequence[Append]) -> None:
        """Called at every append to the log."""
        self._check_flushed()
        if self.shell.takeovers > self._takeovers:
            self._takeovers = self.shell.takeovers
            self._count_takeover()
            if self.ready:
                self._check.check(frames)

    def _check_flushed(self) -> None:
        """What causes an append must be durable in the journal."""
        unsynced = sum(len(file.unsynced) for file in self._disk.files.values())
        if self._checks_flush and (unsynced or self.journal.next_offset < self.shell.core.next_offset):
            raise Contradiction(f"{self._name} publishes what {unsynced} unsynced bytes of its journal caused")


def fresh_core(ports: Ports, kind: str, shard: int) -> tuple[Callable[[], Core], Callable[[bytes], Core]]:
    """How to make a core, empty and from a snapshot."""
    shape, parts = ports.shape, ports.parts
    if kind == "ubscore":
        return (lambda: parts.ubscore(shard, shape.account_shards)), parts.ubscore.restore
    return (lambda: parts.matcher(shard, shape.account_shards)), parts.matcher.restore


def output_partitions(shape: Shape, kind: str, shard: int) -> list[TopicPartition]:
    """Every partition that a core may speak to."""
    if kind == "ubscore":
        orders = [TopicPartition(ORDERS, matcher) for matcher in range(shape.matcher_shards)]
        return [TopicPartition(BALANCE_EVENTS, shard), *orders]
    operations = [TopicPartition(BALANCE_OPERATIONS, account) for account in range(shape.account_shards)]
    return [TopicPartition(ENGINE_OUTPUTS, shard), *operations]


class ProjectionProgram:
    """settlement or order_history: a shell for every partition that it reads, in one process."""

    def __init__(self, ports: Ports, process: Process, kind: str) -> None:
        shape = ports.shape
        self.ready = True
        log, store, clock = ports.log(process, _nothing), ports.store(process), ports.clock()
        accounts, matchers = range(shape.account_shards), range(shape.matcher_shards)
        if kind == "settlement":
            self.shells = [ports.parts.settlement_shell(shard, log, store, clock) for shard in accounts]
        else:
            partitions = [TopicPartition(BALANCE_EVENTS, shard) for shard in accounts]
            partitions += [TopicPartition(ENGINE_OUTPUTS, shard) for shard in matchers]
            self.shells = [ports.parts.order_history_shell(partition, log, store, clock) for partition in partitions]

    async def main(self) -> None:
        await run_together(*(shell.run() for shell in self.shells))

    def stop(self) -> None:
        for shell in self.shells:
            shell.stop()


class GatewayProgram:
    """The commands' way in and the outcomes' way back, without HTTP."""

    def __init__(self, ports: Ports, process: Process, instance: int) -> None:
        shape = ports.shape
        self.ready = True
        self.process = process
        self.clock = ports.clock(skew_ms=ports.draw(400) - 200)
        log = ports.log(process, _nothing)
        self._tracker = ports.parts.tracker(
            log, self.clock, shape.account_shards, shape.matcher_shards, MAX_IN_FLIGHT, shape.answer_timeout_s
        )
        limits = FrameLimits(records=1 + ports.draw(20), linger_s=shape.frame_linger_s)
        self._bus = ports.parts.command_bus(
            log, self.clock, str(instance), shape.account_shards, MAX_IN_FLIGHT, self._tracker.fail, limits
        )
        request_ids = RequestIds(ports.draw(2**PREFIX_BITS - 1))
        self.dispatcher = Dispatcher(self._bus, self._tracker, request_ids, shape.account_shards)

    async def main(self) -> None:
        await run_together(self._bus.run(), self._tracker.run())

    def stop(self) -> None:
        """Gateways have nothing to finish: they are killed."""

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Serve one request, as a task of this process."""
        return self.process.spawn(coroutine)
