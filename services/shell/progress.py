"""How far a reader has come, for those who wait until it has come far enough."""

import asyncio
import heapq
from typing import Final

from services.domain.errors import LogError

_MANY: Final = 1_024


class Progress:
    """A position that only grows. Waiting costs nothing until it is reached, however many wait."""

    def __init__(self) -> None:
        self.position = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._asked = 0
        self._most = _MANY
        """With so many waiting, those who have given up are forgotten."""
        self._failure: str | None = None

    async def reached(self, position: int) -> None:
        """Return once `position` is reached. Raises LogError when it never will be."""
        if self.position >= position:
            return
        if self._failure is not None:
            raise LogError(self._failure)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= self._most:
            self._forget_cancelled()
        self._asked += 1
        heapq.heappush(self._waiting, (position, self._asked, waiter))
        await waiter

    def advance(self, position: int) -> None:
        """Say where the reader stands now, and wake who waited for that."""
        self.position = position
        waiting = self._waiting
        while waiting and waiting[0][0] <= position:
            waiter = heapq.heappop(waiting)[2]
            if not waiter.done():
                waiter.set_result(None)

    def _forget_cancelled(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry[2].done()]
        heapq.heapify(self._waiting)
        self._most = max(_MANY, 2 * len(self._waiting))

    def fail(self, why: str) -> None:
        """The reader goes no further: tell who waits, and who still comes."""
        self._failure = why
        waiting, self._waiting = self._waiting, []
        for _, _, waiter in sorted(waiting, key=lambda entry: entry[:2]):
            if not waiter.done():
                waiter.set_exception(LogError(why))
