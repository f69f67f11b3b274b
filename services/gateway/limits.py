"""Token buckets: how often somebody may ask."""

from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

from services.adapters.ports import Clock
from services.gateway.deps import RateLimit
from services.gateway.errors import ApiError, Code

MAX_BUCKETS: Final = 10_000
"""Whoever asked longest ago is forgotten, which gives them a full bucket again: memory stays flat."""


class _Buckets:
    """One bucket a name. on_empty: called when somebody finds theirs empty."""

    def __init__(self, clock: Clock, limit: RateLimit, on_empty: Callable[[], None]) -> None:
        self._on_empty = on_empty
        self._clock = clock
        self._limit = limit
        self._levels: OrderedDict[str | int, tuple[float, int]] = OrderedDict()

    def take(self, name: str | int) -> None:
        """Use one token. Raises ApiError 429 with Retry-After when there is none."""
        now_ms = self._clock.time_ms()
        limit = self._limit
        level, then_ms = self._levels.get(name, (limit.burst, now_ms))
        level = min(limit.burst, level + max(0, now_ms - then_ms) * limit.per_second / 1000)
        if level < 1:
            self._on_empty()
            wait_s = ceil((1 - level) / limit.per_second)
            raise ApiError(429, Code.TOO_MANY_REQUESTS, "Too many requests.", {"Retry-After": str(wait_s)})
        self._levels[name] = (level - 1, now_ms)
        self._levels.move_to_end(name)
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)


class RateLimiter:
    """The limits of callers who are known, and of those who are not.

    on_limited: told "user" or "address" when a request of one was refused.
    """

    def __init__(
        self,
        clock: Clock,
        caller: RateLimit,
        anonymous: RateLimit,
        on_limited: Callable[[str], None] = lambda caller: None,
    ) -> None:
        self._callers = _Buckets(clock, caller, lambda: on_limited("user"))
        self._anonymous = _Buckets(clock, anonymous, lambda: on_limited("address"))

    def take_caller(self, user_id: int) -> None:
        """Count a request of this user. Raises ApiError 429."""
        self._callers.take(user_id)

    def take_anonymous(self, address: str) -> None:
        """Count a request without (good) credentials. Raises ApiError 429."""
        self._anonymous.take(address)
