"""What a user owns, and every change that led there."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from services.domain.rejects import Reject
from services.gateway.answers import BalancesAnswer, LedgerAnswer, answer
from services.gateway.bodies import LedgerQuery, UserQuery
from services.gateway.calls import Call, admit
from services.gateway.cursors import parse_cursor
from services.gateway.errors import rejected
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_query
from services.gateway.rendering import balance_answer, ledger_entry


class BalanceCalls:
    """GET /api/balances and /api/ledger."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/api/balances",
                self.balances,
                "balances",
                "Balances",
                BalancesAnswer,
                Scope.READ,
                query=UserQuery,
                refusals=(404,),
            ),
            Call(
                "GET",
                "/api/ledger",
                self.ledger,
                "balances",
                "Ledger entries",
                LedgerAnswer,
                Scope.READ,
                query=LedgerQuery,
            ),
        ]

    async def balances(self, request: Request) -> Response:
        """The user's balances, as ubscore has them now: every answered command is in them."""
        admitted = await admit(self._gateway, request, Scope.READ)
        user_id = admitted.caller.act_for(parse_query(admitted.params, UserQuery).user_id)
        reads = self._gateway.balances_of(user_id)
        if await reads.user_status(user_id) is None:
            raise rejected(Reject.UNKNOWN_USER)
        assets = (await self._gateway.catalogue.instruments()).assets
        views = await reads.balances(user_id)
        return answer(BalancesAnswer(user_id, [balance_answer(view, assets[view.asset]) for view in views]))

    async def ledger(self, request: Request) -> Response:
        """Every change of the user's balances, at most a second old. Page with `before`."""
        admitted = await admit(self._gateway, request, Scope.READ)
        query = parse_query(admitted.params, LedgerQuery)
        user_id = admitted.caller.act_for(query.user_id)
        if query.asset is not None:
            await self._gateway.catalogue.asset(query.asset)
        before = None
        if query.before is not None:
            asset, seq = parse_cursor(query.before, "before", str, int)
            before = (asset, seq)
        rows = await self._gateway.queries.ledger(user_id, query.asset, query.limit, before)
        assets = (await self._gateway.catalogue.instruments()).assets
        entries = [ledger_entry(row, assets[row.asset_id]) for row in rows]
        more = f"{rows[-1].asset_id}:{rows[-1].seq}" if len(rows) == query.limit else UNSET
        return answer(LedgerAnswer(user_id, entries, more))
