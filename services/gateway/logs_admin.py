"""What this gateway's process writes into its logs, changed while it runs."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.adapters.logs.levels import EVERYTHING
from services.domain.errors import FormatError
from services.gateway.answers import LogLevelAnswer, LogLevelsAnswer, answer
from services.gateway.bodies import LogLevelBody, NoQuery
from services.gateway.calls import Admitted, Call, admit
from services.gateway.errors import bad_input
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_body, parse_query


class LogAdminCalls:
    """GET and PUT /api/admin/log-level."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._levels = gateway.deps.log_levels

    def calls(self) -> list[Call]:
        common: dict[str, Any] = {
            "path": "/api/admin/log-level",
            "tag": "admin: logs",
            "answer": LogLevelsAnswer,
            "scope": Scope.ADMIN,
            "query": NoQuery,
        }
        example = {"level": "debug", "for_ms": 900_000}
        return [
            Call("GET", endpoint=self.show, summary="Log levels", **common),
            Call("PUT", endpoint=self.change, summary="Set a log level", body=LogLevelBody, example=example, **common),
        ]

    async def show(self, request: Request) -> Response:
        """What the process that answers writes; in the local form, that is all services."""
        await self._admit(request)
        return self._listed()

    async def change(self, request: Request) -> Response:
        """Changes what the process that answers writes, at once. Idempotent, and forgotten when the process ends."""
        admitted = await self._admit(request)
        body = parse_body(request, admitted.body, LogLevelBody)
        try:
            if body.level is None:
                self._levels.reset(None if body.logger == EVERYTHING else body.logger)
            else:
                self._levels.set(body.level, body.logger, body.for_ms)
        except FormatError as error:
            raise bad_input(f"Parameter 'logger': {error}.") from error
        self._gateway.event("log_level_set", by=admitted.caller.user_id, logger=body.logger, to=body.level or "start")
        return self._listed()

    async def _admit(self, request: Request) -> Admitted:
        admitted = await admit(self._gateway, request, Scope.ADMIN)
        parse_query(admitted.params, NoQuery)
        return admitted

    def _listed(self) -> Response:
        levels = [LogLevelAnswer(level.logger, level.level, level.until_ms) for level in self._levels.listed()]
        return answer(LogLevelsAnswer(levels))
