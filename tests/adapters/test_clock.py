import time

from services.adapters.clock import SystemClock
from tests.support.aio import run_async


def test_time_ms_is_the_systems_time_in_whole_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= SystemClock().time_ms() <= time.time_ns() // 1_000_000


@run_async
async def test_sleep_lasts_at_least_that_long() -> None:
    started = time.monotonic()
    await SystemClock().sleep(0.01)
    assert time.monotonic() - started >= 0.009
