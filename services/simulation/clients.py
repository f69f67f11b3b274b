"""Clients of the exchange: random, forgetful about nothing, and stubborn where an API client would be.

What a client was told it keeps as a Promise for the auditor. After an answer that says "unknown" it sends the same
transfer or order again under the same id, as the API asks, until it knows.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from services.domain.errors import InvariantError
from services.gateway.dispatcher import Dispatcher
from services.gateway.errors import ApiError, ExecutionUnknown
from services.simulation.audit.auditor import Promise
from services.simulation.faults import MILLISECOND
from services.simulation.programs import GatewayProgram
from services.simulation.world import World

ASSETS: Final = {"BTC": 6, "ETH": 4, "USDT": 4}
STEPS: Final = {"BTC_USDT": ("0.1", "0.001"), "ETH_USDT": ("0.01", "0.01"), "ETH_BTC": ("0.0001", "0.01")}
"""Tick and lot size: one tick × one lot is one smallest unit of the quote asset."""
FIRST_USER: Final = 1001

Make = Callable[[int, int], Any]
"""A command, given its request id and time."""
Send = Callable[[Dispatcher, Any, int], Coroutine[Any, Any, Any]]


class Unknown(Exception):
    """No answer, or one that says nothing: the command may have been done."""


class NotDone(Exception):
    """Refused at the door, or the gateway was down: certainly nothing was done."""


class Client:
    """Somebody who sends commands through whichever gateway.

    promises: what all clients were told. haste: how often a command may not be written later than a few milliseconds.
    """

    haste = 0.03

    def __init__(self, world: World, promises: list[Promise]) -> None:
        self.world = world
        self.dice = world.faults.dice
        self.promises = promises

    async def ask(self, make: Make, send: Send, shards: list[int]) -> Any:
        """Send a command once; returns what the gateway answered. Raises Unknown or NotDone."""
        node = self.dice.choice(self.world.gateways)
        if node.run is None:
            raise NotDone
        gateway: GatewayProgram = node.run.program
        now_ms = gateway.clock.time_ms()
        command = make(gateway.dispatcher.next_request_id(), now_ms)
        not_after_ms = now_ms + self.dice.randint(0, 4) if self.dice.random() < self.haste else 0
        self.world.faults.counts.commands += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = gateway.call(send(gateway.dispatcher, command, not_after_ms))
        task.add_done_callback(lambda _: _ring(done))
        await done
        return self._answer(task, command, shards)

    def _answer(self, task: "asyncio.Task[Any]", command: Any, shards: list[int]) -> Any:
        counts = self.world.faults.counts
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            counts.acknowledged += 1
            answer = task.result()
            events, results = getattr(answer, "events", {}), getattr(answer, "results", {})
            self.promises.append(Promise(command, shards, True, events, results))
            return answer
        if isinstance(error, ExecutionUnknown | asyncio.CancelledError):
            counts.unknown += 1
            raise Unknown
        if isinstance(error, ApiError):
            counts.refused += 1
            self.promises.append(Promise(command, shards, False, {}, {}))
            raise NotDone
        raise InvariantError(f"a gateway answered {command} with {type(error).__name__}: {error}") from error

    async def insist(self, make: Make, send: Send, shards: list[int]) -> Any:
        """Send a command under the same ids until there is an answer."""
        while True:
            try:
                return await self.ask(make, send, shards)
            except (Unknown, NotDone):
                await self.pause(5, 60)

    async def pause(self, least_ms: float, most_ms: float) -> None:
        await asyncio.sleep(self.dice.uniform(least_ms, most_ms) * MILLISECOND)


def executes(user_id: int) -> Send:
    """Sends a command to the shard of this user, and waits for its outcome."""

    def send(dispatcher: Dispatcher, command: Any, not_after_ms: int) -> Coroutine[Any, Any, Any]:
        return dispatcher.execute(command, user_id, not_after_ms)

    return send


def made(kind: Callable[..., Any], *fields: Any) -> Make:
    """A command of this kind, but for its request id and time."""
    return lambda request_id, time_ms: kind(request_id, time_ms, *fields)


def _ring(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
