"""How the exchange is, in one answer: of the process that answers, or of all processes.

For the console's operations view, which asks every two seconds. Many that look at once cost one round of questions:
an answer is kept for a second, and whoever asks while one is being made gets that one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import Response

from services.adapters.internal.neighbours import Told
from services.adapters.metrics.figures import Look
from services.gateway.answers import answer
from services.gateway.bodies import NoQuery
from services.gateway.calls import Call, admit, admit_anybody
from services.gateway.gateway import Gateway
from services.gateway.health import components_of
from services.gateway.keys import Scope
from services.gateway.operations_rows import OperationsAnswer, look, rows
from services.gateway.reading import parse_query
from services.shell.projection_shell import RUNNING

KEPT_S: Final = 1.0
WINDOW_S: Final = 60.0
"""Rates and latencies are of so long."""
_SPACING_S: Final = 10.0
"""Not every look of that time is kept."""


class OperationsCalls:
    """GET /api/operations and /api/admin/operations."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        # The local form is one process: whoever sees it sees everything.
        others = gateway.deps.others
        self._own = Rounds(self._ask_own, whole=others is None)
        self._all = Rounds(self._ask_all, whole=True)

    def calls(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/api/operations",
                self.show_own,
                tag="health",
                summary="Figures of the process that answers",
                answer=OperationsAnswer,
                query=NoQuery,
            ),
            Call(
                "GET",
                "/api/admin/operations",
                self.show_all,
                tag="admin: state",
                summary="Health and figures of all processes",
                answer=OperationsAnswer,
                scope=Scope.ADMIN,
                query=NoQuery,
            ),
        ]

    async def show_own(self, request: Request) -> Response:
        """Tells no more than /health/ready and /metrics beside it. In the local form, one process is all services."""
        parse_query(admit_anybody(self._gateway, request), NoQuery)
        return answer(await self._own.newest())

    async def show_all(self, request: Request) -> Response:
        """Asks every core, its standbys, settlement and order history; who does not answer within two seconds is
        there too, and said to be silent. Of the gateways, it shows the one that answers. At most a second old.
        """
        admitted = await admit(self._gateway, request, Scope.ADMIN)
        parse_query(admitted.params, NoQuery)
        return answer(await self._all.newest())

    async def _ask_own(self) -> list[Told]:
        components = await components_of(self._gateway)
        ready = all(state == RUNNING for state in components.values())
        metrics = generate_latest(self._gateway.deps.metrics.registry).decode()
        name = f"gateway-{self._gateway.config.instance}"
        return [Told(name, "", ready=ready, components=components, metrics=metrics)]

    async def _ask_all(self) -> list[Told]:
        others = self._gateway.deps.others
        own, told = await asyncio.gather(self._ask_own(), others() if others is not None else _nobody())
        return [*own, *told]


class Rounds:
    """Rounds of questions, one at a time, and what was seen in the last minute to compare with."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[Sequence[Told]]],
        *,
        whole: bool,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._whole = whole
        self._now_s = now_s
        self._round: asyncio.Task[OperationsAnswer] | None = None
        self._ended_s = 0.0
        self._seen: deque[tuple[float, list[Look]]] = deque()

    async def newest(self) -> OperationsAnswer:
        """An answer that is at most KEPT_S old."""
        running = self._round
        if running is None or (running.done() and self._now_s() - self._ended_s > KEPT_S):
            self._round = running = asyncio.create_task(self._make())
        # Who goes away takes nothing from the others that wait.
        return await asyncio.shield(running)

    async def _make(self) -> OperationsAnswer:
        try:
            told = await self._ask()
        finally:
            self._ended_s = at_s = self._now_s()
        read = [_read(one, at_s) for one in told]
        looks = [look for _, look in read]
        while self._seen and at_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        made = rows(self._whole, [one for one, _ in read], self._seen[0][1] if self._seen else (), looks)
        if not self._seen or at_s - self._seen[-1][0] >= _SPACING_S:
            self._seen.append((at_s, looks))
        return made


def _read(told: Told, at_s: float) -> tuple[Told, Look]:
    """What it said, and what that is in numbers. Who says what is no metrics is silent: it is none of ours."""
    try:
        return told, look(told, at_s)
    except ValueError as error:
        silent = Told(told.name, told.url, f"its metrics cannot be read: {error}")
        return silent, look(silent, at_s)


async def _nobody() -> list[Told]:
    return []
