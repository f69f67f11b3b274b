"""When a pass over an exchange is due, and that there is one at a time. `handlers` calls it, on the event loop.

Passes run in threads, and nobody who is told to stop waits for one. A pass that was told to stop ends before its next
step; until it has, no other one begins, even when nobody waits for it any more.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final, NamedTuple

from exchange_operator.metrics import Metrics
from services.adapters.logs.logs import ServiceLog

LOOK_AGAIN_SECONDS: Final = 60.0
"""Between two passes while nothing happens."""
SETTLE_SECONDS: Final = 0.3
"""Events come in groups: what follows soon after the first is seen by the same pass."""
REST_SECONDS: Final = 0.7
"""After every pass, whatever happens meanwhile."""
_FIRST_RETRY_SECONDS: Final = 1.0

Stopping = Callable[[], bool]
"""Whether to begin nothing more. Called from a thread."""


class Outcome(NamedTuple):
    """Of a pass.

    result: in one word. again_seconds: when to look again, if nothing happens before. version: of the resource that
    was read; empty when there is none. conditions: of the resource, whether they are True. gone: there is nothing to
    look at any more, and nothing is left to do.
    """

    result: str
    again_seconds: float = LOOK_AGAIN_SECONDS
    version: str = ""
    conditions: Mapping[str, bool] = {}
    gone: bool = False


Run = Callable[[str, str, Stopping], Outcome]
"""One pass over the exchange of that namespace and name, in a thread."""


class _Place:
    """Of one exchange."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.turn = asyncio.Lock()
        self.running: asyncio.Future[Outcome] | None = None
        self.failures = 0
        self.essence: object = None
        self.version = ""
        self.versions: set[str] = set()
        """Those that the watch has told of since the last pass began, with the one before."""


class Passes:
    """Who looks after which exchange. run: what a pass does; may raise anything, which is logged and counted."""

    def __init__(self, run: Run, threads: Executor, metrics: Metrics, lines: ServiceLog) -> None:
        self._run = run
        self._threads = threads
        self._metrics = metrics
        self._lines = lines
        self._places: dict[tuple[str, str], _Place] = {}

    def wake(self, namespace: str, name: str) -> None:
        """Something happened to the exchange, or to what it is made of: look soon."""
        if place := self._places.get((namespace, name)):
            place.woken.set()

    def notice(self, namespace: str, name: str, version: str, essence: object) -> None:
        """The watch tells of a version of the resource. essence: what a pass depends on; a new one wakes it."""
        place = self._places.setdefault((namespace, name), _Place())
        place.version = version
        place.versions.add(version)
        self._metrics.watch(namespace, name, is_fresh=True)
        if essence != place.essence:
            place.essence = essence
            place.woken.set()

    def forget(self, namespace: str, name: str) -> None:
        """The resource is gone."""
        self._places.pop((namespace, name), None)

    async def look_after(self, namespace: str, name: str, stopped: Stopping, told: Awaitable[Any]) -> None:
        """Keep an exchange as it is wanted until `told` to stop, when `stopped` says so too. Then return at once."""
        looking = asyncio.ensure_future(self._look_again_and_again(namespace, name, stopped))
        telling = asyncio.ensure_future(told)
        try:
            done, _ = await asyncio.wait([looking, telling], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            looking.cancel()
            telling.cancel()
            self._metrics.forget(namespace, name)

    async def _look_again_and_again(self, namespace: str, name: str, stopped: Stopping) -> None:
        place = self._places.setdefault((namespace, name), _Place())
        while True:
            outcome = await self._pass(place, namespace, name, stopped)
            await self._rest(place, outcome.again_seconds)

    async def tear_down(self, namespace: str, name: str) -> None:
        """Make passes until the exchange, which is being deleted, has nothing left. Cancel it to stop before."""
        place = self._places.setdefault((namespace, name), _Place())
        stop = threading.Event()
        try:
            while not (outcome := await self._pass(place, namespace, name, stop.is_set)).gone:
                await self._rest(place, outcome.again_seconds)
        finally:
            stop.set()
            self._metrics.forget(namespace, name)

    async def _pass(self, place: _Place, namespace: str, name: str, stopping: Stopping) -> Outcome:
        """One pass, after the one before has ended, whoever waited for that."""
        async with place.turn:
            if place.running is not None:
                await asyncio.wait([place.running])
            place.woken.clear()
            place.versions = {place.version}
            place.running = asyncio.get_running_loop().run_in_executor(
                self._threads, self._timed, namespace, name, stopping
            )
            # Nobody asks it when whoever waits is cancelled.
            place.running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            try:
                outcome = await asyncio.shield(place.running)
            except Exception as error:
                place.failures += 1
                again = min(_FIRST_RETRY_SECONDS * 2.0 ** (place.failures - 1), LOOK_AGAIN_SECONDS)
                self._lines.error("pass_failed", exchange=f"{namespace}/{name}", error=_said(error), again_s=again)
                return Outcome("failed", again)
            place.failures = 0
            self._metrics.watch(namespace, name, is_fresh=outcome.version in {"", *place.versions})
            self._metrics.conditions(namespace, name, outcome.conditions)
            return outcome

    def _timed(self, namespace: str, name: str, stopping: Stopping) -> Outcome:
        with self._metrics.timed() as ended:
            outcome = self._run(namespace, name, stopping)
            ended(outcome.result)
            return outcome

    async def _rest(self, place: _Place, seconds: float) -> None:
        """Until something happens and has settled, or the time is over."""
        await asyncio.sleep(REST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await place.woken.wait()
        if place.woken.is_set():
            await asyncio.sleep(SETTLE_SECONDS)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
