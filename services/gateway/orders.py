"""Placing and cancelling orders."""

from typing import Any

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from services.adapters.ports import BookReads
from services.domain.instruments import Symbol
from services.domain.messages import (
    CancelAll,
    CancelOrder,
    CommandRejected,
    MatchBody,
    OrderAccepted,
    OrderRejected,
    OrderRepeated,
    OrderUpdate,
    PlaceOrder,
)
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject
from services.gateway.answers import AckAnswer, OrderAnswer, OrdersAnswer, answer
from services.gateway.bodies import CancelAllBody, CancelBody, OrderBody, UserQuery
from services.gateway.calls import Admitted, Call, admit
from services.gateway.decimals import parse_amount, parse_price, parse_quantity
from services.gateway.errors import Code, ExecutionUnknown, bad_input, rejected
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.order_finder import OrderFinder
from services.gateway.outcomes import Outcome
from services.gateway.pricing import protection_price, reference_price
from services.gateway.reading import parse_body, parse_query
from services.gateway.rendering import order_from_update, taker_fills

_SIDES = {side.name: side for side in Side}
_TYPES = {kind.name: kind for kind in OrderType}
_TIMES = {time.name: time for time in TimeInForce}
_PREVENTIONS = {kind.name: kind for kind in SelfTradePrevention}


class OrderCalls:
    """POST /api/orders, /cancel and /cancel_all."""

    def __init__(self, gateway: Gateway, finder: OrderFinder) -> None:
        self._gateway = gateway
        self._dispatcher = gateway.dispatcher
        self._catalogue = gateway.catalogue
        self._finder = finder

    def calls(self) -> list[Call]:
        example = {
            "cid": "test_1234567890",
            "symbol": "BTC_USDT",
            "side": "Buy",
            "order_type": "Limit",
            "price": "50000.0",
            "quantity": "0.01",
        }
        one = {"cid": "test_1234567890"}
        common: dict[str, Any] = {"tag": "orders", "scope": Scope.TRADE, "query": UserQuery}
        return [
            Call(
                "POST",
                "/api/orders",
                self.place,
                summary="Place an order",
                answer=(OrderAnswer, AckAnswer),
                body=OrderBody,
                example=example,
                refusals=(404, 503, 504),
                **common,
            ),
            Call(
                "POST",
                "/api/orders/cancel",
                self.cancel,
                summary="Cancel an order",
                answer=OrderAnswer,
                body=CancelBody,
                example=one,
                refusals=(404, 503, 504),
                **common,
            ),
            Call(
                "POST",
                "/api/orders/cancel_all",
                self.cancel_all,
                summary="Cancel all orders",
                answer=OrdersAnswer,
                body=CancelAllBody,
                example={"symbol": "BTC_USDT"},
                refusals=(404, 503, 504),
                **common,
            ),
        ]

    async def place(self, request: Request) -> Response:
        """Checks the order, reserves what it needs, and matches it.

        `response` says how long to wait: ACK, until it is durable; RESULT, until its outcome is settled; FULL, with
        the fills. The same `cid` with the same order again gets the first order's state; so repeat after a time-out.
        """
        admitted = await admit(self._gateway, request, Scope.TRADE)
        user_id = _user_of(admitted)
        body = parse_body(request, admitted.body, OrderBody)
        symbol = await self._catalogue.symbol(body.symbol)
        command = await self._command(user_id, body, symbol)
        not_after_ms = admitted.caller.not_after_ms
        if body.response == "ACK":
            await self._dispatcher.record(command, user_id, not_after_ms)
            return answer(AckAnswer(command.cid, symbol.name, command.time_ms))
        outcome = await self._dispatcher.execute(command, user_id, not_after_ms)
        return answer(await self._placed(command, symbol, outcome, body.response == "FULL"))

    async def _command(self, user_id: int, body: OrderBody, symbol: Symbol) -> PlaceOrder:
        side, kind = _SIDES[body.side], _TYPES[body.order_type]
        market = kind == OrderType.Market
        _check_fields(body, market)
        price = 0 if body.price is None else parse_price(symbol, body.price)
        quantity = 0 if body.quantity is None else parse_quantity(symbol, body.quantity)
        amount = 0 if body.quote_quantity is None else parse_amount(symbol.quote, body.quote_quantity, "quote_quantity")
        reference, band = 0, symbol.settings.band_micros
        if market or band:
            depth = await self._book(symbol).depth(symbol.name, 1)
            reference = reference_price(depth)
            if market:
                price = protection_price(depth, side, band, self._gateway.config.market_band_micros)
                if price == 0:
                    raise rejected(Reject.NO_REFERENCE_PRICE)
        time_in_force = body.time_in_force or ("IOC" if market else "GTC")
        request_id = self._dispatcher.next_request_id()
        return PlaceOrder(
            request_id,
            self._gateway.clock.time_ms(),
            user_id,
            body.cid or f"x-{request_id:x}",
            symbol.name,
            side,
            kind,
            _TIMES[time_in_force],
            _PREVENTIONS[body.self_trade_prevention],
            price,
            quantity,
            amount,
            reference,
        )

    def _book(self, symbol: Symbol) -> BookReads:
        return self._gateway.deps.books[symbol.settings.matcher_shard]

    async def _placed(self, command: PlaceOrder, symbol: Symbol, outcome: Outcome, full: bool) -> OrderAnswer:
        """The answer to an order. Raises ApiError when it was refused."""
        event = outcome.event
        if isinstance(event, OrderAccepted):
            body = outcome.results[event.order_id]
            update = _last_update(body, event.order_id)
            self._tell(command, event.order_id, update.status.name, event.change.event_id)
            if update.status == OrderStatus.Rejected:
                raise _order_rejected(update.code, event.order_id, command.cid)
            placed = order_from_update(update, symbol)
            if full:
                placed.fills = taker_fills(body, command.side, symbol)
            return placed
        assert isinstance(event, OrderRejected | OrderRepeated), event
        self._tell(command, event.order_id, event.code.name, "")
        if event.code != Reject.NONE:
            raise _order_rejected(event.code, event.order_id, command.cid)
        return await self._repeated(command, event.order_id)

    async def _repeated(self, command: PlaceOrder, order_id: int) -> OrderAnswer:
        found = await self._finder.find(command.user_id, order_id)
        if found is None:
            # It was closed a moment ago, and the store is late: the order exists, but not what became of it.
            raise ExecutionUnknown
        if found.order_status == OrderStatus.Rejected.name:
            # ubscore had accepted it, and the matcher refuses nothing but post-only orders that would take.
            raise _order_rejected(Reject.WOULD_TAKE_LIQUIDITY, order_id, command.cid)
        return found

    def _tell(self, command: PlaceOrder, order_id: int, status: str, event_id: str) -> None:
        self._gateway.event(
            "order_answered",
            request_id=command.request_id,
            user_id=command.user_id,
            order_id=order_id,
            cid=command.cid,
            symbol=command.symbol,
            status=status,
            event_id=event_id,
        )

    async def cancel(self, request: Request) -> Response:
        """Cancels one open order by `order_id` or `cid`. What it still reserves is released before the answer."""
        admitted = await admit(self._gateway, request, Scope.TRADE)
        user_id = _user_of(admitted)
        body = parse_body(request, admitted.body, CancelBody)
        if (body.order_id is None) == (body.cid is None):
            raise bad_input("Send exactly one of 'order_id' and 'cid'.", Code.MISSING_PARAMETER)
        request_id = self._dispatcher.next_request_id()
        now_ms = self._gateway.clock.time_ms()
        command = CancelOrder(request_id, now_ms, user_id, body.order_id or 0, body.cid or "")
        outcome = await self._dispatcher.execute(command, user_id, admitted.caller.not_after_ms)
        event = outcome.event
        if isinstance(event, CommandRejected):
            raise rejected(event.code)
        (result,) = outcome.results.values()
        if result.code != Reject.NONE:
            raise rejected(result.code, order_id=result.order_id)
        (cancelled,) = await self._cancelled([result])
        self._gateway.event("order_cancelled", request_id=request_id, user_id=user_id, order_id=cancelled.order_id)
        return answer(cancelled)

    async def cancel_all(self, request: Request) -> Response:
        """Cancels every open order, of one symbol or of all, and answers with those that were cancelled."""
        admitted = await admit(self._gateway, request, Scope.TRADE)
        user_id = _user_of(admitted)
        body = parse_body(request, admitted.body, CancelAllBody)
        if body.symbol is not None:
            await self._catalogue.symbol(body.symbol)
        request_id = self._dispatcher.next_request_id()
        command = CancelAll(request_id, self._gateway.clock.time_ms(), user_id, body.symbol or "")
        outcome = await self._dispatcher.execute(command, user_id, admitted.caller.not_after_ms)
        event = outcome.event
        if isinstance(event, CommandRejected):
            raise rejected(event.code)
        # An order that was filled while its cancel was on its way is refused by the matcher, and left out.
        done = [result for result in outcome.results.values() if result.code == Reject.NONE]
        cancelled = await self._cancelled(done)
        self._gateway.event("orders_cancelled", request_id=request_id, user_id=user_id, count=len(cancelled))
        return answer(OrdersAnswer(cancelled, UNSET))

    async def _cancelled(self, results: list[MatchBody]) -> list[OrderAnswer]:
        return [
            order_from_update(_last_update(body, body.order_id), await self._catalogue.symbol(body.symbol))
            for body in results
        ]


