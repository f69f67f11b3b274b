"""Looking at orders: open ones from ubscore's memory, closed ones from the store."""

import re
from typing import Any, Final

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from services.domain.rows import OrderRow
from services.gateway.answers import OrderAnswer, OrdersAnswer, StatisticsAnswer, answer
from services.gateway.bodies import FindOrderQuery, HistoryQuery, OrdersQuery, UserQuery
from services.gateway.calls import Call, admit
from services.gateway.cursors import parse_cursor
from services.gateway.errors import ApiError, Code, bad_input, not_found
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.order_finder import OrderFinder
from services.gateway.reading import parse_query
from services.gateway.rendering import order_from_row, order_from_view, statistics_answer

_ORDER_ID: Final = re.compile(r"[0-9]{1,16}", re.ASCII)


class OrderQueries:
    """GET below /api/orders."""

    def __init__(self, gateway: Gateway, finder: OrderFinder) -> None:
        self._gateway = gateway
        self._finder = finder

    def calls(self) -> list[Call]:
        common: dict[str, Any] = {"tag": "orders", "scope": Scope.READ, "method": "GET"}
        return [
            Call(
                path="/api/orders/active",
                endpoint=self.active,
                summary="Open orders",
                answer=OrdersAnswer,
                query=OrdersQuery,
                **common,
            ),
            Call(
                path="/api/orders/history",
                endpoint=self.history,
                summary="All orders by time",
                answer=OrdersAnswer,
                query=HistoryQuery,
                **common,
            ),
            Call(
                path="/api/orders/statistics",
                endpoint=self.statistics,
                summary="Totals by status",
                answer=StatisticsAnswer,
                query=UserQuery,
                **common,
            ),
            Call(
                path="/api/orders/{order_id}",
                endpoint=self.by_id,
                summary="One order",
                answer=OrderAnswer,
                query=UserQuery,
                refusals=(404, 504),
                examples={"order_id": 1},
                **common,
            ),
            Call(
                path="/api/orders",
                endpoint=self.by_cid,
                summary="One order by its client order id",
                answer=OrderAnswer,
                query=FindOrderQuery,
                refusals=(404, 504),
                examples={"cid": "test_1234567890"},
                **common,
            ),
        ]

    async def active(self, request: Request) -> Response:
        """The user's open orders, oldest first, as ubscore has them now: every answered command is in it."""
        admitted = await admit(self._gateway, request, Scope.READ)
        query = parse_query(admitted.params, OrdersQuery)
        user_id = admitted.caller.act_for(query.user_id)
        catalogue = self._gateway.catalogue
        if query.symbol is not None:
            await catalogue.symbol(query.symbol)
        views = await self._gateway.balances_of(user_id).open_orders(user_id, query.symbol)
        orders = [order_from_view(view, await catalogue.symbol(view.symbol)) for view in views]
        return answer(OrdersAnswer(orders))

    async def history(self, request: Request) -> Response:
        """The user's orders in their newest state, newest first, at most a second old. Page with `cursor`."""
        admitted = await admit(self._gateway, request, Scope.READ)
        query = parse_query(admitted.params, HistoryQuery)
        user_id = admitted.caller.act_for(query.user_id)
        if query.symbol is not None:
            await self._gateway.catalogue.symbol(query.symbol)
        before = None
        if query.cursor is not None:
            created_ms, order_id = parse_cursor(query.cursor, "cursor", int, int)
            before = (created_ms, order_id)
        rows = await self._gateway.queries.order_history(
            user_id, query.symbol, query.from_ms, query.to_ms, query.limit, before
        )
        orders = [order_from_row(row, await self._gateway.catalogue.symbol(row.symbol)) for row in rows]
        return answer(OrdersAnswer(orders, _cursor_after(rows) if len(rows) == query.limit else UNSET))

    async def statistics(self, request: Request) -> Response:
        """How many of the user's orders came to each status."""
        admitted = await admit(self._gateway, request, Scope.READ)
        user_id = admitted.caller.act_for(parse_query(admitted.params, UserQuery).user_id)
        return answer(statistics_answer(await self._gateway.queries.order_statistics(user_id)))

    async def by_id(self, request: Request) -> Response:
        """One order of the user, open or closed."""
        admitted = await admit(self._gateway, request, Scope.READ)
        user_id = admitted.caller.act_for(parse_query(admitted.params, UserQuery).user_id)
        text = request.path_params["order_id"]
        if _ORDER_ID.fullmatch(text) is None or not 0 < int(text) < 2**53:
            raise bad_input("Parameter 'order_id' must be a whole number above 0.")
        return self._answer(await self._finder.find(user_id, int(text)))

    async def by_cid(self, request: Request) -> Response:
        """The user's newest order with this client order id, open or closed: how to find out after a time-out."""
        admitted = await admit(self._gateway, request, Scope.READ)
        query = parse_query(admitted.params, FindOrderQuery)
        user_id = admitted.caller.act_for(query.user_id)
        return self._answer(await self._finder.find(user_id, 0, query.cid))

    def _answer(self, found: OrderAnswer | None) -> Response:
        if found is None:
            raise _no_such_order()
        return answer(found)


def _cursor_after(rows: list[OrderRow]) -> str:
    return f"{rows[-1].created_ms}:{rows[-1].order_id}"


def _no_such_order() -> ApiError:
    return not_found("Order does not exist.", Code.NO_SUCH_ORDER)
