"""Virtual time as `ports.Clock`, with a skew that makes gateways disagree."""

import asyncio
from typing import Final

EPOCH_MS: Final = 1_700_000_000_000
"""What a clock without skew shows when the world begins."""


class SimulatedClock:
    """The loop's time. skew_ms: how far this machine's clock is ahead (or, negative, behind)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, skew_ms: int = 0) -> None:
        self._loop = loop
        self._skew_ms = skew_ms

    def time_ms(self) -> int:
        return EPOCH_MS + int(self._loop.time() * 1000) + self._skew_ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
