"""What the cores hold in memory, as a digest: for `exchange verify` on a running exchange."""

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.answers import CoreAnswer, CoresAnswer, answer
from services.gateway.bodies import NoQuery
from services.gateway.calls import Call, admit
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_query


class StateAdminCalls:
    """GET /api/admin/state."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/api/admin/state",
                self.show,
                tag="admin: state",
                summary="Digests of the cores",
                answer=CoresAnswer,
                scope=Scope.ADMIN,
                query=NoQuery,
                refusals=(503,),
            )
        ]

    async def show(self, request: Request) -> Response:
        """Position and digest of every core; folding the log up to that position must give the same."""
        admitted = await admit(self._gateway, request, Scope.ADMIN)
        parse_query(admitted.params, NoQuery)
        states = await self._gateway.deps.states()
        return answer(CoresAnswer([CoreAnswer(core.source, core.next_offset, core.digest.hex()) for core in states]))
