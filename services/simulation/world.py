"""One simulated exchange: processes, the supervisor that restarts them, the nemesis that kills them, and the drain.

Every port operation is a step. At any step the nemesis may have the process killed within the next moments, stop it
in peace, or start a second instance of a core before the first is gone.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from services.domain.errors import ExchangeError, InvariantError
from services.domain.messages import decode_frame
from services.domain.topics import BALANCE_OPERATIONS, ORDERS, TopicPartition
from services.simulation.audit.accounts import Contradiction
from services.simulation.broker import Broker, SimulatedLog
from services.simulation.clock import SimulatedClock
from services.simulation.database import Database, SimulatedStore
from services.simulation.disk import Disk, SimulatedDirectory
from services.simulation.faults import MILLISECOND, Faults
from services.simulation.loop import SimulatedLoop
from services.simulation.nodes import (
    CoreProgram,
    GatewayProgram,
    Parts,
    Program,
    ProjectionProgram,
    Shape,
    fresh_core,
)
from services.simulation.process import Process, outside

PATIENCE_S: Final = 60.0
"""Virtual seconds within which everything must come to rest once faults have stopped."""


def draw_shape(dice: random.Random) -> Shape:
    """The layout that a seed likes."""
    shards = dice.choice(((1, 1), (1, 1), (1, 2), (2, 1), (2, 2)))
    return Shape(
        account_shards=shards[0],
        matcher_shards=shards[1],
        gateways=dice.choice((1, 2)),
        users=dice.randint(3, 6),
        flush_interval_s=dice.choice((0.0, 0.0, 0.0, 0.02)),
        segment_bytes=dice.choice((400, 4_000, 64_000)),
        keep_snapshots=dice.randint(1, 3),
        snapshot_interval_ms=dice.choice((30, 200, 1_000, 60_000)),
        frame_linger_s=dice.choice((0.0, 0.0, 0.002)),
        answer_timeout_s=dice.choice((0.3, 1.0)),
    )


class Run:
    """One run of a node's program."""

    def __init__(self, process: Process, program: Any, disk: Disk) -> None:
        self.process = process
        self.program = program
        self.disk = disk


