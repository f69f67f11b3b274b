"""One question for all who want to know the same."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """Asks once at a time. Who comes while a question is under way shares the next one.

    So an answer is never older than the wish of anybody who gets it, and a thousand who wish at once cost two calls.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._next: asyncio.Future[T] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __call__(self) -> T:
        """The answer to a question that was asked after this call. Raises what the question raised."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        answer = self._next
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            return await asyncio.shield(answer)
        except Exception as error:
            # One that is raised at several places would collect all their tracebacks.
            raise copy.copy(error) from error.__cause__

    @property
    def busy(self) -> bool:
        """Whether a question is under way."""
        return self._task is not None

    async def _run(self) -> None:
        try:
            while self._next is not None:
                answer, self._next = self._next, None
                await self._answer(answer)
        finally:
            self._task = None
            if self._next is not None:
                self._next.cancel()
                self._next = None

    async def _answer(self, answer: "asyncio.Future[T]") -> None:
        try:
            answer.set_result(await self._ask())
        except Exception as error:
            answer.set_exception(error)
            # Looked at, so that asyncio does not complain when everybody has gone meanwhile.
            answer.exception()
        finally:
            if not answer.done():
                answer.cancel()
