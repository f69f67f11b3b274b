"""What every process of the distributed form has, and how it waits for what it stands on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from services import __version__
from services.adapters.clock import SystemClock
from services.adapters.internal.server import CoreReads, Health
from services.adapters.log_ends import LogEnds
from services.adapters.logs.logs import Logs
from services.adapters.metrics.prometheus import Metrics
from services.adapters.ports import Log
from services.config import Settings
from services.runtime.service_tasks import ServiceTasks
from services.runtime.traces import Traces
from services.shell.projection_shell import RUNNING

FIRST_BACKOFF_SECONDS: Final = 0.1
LAST_BACKOFF_SECONDS: Final = 5.0
STARTING: Final = "starting"
STOPPING: Final = "stopping"

T = TypeVar("T")


class Process(Protocol):
    """One process, as whoever starts and stops it sees it."""

    name: str
    metrics: Metrics

    @property
    def core_reads(self) -> CoreReads | None:
        """What it answers to the other processes; None when it holds no core."""

    async def health(self) -> Health: ...

    async def start(self) -> None:
        """Return when it does its work. May take for ever when what it stands on is away; cancel it then.

        Raises ConfigError when a setting is wrong, whatever says that the state cannot be vouched for otherwise.
        """

    async def wait_failed(self) -> None:
        """Return never; raise what stopped it."""

    async def stop(self) -> None:
        """Finish what was begun, and let go of everything; also after a failure, or a start that was cancelled."""


class ProcessParts:
    """The parts of one process, on the event loop that runs it. member: its shard, or its number among its kind."""

    def __init__(self, service: str, member: int, settings: Settings, logs: Logs) -> None:
        self.name = f"{service}-{member}"
        self.settings = settings
        self.logs = logs
        self.lines = logs.service(service.replace("-", "_"), member)
        self.clock = SystemClock()
        self.metrics = Metrics(__version__)
        self.traces = Traces(settings, logs, local=False)
        self.traces.watch(self.metrics)
        self.tracing = self.traces.service(service.replace("-", "_"), member)
        self.tasks = ServiceTasks()
        self.state = STARTING
        """RUNNING, or what it does or waits for before that."""
        self._beside: list[asyncio.Task[None]] = []
        self.metrics.watch_components(lambda: [(name, state == RUNNING) for name, state in self.states().items()])

    def watch_ends(self, log: Log) -> LogEnds:
        """Know where partitions end, for the numbers."""
        ends = LogEnds(log)
        self._beside.append(asyncio.create_task(ends.run()))
        return ends

    async def insist(self, call: Callable[[], Awaitable[T]], what: str, *unavailable: type[Exception]) -> T:
        """Call until it works, waiting longer and longer. The state says what is waited for, and why."""
        before, backoff = self.state, FIRST_BACKOFF_SECONDS
        self.state = f"waiting for {what}"
        while True:
            try:
                result = await call()
            except unavailable as error:
                self._wait_for(f"waiting for {what}: {error}")
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, LAST_BACKOFF_SECONDS)
            else:
                self.state = before
                return result

    def states(self, own: str = "") -> dict[str, str]:
        """The state of each task, and of the process itself as long as it does not run yet. own: stands for both."""
        states = self.tasks.states()
        if all(state == RUNNING for state in states.values()):
            states[self.name] = own if own and self.state == RUNNING else self.state
        return states

    async def finish(self, name: str) -> None:
        """Wait for a task that was told to end. Raises what it, or any other, failed with meanwhile."""
        await self.tasks.end(name)
        if self.tasks.failed:
            await self.tasks.wait_failed()

    async def end(self) -> None:
        """Cancel whatever still runs."""
        await self.tasks.cancel_all()
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        await self.traces.close()
        self.tasks.close()

    def _wait_for(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.lines.info("waiting", reason=state)