class Node:
    """A process that the supervisor keeps running. make: a new program, given its process and disk.

    input: of a core; only cores have disks and zombies. run: the present run, None while it is down. zombie: a second
    one beside it.
    """

    def __init__(
        self,
        world: "World",
        name: str,
        make: Callable[[Process, Disk], Program],
        input_partition: TopicPartition | None = None,
    ) -> None:
        self._world = world
        self.name = name
        self._make = make
        self._input = input_partition
        self._disk = Disk(world.faults)
        self.run: Run | None = None
        self.zombie: Run | None = None
        self._failures = 0
        """How often in a row it ended by itself: the supervisor waits longer and longer."""
        self.last_error = ""
        """Why it ended by itself the last time."""
        self.lags_until = 0
        """Before this offset of its input, a core may know less than what another run of it has answered."""

    def start(self) -> None:
        if self.run is None:
            self._world.faults.counts.restarts += 1
            self.run = self._launch(self._disk)

    def start_zombie(self) -> None:
        """A second instance, on a copy of the disk or on an empty one. One of the two will be killed soon."""
        if self._input is None or self.zombie is not None or self.run is None:
            return
        faults = self._world.faults
        faults.counts.zombies += 1
        disk = self.run.disk.copy() if faults.dice.random() < 0.5 else Disk(faults)
        self.zombie = self._launch(disk)
        self._world.later(faults.dice.uniform(5, 400) * MILLISECOND, self.retire_zombie)

    def retire_zombie(self) -> None:
        """Only one instance goes on, whichever it is."""
        if self.zombie is None:
            return
        zombie, self.zombie = self.zombie, None
        self._may_lag()
        if self.run is not None and self._world.faults.dice.random() < 0.5:
            self.run, zombie = zombie, self.run
            self._disk = self.run.disk
        zombie.process.kill()

    def crash(self, process: Process) -> None:
        """Kill the run of this process, with what that does to its disk, and have it restarted."""
        faults, dice = self._world.faults, self._world.faults.dice
        if not process.alive:
            return
        faults.counts.crashes += 1
        process.kill()
        if self.zombie is not None and self.zombie.process is process:
            self.zombie = None
            self._may_lag()
            return
        if faults.strikes(faults.rates.power_cut):
            self._disk.crash()
        if faults.strikes(faults.rates.disk_lost):
            faults.counts.disks_lost += 1
            self._disk = Disk(faults)
            self._may_lag()
        elif self._world.shape.flush_interval_s:
            self._may_lag()
        self._failures = 0
        self._go_down(dice.uniform(1, 60))

    def _may_lag(self) -> None:
        """A run is gone; the one that goes on may have to read again what that one had answered."""
        if self._input is not None:
            self.lags_until = len(self._world.broker.frames(self._input))

    def _go_down(self, milliseconds: float) -> None:
        self.run = None
        self._disk.full = False
        self._world.later(milliseconds * MILLISECOND, self.start)

    def stop_in_peace(self, process: Process) -> None:
        for run in (self.run, self.zombie):
            if run is not None and run.process is process:
                run.program.stop()

    def _launch(self, disk: Disk) -> Run:
        process = Process(self.name)
        self._world.nodes_by_process[process] = self
        program = self._make(process, disk)
        run = Run(process, program, disk)
        process.spawn(program.main()).add_done_callback(lambda task: self._ended(run, task), context=outside())
        return run

    def _ended(self, run: Run, task: "asyncio.Task[None]") -> None:
        """A program ended by itself, or was killed."""
        if not run.process.alive:
            return
        error = task.exception() if not task.cancelled() else asyncio.CancelledError()
        run.process.kill()
        self.last_error = repr(error)
        if error is not None and not isinstance(error, ExchangeError):
            raise InvariantError(f"{self.name} stopped for good: {type(error).__name__}: {error}") from error
        if self.zombie is run:
            self.zombie = None
            self._may_lag()
        else:
            self._failures = min(self._failures + 1, 6)
            self._go_down(self._world.faults.dice.uniform(1, 20) * 2**self._failures)


