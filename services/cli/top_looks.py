"""What `exchange top` asks of processes, from outside: /health/ready and /metrics."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import httpx
import msgspec

from services.adapters.metrics.figures import Look, parse
from services.shell.projection_shell import RUNNING

PATIENCE_S: Final = 3.0
"""How long a process may take to answer; one that takes longer is shown as away."""


async def look_at(urls: Sequence[str]) -> list[Look]:
    """Ask all of these processes at once. Never raises: who does not answer has a problem."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        return list(await asyncio.gather(*[_look_at(http, url) for url in urls]))


async def _look_at(http: httpx.AsyncClient, url: str) -> Look:
    try:
        health = await http.get(f"{url}/health/ready")
        metrics = await http.get(f"{url}/metrics")
        return Look(url, time.monotonic(), _problem(health), parse(metrics.text))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Look(url, time.monotonic(), f"does not answer: {str(error) or type(error).__name__}", {})


def _problem(health: httpx.Response) -> str:
    # Whether it is ready is for the process to say: a core's role, for one, is a state too, and nothing wrong.
    if health.is_success:
        return ""
    components = msgspec.json.decode(health.content, type=_Health).components
    wrong = [f"{name}: {state}" for name, state in components.items() if state != RUNNING]
    return "; ".join(wrong) or f"answers {health.status_code}"


class _Health(msgspec.Struct):
    components: dict[str, str] = {}
