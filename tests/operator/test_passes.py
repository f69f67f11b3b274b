"""When passes are due, and that an exchange has one at a time, whoever waits for it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from exchange_operator import passes as module
from exchange_operator.metrics import Metrics
from exchange_operator.passes import Outcome, Passes, Stopping

from services.adapters.logs.logs import Logs

_WITHIN_SECONDS = 30.0


class Steps:
    """A pass that takes as long as the test wants. Every pass waits for one `let`."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.stopped = 0
        self.most_at_once = 0
        self.outcome = Outcome("done")
        self._let = threading.Semaphore(0)
        self._lock = threading.Lock()

    def let(self, count: int = 1) -> None:
        self._let.release(count)

    def run(self, _namespace: str, _name: str, stopping: Stopping) -> Outcome:
        with self._lock:
            self.begun += 1
            self.most_at_once = max(self.most_at_once, self.begun - self.ended)
        assert self._let.acquire(timeout=_WITHIN_SECONDS)
        with self._lock:
            self.ended += 1
            self.stopped += stopping()
        return self.outcome


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.01)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.01)


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("test")


@pytest.fixture
def passes(steps: Steps, metrics: Metrics, tmp_path: Path) -> Iterator[Passes]:
    logs = Logs(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        yield Passes(steps.run, threads, metrics, logs.service("operator"))
        steps.let(100)
    logs.close()


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WITHIN_SECONDS):
        while not true():  # noqa: ASYNC110  what it asks changes in other threads
            await asyncio.sleep(0.005)


def _look_after(passes: Passes, stop: asyncio.Event) -> "asyncio.Task[None]":
    async def told() -> None:
        await stop.wait()

    waiting: Awaitable[None] = told()
    return asyncio.create_task(passes.look_after("here", "demo", stop.is_set, waiting))


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])


def test_what_happens_during_a_pass_makes_another_one(passes: Passes, steps: Steps) -> None:
    async def story() -> None:
        stop = asyncio.Event()
        task = _look_after(passes, stop)
        await _until(lambda: steps.begun == 1)
        passes.wake("here", "demo")
        passes.wake("here", "demo")
        steps.let(2)
        await _until(lambda: steps.ended == 2)
        await asyncio.sleep(0.1)
        assert steps.begun == 2
        stop.set()
        await asyncio.wait_for(task, _WITHIN_SECONDS)

    asyncio.run(story())


def test_pass_is_made_again_after_the_time_it_asked_for(passes: Passes, steps: Steps) -> None:
    async def story() -> None:
        steps.outcome = Outcome("waiting", again_seconds=0.05)
        task = _look_after(passes, asyncio.Event())
        steps.let(3)
        await _until(lambda: steps.ended == 3)
        await _cancel(task)

    asyncio.run(story())


def test_who_is_told_to_stop_does_not_wait_for_the_pass_which_sees_it(passes: Passes, steps: Steps) -> None:
    async def story() -> None:
        stop = asyncio.Event()
        task = _look_after(passes, stop)
        await _until(lambda: steps.begun == 1)
        stop.set()
        await asyncio.wait_for(task, _WITHIN_SECONDS)
        assert steps.ended == 0
        steps.let()
        await _until(lambda: steps.ended == 1)
        assert steps.stopped == 1

    asyncio.run(story())


def test_pass_that_nobody_waits_for_any_more_still_excludes_the_next(passes: Passes, steps: Steps) -> None:
    async def story() -> None:
        stop = asyncio.Event()
        task = _look_after(passes, stop)
        await _until(lambda: steps.begun == 1)
        stop.set()
        await asyncio.wait_for(task, _WITHIN_SECONDS)
        again = _look_after(passes, asyncio.Event())
        await asyncio.sleep(0.1)
        await _cancel(again)
        steps.outcome = Outcome("deleted", gone=True)
        tearing = asyncio.create_task(passes.tear_down("here", "demo"))
        await asyncio.sleep(0.1)
        assert steps.begun == 1
        steps.let(2)
        await asyncio.wait_for(tearing, _WITHIN_SECONDS)
        assert (steps.ended, steps.most_at_once) == (2, 1)

    asyncio.run(story())


def test_teardown_goes_on_until_all_is_gone_and_sees_that_it_is_cancelled(passes: Passes, steps: Steps) -> None:
    async def story() -> None:
        steps.outcome = Outcome("deleting", again_seconds=0.01)
        tearing = asyncio.create_task(passes.tear_down("here", "demo"))
        steps.let(3)
        await _until(lambda: steps.begun == 4)
        assert not tearing.done()
        await _cancel(tearing)
        steps.let()
        await _until(lambda: steps.ended == 4)
        assert steps.stopped == 1

    asyncio.run(story())


def test_two_exchanges_do_not_wait_for_each_other(passes: Passes, steps: Steps) -> None:
    async def story() -> None:
        tasks = [asyncio.create_task(passes.tear_down("here", name)) for name in ("one", "other")]
        await _until(lambda: steps.begun == 2)
        for task in tasks:
            await _cancel(task)

    asyncio.run(story())


def test_version_that_no_watch_tells_of_makes_the_watch_lag(passes: Passes, steps: Steps, metrics: Metrics) -> None:
    def lag() -> float:
        value = metrics.registry.get_sample_value("exchange_operator_watch_lag_seconds")
        assert value is not None
        return value

    async def story() -> None:
        passes.notice("here", "demo", "1", "essence")
        task = _look_after(passes, asyncio.Event())
        steps.outcome = Outcome("done", version="1")
        steps.let()
        await _until(lambda: steps.ended == 1)
        await asyncio.sleep(0.05)
        assert lag() == 0
        steps.outcome = Outcome("done", version="2")
        steps.let()
        passes.wake("here", "demo")
        await _until(lambda: steps.ended == 2)
        await _until(lambda: lag() > 0)
        passes.notice("here", "demo", "2", "essence")
        assert lag() == 0
        await _cancel(task)

    asyncio.run(story())


def test_conditions_of_who_is_no_longer_looked_after_are_no_longer_told(
    passes: Passes, steps: Steps, metrics: Metrics
) -> None:
    def told(kind: str) -> float | None:
        labels = {"namespace": "here", "name": "demo", "type": kind}
        return metrics.registry.get_sample_value("exchange_operator_exchange_condition", labels)

    async def story() -> None:
        stop = asyncio.Event()
        task = _look_after(passes, stop)
        steps.outcome = Outcome("done", conditions={"Ready": True, "Degraded": False})
        steps.let()
        await _until(lambda: (told("Ready"), told("Degraded")) == (1, 0))
        steps.outcome = Outcome("done", conditions={"Ready": False})
        passes.wake("here", "demo")
        steps.let()
        await _until(lambda: (told("Ready"), told("Degraded")) == (0, None))
        stop.set()
        await asyncio.wait_for(task, _WITHIN_SECONDS)
        assert told("Ready") is None

    asyncio.run(story())
