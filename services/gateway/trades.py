"""Settled trades: a user's own, or a symbol's without whose they were."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.answers import TradesAnswer, answer
from services.gateway.bodies import TradesQuery
from services.gateway.calls import Call, admit, admit_anybody
from services.gateway.cursors import parse_cursor
from services.gateway.errors import Code, bad_input
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_query, read_query
from services.gateway.rendering import own_trade, public_trade


class TradeCalls:
    """GET /api/trades."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        return [
            Call(
                "GET",
                "/api/trades",
                self.trades,
                "trades",
                "Settled trades",
                TradesAnswer,
                query=TradesQuery,
                examples={"symbol": "BTC_USDT"},
                refusals=(401, 403),
            ),
        ]

    async def trades(self, request: Request) -> Response:
        """With `user_id`: that user's trades, with fees, for who may see them (scope read). With `symbol` alone:
        everybody's, without whose they were, for anybody. At most a second old. Page with `cursor`.
        """
        if "user_id" not in read_query(request):
            return await self._of_symbol(parse_query(admit_anybody(self._gateway, request), TradesQuery))
        admitted = await admit(self._gateway, request, Scope.READ)
        query = parse_query(admitted.params, TradesQuery)
        return await self._of_user(query, admitted.caller.act_for(query.user_id))

    async def _of_symbol(self, query: TradesQuery) -> Response:
        if query.symbol is None:
            raise bad_input("Mandatory parameter 'symbol' or 'user_id' was not sent.", Code.MISSING_PARAMETER)
        symbol = await self._gateway.catalogue.symbol(query.symbol)
        before = parse_cursor(query.cursor, "cursor", int)[0] if query.cursor is not None else None
        rows = await self._gateway.queries.trades_by_symbol(symbol.name, query.limit, before)
        more = str(rows[-1].trade_id) if len(rows) == query.limit else UNSET
        return answer(TradesAnswer([public_trade(row, symbol) for row in rows], more))

    async def _of_user(self, query: TradesQuery, user_id: int) -> Response:
        catalogue = self._gateway.catalogue
        if query.symbol is not None:
            await catalogue.symbol(query.symbol)
        before = None
        if query.cursor is not None:
            time_ms, name, trade_id = parse_cursor(query.cursor, "cursor", int, str, int)
            before = (time_ms, name, trade_id)
        rows = await self._gateway.queries.trades_by_user(user_id, query.symbol, query.limit, before)
        trades = [own_trade(row, await catalogue.symbol(row.symbol), user_id) for row in rows]
        last = rows[-1] if len(rows) == query.limit else None
        return answer(TradesAnswer(trades, f"{last.time_ms}:{last.symbol}:{last.trade_id}" if last else UNSET))