class World:
    """Everything there is. Implements `nodes.Ports`."""

    def __init__(self, loop: SimulatedLoop, dice: random.Random, parts: Parts, steps: int) -> None:
        self.loop = loop
        self.parts = parts
        self.shape = draw_shape(dice)
        self.faults = Faults.of_seed(dice)
        self.broker = Broker(loop, self.faults)
        self.database = Database(loop, self.faults, parts.tables())
        self.nodes_by_process: dict[Process, Node] = {}
        self.closing = False
        """Clients begin nothing new."""
        self.enough = loop.create_future()
        self._steps = steps
        shape = self.shape
        self.cores = [self._core("ubscore", shard) for shard in range(shape.account_shards)]
        self.cores += [self._core("matcher", shard) for shard in range(shape.matcher_shards)]
        self.projections = [self._projection(kind) for kind in ("settlement", "order_history")]
        self.gateways = [self._gateway(instance) for instance in range(shape.gateways)]

    @property
    def nodes(self) -> list[Node]:
        return [*self.cores, *self.projections, *self.gateways]

    def _core(self, kind: str, shard: int) -> Node:
        def make(process: Process, disk: Disk) -> CoreProgram:
            return CoreProgram(self, process, disk, kind, shard)

        topic = BALANCE_OPERATIONS if kind == "ubscore" else ORDERS
        return Node(self, f"{kind}-{shard}", make, TopicPartition(topic, shard))

    def _projection(self, kind: str) -> Node:
        return Node(self, kind, lambda process, _: ProjectionProgram(self, process, kind))

    def _gateway(self, instance: int) -> Node:
        return Node(self, f"gateway-{instance}", lambda process, _: GatewayProgram(self, process, instance))

    # Ports

    def log(self, process: Process, on_append: Callable[[], None]) -> SimulatedLog:
        return SimulatedLog(self.broker, process, self.faults, self._step, on_append)

    def directory(self, process: Process, disk: Disk) -> SimulatedDirectory:
        return SimulatedDirectory(disk, process, self.faults, self._step)

    def store(self, process: Process) -> SimulatedStore:
        return SimulatedStore(self.database, process, self.faults, self._step)

    def clock(self, skew_ms: int = 0) -> SimulatedClock:
        return SimulatedClock(self.loop, skew_ms)

    def draw(self, most: int) -> int:
        return self.faults.dice.randint(0, most)

    def later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> None:
        """Have something happen that no process does."""
        self.loop.call_later(delay_s, callback, *args, context=outside())

    # Nemesis

    def _step(self, process: Process) -> None:
        faults = self.faults
        faults.counts.steps += 1
        if faults.counts.steps >= self._steps and not self.enough.done():
            self.enough.set_result(None)
        node, rates = self.nodes_by_process[process], faults.rates
        if faults.strikes(rates.crash):
            self.later(faults.dice.uniform(0, 2) * MILLISECOND, node.crash, process)
        elif faults.strikes(rates.zombie):
            self.later(0.0, node.start_zombie)
        elif faults.strikes(rates.graceful_stop):
            self.later(0.0, node.stop_in_peace, process)

    def end_faults(self) -> None:
        """From now on nothing bad happens any more; what did is repaired."""
        self.faults.on = False
        for node in self.nodes:
            node.retire_zombie()
            if node.run is not None:
                node.run.disk.full = False

    def kill_all(self) -> None:
        for process in self.nodes_by_process:
            process.kill()

    # Rest

    async def come_to_rest(self) -> None:
        """Return when every reader has read all there is. Raises Contradiction when that never happens."""
        deadline = self.loop.time() + PATIENCE_S
        while behind := self.behind():
            if self.loop.time() > deadline:
                raise Contradiction(f"does not come to rest: {behind}")
            await asyncio.sleep(0.05)

    def behind(self) -> str:
        """Who has not read everything; empty when nobody."""
        if self.broker.in_flight:
            return "frames on their way to the log"
        for node in self.nodes:
            if node.run is None or not node.run.program.ready:
                return f"{node.name} is not up: {node.last_error}"
        for node in self.cores:
            core = self.core_of(node)
            if core.next_offset < len(self.broker.frames(core.input)):
                return f"{node.name} is at {core.next_offset} of {core.input}"
        for node in self.projections:
            for shell in self._program(node).shells:
                if shell.next_offset < len(self.broker.frames(shell.partition)):
                    return f"{node.name} is at {shell.next_offset} of {shell.partition}: {shell.state}"
        return ""

    def _program(self, node: Node) -> Any:
        assert node.run is not None
        return node.run.program

    def core_of(self, node: Node) -> Any:
        """The live core of a node that is up."""
        return self._program(node).shell.core

    def shows_answers(self, node: Node) -> bool:
        """Whether reads from this ubscore must see every answer that was given."""
        run = node.run
        if run is None or not run.program.ready or node.zombie is not None:
            return False
        return bool(run.program.shell.core.next_offset >= node.lags_until)

    def live_balances(self) -> dict[tuple[int, str], tuple[int, int, int]]:
        """What the cores hold: (user, asset) -> (available, reserved, version), fee accounts included."""
        found = {}
        for node in self.cores[: self.shape.account_shards]:
            state = self.core_of(node).state
            for account in (*state.accounts.values(), state.fees):
                for asset, balance in account.balances.items():
                    found[account.user_id, asset] = (balance.available, balance.reserved, balance.version)
        return found

    def check_digests(self) -> list[bytes]:
        """The live cores' digests. Raises Contradiction when a fresh fold of the log gives others."""
        digests = []
        kinds = ["ubscore"] * self.shape.account_shards + ["matcher"] * self.shape.matcher_shards
        for node, kind in zip(self.cores, kinds, strict=True):
            live = self.core_of(node)
            fresh = fresh_core(self, kind, live.input.partition)[0]()
            for offset, data in enumerate(self.broker.frames(live.input)):
                fresh.apply(decode_frame(live.input.topic, data), offset)
            if fresh.digest() != live.digest():
                raise Contradiction(f"{node.name}: a fresh fold of {live.input} gives another digest")
            digests.append(live.digest())
        return digests
