"""From a command to its outcome: wait first, then write, so that no answer can come too early to be seen."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from services.domain.messages import Event
from services.domain.topics import account_shard
from services.gateway.commands import CommandBus, RequestIds
from services.gateway.outcomes import Outcome, OutcomeTracker


class Dispatcher:
    """Sends commands and waits for what became of them. Every method raises ApiError when there is no outcome.

    on_ended: told of every command that was waited for, the seconds that took, and its outcome when there is one.
    """

    def __init__(
        self,
        bus: CommandBus,
        tracker: OutcomeTracker,
        request_ids: RequestIds,
        account_shards: int,
        on_ended: Callable[[Any, float, Outcome | None], None] = lambda command, seconds, outcome: None,
    ) -> None:
        self._on_ended = on_ended
        self._bus = bus
        self._tracker = tracker
        self._account_shards = account_shards
        self.next_request_id = request_ids.next

    async def execute(self, command: Any, user_id: int, not_after_ms: int = 0) -> Outcome:
        """Send `command` to its user's account shard and return its outcome.

        not_after_ms: see CommandBus.enqueue. Raises Overloaded or StaleTimestamp when nothing was done,
        ExecutionUnknown when that is not known.
        """
        return await self._execute(command, [account_shard(user_id, self._account_shards)], not_after_ms)

    async def announce(self, command: Any, not_after_ms: int = 0) -> Sequence[Event]:
        """Send `command` to every account shard; returns the answer of each. Raises as `execute`."""
        outcome = await self._execute(command, list(range(self._account_shards)), not_after_ms)
        return [outcome.events[shard] for shard in range(self._account_shards)]

    async def record(self, command: Any, user_id: int, not_after_ms: int = 0) -> None:
        """Send `command` and return when it is durable, whatever becomes of it. Raises as `execute`."""
        await self._bus.submit(command, account_shard(user_id, self._account_shards), not_after_ms)

    async def _execute(self, command: Any, shards: list[int], not_after_ms: int) -> Outcome:
        began, outcome = time.perf_counter(), None
        try:
            outcome = await self._outcome(command, shards, not_after_ms)
            return outcome
        finally:
            self._on_ended(command, time.perf_counter() - began, outcome)

    async def _outcome(self, command: Any, shards: list[int], not_after_ms: int) -> Outcome:
        waiter = self._tracker.expect(command.request_id, len(shards))
        try:
            self._bus.enqueue(command, shards, not_after_ms)
            return await waiter.future
        finally:
            self._tracker.forget(command.request_id)
