"""The system's clock, as `ports.Clock`. The only place outside logs and metrics where time comes from."""

import asyncio
import time


class SystemClock:
    """Wall time for stamps, the event loop's for sleeping."""

    def time_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
