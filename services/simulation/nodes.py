"""The supervisor: nodes, each of which keeps one program running, whatever ends it.

A node has what outlives a process, its disk; what a process had in memory is lost with it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from services.domain.errors import ExchangeError, InvariantError
from services.domain.topics import TopicPartition
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
