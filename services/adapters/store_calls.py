"""Calls of what is outside the process, timed for whoever wants to know: of the store, the database, other cores."""

import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from services.adapters.metrics import catalogue
from services.adapters.metrics.catalogue import Family
from services.adapters.metrics.prometheus import Metrics
from services.domain.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")


class CallWatch(Protocol):
    """Told of every call when it is over. error: the name of what it raised; empty when it succeeded."""

    def __call__(self, name: str, seconds: float, error: str = "") -> None: ...


class Watchable(Protocol):
    """A store whose calls may be watched."""

    on_call: CallWatch | None


S = TypeVar("S", bound=Watchable)
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def timed(method: Method[S, P, T]) -> Method[S, P, T]:
    """A method of a store, whose calls `on_call` is told of."""
    name = method.__name__

    @wraps(method)
    async def call(self: S, /, *arguments: P.args, **named: P.kwargs) -> T:
        on_call = self.on_call
        if on_call is None:
            return await method(self, *arguments, **named)
        started = time.perf_counter()
        try:
            result = await method(self, *arguments, **named)
        except StoreError as error:
            on_call(name, time.perf_counter() - started, type(error).__name__)
            raise
        on_call(name, time.perf_counter() - started)
        return result

    return call


def calls_meter(metrics: Metrics) -> CallWatch:
    """Calls of the store's ports."""
    return _meter(metrics, catalogue.STORE_CALL, catalogue.STORE_ERRORS)


def requests_meter(metrics: Metrics) -> CallWatch:
    """Single requests to the database."""
    return _meter(metrics, catalogue.DATABASE_REQUEST, catalogue.DATABASE_ERRORS)


def reads_meter(metrics: Metrics, source: str) -> CallWatch:
    """Reads of a core in another process."""
    seconds_of, failed = metrics.distributions(catalogue.CORE_READ), metrics.tally(catalogue.CORE_READ_ERRORS)

    def over(name: str, seconds: float, error: str = "") -> None:
        if error:
            failed.add((source, name))
        else:
            seconds_of.of(source, name).observe(seconds)

    return over


def _meter(metrics: Metrics, times: Family, errors: Family) -> CallWatch:
    seconds_of, failed = metrics.distributions(times), metrics.tally(errors)

    def over(name: str, seconds: float, error: str = "") -> None:
        if error:
            failed.add((name, error))
        else:
            seconds_of.of(name).observe(seconds)

    return over
