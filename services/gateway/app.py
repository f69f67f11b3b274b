"""The gateway as an application.

    app = create_app(deps)              # deps: see `services.gateway.deps.GatewayDeps`
    await app.state.gateway.run()       # a task beside the server: writes commands, reads outcomes

The application starts nothing by itself; without the running task, commands get 503 and /health/ready says why.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services import __version__
from services.domain.errors import CoreUnavailable, LogError, StoreError
from services.gateway.answers import answer
from services.gateway.balances import BalanceCalls
from services.gateway.calls import Call
from services.gateway.console import console_routes
from services.gateway.deps import EventLogger, GatewayConfig, GatewayDeps, Issuer, RateLimit
from services.gateway.edge import Edge
from services.gateway.errors import ApiError, Code, Overloaded
from services.gateway.gateway import Gateway
from services.gateway.health import HealthCalls
from services.gateway.instruments_admin import InstrumentAdminCalls
from services.gateway.instruments_overview import InstrumentOverviewCalls
from services.gateway.live import LiveFeed
from services.gateway.login import LoginCalls
from services.gateway.logs_admin import LogAdminCalls
from services.gateway.market_data import MarketDataCalls
from services.gateway.openapi import document
from services.gateway.operations import OperationsCalls
from services.gateway.order_finder import OrderFinder
from services.gateway.order_queries import OrderQueries
from services.gateway.orders import OrderCalls
from services.gateway.state_admin import StateAdminCalls
from services.gateway.trades import TradeCalls
from services.gateway.transfers import TransferCalls
from services.gateway.users_admin import UserAdminCalls

__all__ = ["EventLogger", "Gateway", "GatewayConfig", "GatewayDeps", "Issuer", "RateLimit", "create_app"]

TITLE: Final = "Exchange"


def create_app(deps: GatewayDeps) -> FastAPI:
    """The REST API. `app.state.gateway` is its Gateway, whose `run` must be kept running beside it."""
    gateway = Gateway(deps)
    calls = _calls(gateway)
    # The documentation page brings its scripts along: it works where there is no internet.
    # Unknown paths must get our errors, so FastAPI's redirects from /path/ to /path are off.
    app = FastAPIOffline(title=TITLE, version=__version__, redirect_slashes=False)
    for call in calls:
        # Plain routes: reading and documents are our own, so FastAPI's work for each request would be for nothing.
        app.router.routes.append(_CallRoute(call.path, call.endpoint, methods=[call.method]))
    # Neither is a call of the API: a page for people, and what keeps it up to date.
    app.router.routes.extend([*console_routes(), LiveFeed(gateway).route()])
    app.state.gateway = gateway
    described: dict[str, Any] = document(calls, TITLE, __version__)
    app.openapi = lambda: described  # type: ignore[method-assign]
    _answer_errors(app, gateway)
    _answer_http_errors(app, calls)
    app.add_middleware(Edge, metrics=gateway.metrics, tracing=deps.tracing)
    return app


class _CallRoute(Route):
    """A plain route that leaves its name in the scope, for metrics and for 405 answers; FastAPI does so of its own."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        await super().handle(scope, receive, send)


def _calls(gateway: Gateway) -> list[Call]:
    finder = OrderFinder(gateway)
    nouns = (
        OrderCalls(gateway, finder),
        LoginCalls(gateway),
        OrderQueries(gateway, finder),
        BalanceCalls(gateway),
        TransferCalls(gateway),
        TradeCalls(gateway),
        MarketDataCalls(gateway),
        UserAdminCalls(gateway),
        InstrumentAdminCalls(gateway),
        InstrumentOverviewCalls(gateway),
        StateAdminCalls(gateway),
        LogAdminCalls(gateway),
        OperationsCalls(gateway),
        HealthCalls(gateway),
    )
    return [call for noun in nouns for call in noun.calls()]


def _answer_errors(app: FastAPI, gateway: Gateway) -> None:
    """Every error in one shape."""

    async def on_api_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        gateway.metrics.refused(error)
        response = answer(error.body, error.status)
        response.headers.update(error.headers or {})
        return response

    async def on_unavailable(request: Request, error: Exception) -> Response:
        # Commands turn their errors into ApiError themselves, so this was a query, or what comes before a command.
        gateway.event("query_failed", path=request.url.path, error=str(error))
        return await on_api_error(request, Overloaded("The data cannot be read at the moment; try again."))

    async def on_defect(request: Request, error: Exception) -> Response:
        gateway.event("defect", path=request.url.path, error=repr(error))
        return answer({"code": Code.UNKNOWN, "msg": "An unknown error occurred while processing the request."}, 500)

    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(StoreError, on_unavailable)
    app.add_exception_handler(LogError, on_unavailable)
    app.add_exception_handler(CoreUnavailable, on_unavailable)
    app.add_exception_handler(Exception, on_defect)


def _answer_http_errors(app: FastAPI, calls: list[Call]) -> None:
    """Unknown paths and methods, in the same shape."""
    methods: dict[str, list[str]] = {}
    for call in calls:
        methods.setdefault(call.path, []).append(call.method)

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            response = answer({"code": Code.NOT_FOUND, "msg": "The path does not take this method."}, 405)
            # Each of a path's methods is a route of its own, and starlette would name the first one's alone.
            path = getattr(request.scope.get("route"), "path", "")
            response.headers["Allow"] = ", ".join(methods.get(path, ["GET"]))
            return response
        msg = "There is no such path." if error.status_code == 404 else str(error.detail)
        return answer({"code": Code.NOT_FOUND, "msg": msg}, error.status_code)

    app.add_exception_handler(HTTPException, on_http_error)
