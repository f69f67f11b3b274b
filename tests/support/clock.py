"""A clock that a test sets by hand."""

import asyncio


class ManualClock:
    """`services.adapters.ports.Clock` whose time only `advance` moves; sleepers wake when their time has come."""

    def __init__(self, time_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = time_ms
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def time_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now_ms + seconds * 1000, future))
        await future

    async def advance(self, seconds: float, step_s: float = 0.05) -> None:
        """Let time pass in steps, and everybody who wakes up work."""
        end_ms = self._now_ms + round(seconds * 1000)
        while self._now_ms < end_ms:
            self._now_ms = min(end_ms, self._now_ms + round(step_s * 1000))
            due = [future for when, future in self._sleepers if when <= self._now_ms]
            self._sleepers = [(when, future) for when, future in self._sleepers if when > self._now_ms]
            for future in due:
                if not future.done():
                    future.set_result(None)
            await settle()


async def settle(rounds: int = 20) -> None:
    """Let every task that can go on do so, a few times over."""
    for _ in range(rounds):
        await asyncio.sleep(0)