def _user_of(admitted: Admitted) -> int:
    return admitted.caller.act_for(parse_query(admitted.params, UserQuery).user_id)


def _check_fields(body: OrderBody, market: bool) -> None:
    """Which of price, quantity and quote_quantity the order's type needs. Raises ApiError 400."""
    if market:
        if body.price is not None:
            raise bad_input("Parameter 'price' sent when not required.", Code.PARAMETER_NOT_REQUIRED)
        if (body.quantity is None) == (body.quote_quantity is None):
            raise bad_input("Send exactly one of 'quantity' and 'quote_quantity'.", Code.MISSING_PARAMETER)
        return
    for name, value in (("price", body.price), ("quantity", body.quantity)):
        if value is None:
            raise bad_input(f"Mandatory parameter '{name}' was not sent.", Code.MISSING_PARAMETER)
    if body.quote_quantity is not None:
        raise bad_input("Parameter 'quote_quantity' sent when not required.", Code.PARAMETER_NOT_REQUIRED)


def _last_update(body: MatchBody, order_id: int) -> OrderUpdate:
    """The newest state of an order in a result that is about it."""
    return next(update for update in reversed(body.updates) if update.order_id == order_id)


def _order_rejected(code: Reject, order_id: int, cid: str) -> Exception:
    return rejected(code, order_id=order_id, cid=cid, order_status=OrderStatus.Rejected.name)
