"""From a command to its outcome: wait first, then write, so that no answer can come too early to be seen."""

from collections.abc import Sequence
from typing import Any

from services.domain.messages import Event
from services.domain.topics import account_shard
from services.gateway.commands import CommandBus, RequestIds
from services.gateway.outcomes import Outcome, OutcomeTracker


class Dispatcher:
    """Sends commands and waits for what became of them. Every method raises ApiError when there is no outcome."""

    def __init__(self, bus: CommandBus, tracker: OutcomeTracker, request_ids: RequestIds, account_shards: int) -> None:
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
        waiter = self._tracker.expect(command.request_id, len(shards))
        try:
            self._bus.enqueue(command, shards, not_after_ms)
            return await waiter.future
        finally:
            self._tracker.forget(command.request_id)
