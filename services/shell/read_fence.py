"""Has a read of a core wait until the core knows everything that was durable when the read came in.

Where the input ends is asked of the log itself. So whichever instance answers, the active core, a standby, or one that
was taken for dead and has just woken, who got an answer to a command and then reads finds its effects.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from services.adapters.internal.shared_calls import SharedCall
from services.adapters.ports import Log
from services.domain.errors import CoreUnavailable, LogError
from services.domain.topics import TopicPartition

PATIENCE_SECONDS: Final = 1.5
"""Less than a gateway has, so that it learns the reason."""


class ReadFence:
    """For the readers of one core.

    applied: returns once the core's next offset is at least the one given (`CoreShell.applied`).
    """

    def __init__(
        self,
        log: Log,
        partition: TopicPartition,
        applied: Callable[[int], Awaitable[None]],
        patience_s: float = PATIENCE_SECONDS,
    ) -> None:
        self._partition = partition
        self._applied = applied
        self._patience_s = patience_s
        self._end = SharedCall(lambda: log.end(partition))

    async def passed(self) -> None:
        """Return once the core has applied all that was durable at the time of this call.

        Raises CoreUnavailable when it does not come so far, or the log does not say how far that is, in time.
        """
        end = -1
        try:
            async with asyncio.timeout(self._patience_s):
                end = await self._end()
                await self._applied(end)
        except TimeoutError as error:
            reason = f"is behind offset {end}, the log's end" if end >= 0 else "the log does not say where it ends"
            raise CoreUnavailable(f"{self._partition}: {reason}") from error
        except LogError as error:
            raise CoreUnavailable(str(error)) from error
