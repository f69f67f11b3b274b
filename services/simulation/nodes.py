"""The supervisor: nodes, each of which keeps one program running, whatever ends it.

A node has what outlives a process, its disk; what a process had in memory is lost with it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from services.domain.errors import ExchangeError, InvariantError
from services.simulation.disk import Disk
from services.simulation.faults import MILLISECOND
from services.simulation.process import Process, outside
from services.simulation.programs import Program

if TYPE_CHECKING:
    from services.simulation.world import World


class Run:
    """One run of a node's program."""

    def __init__(self, process: Process, program: Any, disk: Disk) -> None:
        self.process = process
        self.program = program
        self.disk = disk


class Node:
    """A process that the supervisor keeps running. make: a new program, given its process and disk.

    may_double: whether it has zombies. replaceable: somebody else does its work while it is down, so at times it stays
    down for long. run: the present run, None while it is down. zombie: a second one beside it.
    """

    def __init__(
        self,
        world: "World",
        name: str,
        make: Callable[[Process, Disk], Program],
        *,
        may_double: bool = False,
        replaceable: bool = False,
    ) -> None:
        self._world = world
        self.name = name
        self._make = make
        self._may_double = may_double
        self._replaceable = replaceable
        self._disk = Disk(world.faults)
        self.run: Run | None = None
        self.zombie: Run | None = None
        self._failures = 0
        """How often in a row it ended by itself: the supervisor waits longer and longer."""
        self.last_error = ""
        """Why it ended by itself the last time."""

    @property
    def runs(self) -> list[Run]:
        """Who does its work now."""
        return [run for run in (self.run, self.zombie) if run is not None]

    def start(self) -> None:
        if self.run is None:
            self._world.faults.counts.restarts += 1
            self.run = self._launch(self._disk)

    def start_zombie(self) -> None:
        """A second instance, on a copy of the disk or on an empty one. One of the two will be killed soon."""
        if not self._may_double or self.zombie is not None or self.run is None:
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
            return
        if faults.strikes(faults.rates.power_cut):
            self._disk.crash()
        if faults.strikes(faults.rates.disk_lost):
            faults.counts.disks_lost += 1
            self._disk = Disk(faults)
        self._failures = 0
        self._go_down(dice.uniform(1, 60))

    def freeze(self, process: Process) -> None:
        """Stop a run in the middle of whatever it does, and have it go on some time later."""
        faults = self._world.faults
        if not process.alive or process.frozen:
            return
        faults.counts.freezes += 1
        process.freeze()
        self._world.later(faults.dice.choice((30, 300, 2_000)) * faults.dice.random() * MILLISECOND, process.thaw)

    def thaw(self) -> None:
        """Nobody is frozen from now on."""
        for run in self.runs:
            run.process.thaw()

    def _go_down(self, milliseconds: float) -> None:
        faults = self._world.faults
        self.run = None
        self._disk.full = False
        if self._replaceable and faults.strikes(faults.rates.long_absence):
            milliseconds = faults.dice.uniform(100, 3_000)
        self._world.later(milliseconds * MILLISECOND, self.start)

    def stop_in_peace(self, process: Process) -> None:
        for run in self.runs:
            if run.process is process:
                run.program.stop()

    def _launch(self, disk: Disk) -> Run:
        process = Process(self.name, self._world.loop.resume)
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
        else:
            self._failures = min(self._failures + 1, 6)
            self._go_down(self._world.faults.dice.uniform(1, 20) * 2**self._failures)
