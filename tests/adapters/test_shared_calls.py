"""One question for all who ask at once, and never an answer from before somebody asked."""

import asyncio

import pytest

from services.adapters.internal.shared_calls import SharedCall
from services.domain.errors import LogError
from tests.support.aio import run_async


class Source:
    """Counts the questions; each is answered when `gate` opens."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def ask(self) -> int:
        self.asked += 1
        mine = self.asked
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return mine


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


@run_async
async def test_shared_call_who_comes_while_one_is_under_way_gets_the_next_answer() -> None:
    source = Source()
    call = SharedCall(source.ask)
    first = asyncio.create_task(call())
    await turns()
    later = [asyncio.create_task(call()) for _ in range(1_000)]
    await turns()
    assert (source.asked, call.busy) == (1, True)
    source.gate.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 1_000
    await turns()
    assert (await call(), source.asked) == (3, 3)


@run_async
async def test_shared_call_that_fails_tells_everybody_and_the_next_one_asks_again() -> None:
    source = Source()
    source.error = LogError("no broker")
    source.gate.set()
    call = SharedCall(source.ask)
    results = await asyncio.gather(call(), call(), return_exceptions=True)
    assert [str(error) for error in results] == ["no broker"] * 2
    assert results[0] is not results[1]
    source.error = None
    assert await call() == 2


@run_async
async def test_shared_call_somebody_stops_waiting_the_others_still_get_the_answer() -> None:
    source = Source()
    call = SharedCall(source.ask)
    impatient, patient = asyncio.create_task(call()), asyncio.create_task(call())
    await turns()
    impatient.cancel()
    source.gate.set()
    assert await patient == 1
    with pytest.raises(asyncio.CancelledError):
        await impatient
