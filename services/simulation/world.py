"""One simulated exchange: its processes, the nemesis that kills them, and the drain.

Every port operation is a step. At any step the nemesis may have the process killed within the next moments, stop it
in peace, freeze it, or start a second instance of a core before the first is gone. Some cores have a standby, which is
treated no better.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from services.adapters.ports import Append
from services.domain.errors import CoreUnavailable
from services.domain.messages import decode_frame
from services.simulation.audit.accounts import Contradiction
from services.simulation.broker import Broker, SimulatedLog
from services.simulation.clock import SimulatedClock
from services.simulation.database import Database, SimulatedStore
from services.simulation.disk import Disk, SimulatedDirectory
from services.simulation.faults import MILLISECOND, Faults
from services.simulation.loop import SimulatedLoop
from services.simulation.nodes import Node
from services.simulation.process import Process, outside
from services.simulation.programs import (
    CoreProgram,
    GatewayProgram,
    Parts,
    ProjectionProgram,
    Shape,
    fresh_core,
)

PATIENCE_S: Final = 60.0
"""Virtual seconds within which everything must come to rest once faults have stopped."""


def draw_shape(dice: random.Random) -> Shape:
    """The layout that a seed likes."""
    shards = dice.choice(((1, 1), (1, 1), (1, 2), (2, 1), (2, 2)))
    cores = [f"ubscore-{shard}" for shard in range(shards[0])] + [f"matcher-{shard}" for shard in range(shards[1])]
    standbys = dice.choice(([], cores, [core for core in cores if dice.random() < 0.5]))
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
        standbys=tuple(standbys),
        takeover_after_s=dice.choice((0.0, 0.02, 0.1, 0.1, 0.3)),
        max_pending_records=dice.choice((1, 10, 1_000)),
    )


class World:
    """Everything there is. Implements `programs.Ports`."""

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
        shards = [("ubscore", shard) for shard in range(shape.account_shards)]
        shards += [("matcher", shard) for shard in range(shape.matcher_shards)]
        self.cores = [self._core(kind, shard) for kind, shard in shards]
        self.standbys = {
            f"{kind}-{shard}": self._core(kind, shard, standby=True)
            for kind, shard in shards
            if f"{kind}-{shard}" in shape.standbys
        }
        self.projections = [self._projection(kind) for kind in ("settlement", "order_history")]
        self.gateways = [self._gateway(instance) for instance in range(shape.gateways)]

    @property
    def nodes(self) -> list[Node]:
        return [*self.cores, *self.standbys.values(), *self.projections, *self.gateways]

    def _core(self, kind: str, shard: int, *, standby: bool = False) -> Node:
        def make(process: Process, disk: Disk) -> CoreProgram:
            return CoreProgram(self, process, disk, kind, shard, standby=standby)

        name = f"{kind}-{shard}"
        return Node(
            self,
            f"standby of {name}" if standby else name,
            make,
            may_double=True,
            replaceable=name in self.shape.standbys,
        )

    def _projection(self, kind: str) -> Node:
        return Node(self, kind, lambda process, _: ProjectionProgram(self, process, kind), may_double=True)

    def _gateway(self, instance: int) -> Node:
        return Node(self, f"gateway-{instance}", lambda process, _: GatewayProgram(self, process, instance))

    # Ports

    def log(self, process: Process, on_append: Callable[[Sequence[Append]], None]) -> SimulatedLog:
        return SimulatedLog(self.broker, process, self.faults, self._step, on_append)

    def directory(self, process: Process, disk: Disk) -> SimulatedDirectory:
        return SimulatedDirectory(disk, process, self.faults, self._step)

    def store(self, process: Process) -> SimulatedStore:
        return SimulatedStore(self.database, process, self.faults, self._step)

    def clock(self, skew_ms: int = 0) -> SimulatedClock:
        return SimulatedClock(self.loop, skew_ms)

    def draw(self, most: int) -> int:
        return self.faults.dice.randint(0, most)

    def count_takeover(self) -> None:
        self.faults.counts.takeovers += 1

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
        elif faults.strikes(rates.freeze):
            self.later(0.0, node.freeze, process)

    def end_faults(self) -> None:
        """From now on nothing bad happens any more; what did is repaired."""
        self.faults.on = False
        for node in self.nodes:
            node.thaw()
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
        for node in (*self.cores, *self.standbys.values()):
            core = self.core_of(node)
            if core.next_offset < len(self.broker.frames(core.input)):
                return f"{node.name} is at {core.next_offset} of {core.input}"
            if not self._program(node).shell.all_said:
                return f"{node.name} has not said everything"
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

    async def read_core(self, shard: int) -> Any:
        """The core of an account shard as a reader finds it, at any of its instances; None when that does not answer.

        What the reader was told before, it must find there: that is what the fence is for.
        """
        node = self.cores[shard]
        instances = [*node.runs, *(self.standbys[node.name].runs if node.name in self.standbys else [])]
        ready = [run for run in instances if run.program.ready]
        if not ready:
            return None
        run = self.faults.dice.choice(ready)
        task = run.process.spawn(run.program.fence.passed())
        await asyncio.wait([task])
        if task.cancelled() or isinstance(task.exception(), CoreUnavailable):
            return None
        task.result()
        return run.program.shell.core

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
            for instance in (node, *(self.standbys[name] for name in (node.name,) if name in self.standbys)):
                if self.core_of(instance).digest() != fresh.digest():
                    raise Contradiction(f"{instance.name}: a fresh fold of {live.input} gives another digest")
            digests.append(live.digest())
        return digests
