"""Funds that come in and go out."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.domain.messages import (
    BalanceChange,
    TransferCompleted,
    TransferIn,
    TransferOut,
    TransferRejected,
    TransferRepeated,
)
from services.domain.money import format_units
from services.domain.rejects import Reject
from services.gateway.answers import TransferAnswer, answer
from services.gateway.bodies import NoQuery, TransferBody
from services.gateway.calls import Call, admit
from services.gateway.decimals import parse_amount
from services.gateway.errors import rejected
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope
from services.gateway.reading import parse_body, parse_query


class TransferCalls:
    """POST /api/transfers/in and /out, and their short names."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        incoming = {"transfer_id": "t-1", "user_id": 1001, "asset": "BTC", "amount": "1.5"}
        outgoing = {"transfer_id": "t-2", "user_id": 1001, "asset": "BTC", "amount": "0.5"}
        common: dict[str, Any] = {
            "method": "POST",
            "tag": "transfers",
            "answer": TransferAnswer,
            "scope": Scope.TREASURY,
            "body": TransferBody,
            "query": NoQuery,
            "refusals": (404, 409, 503, 504),
        }
        calls = []
        for path in ("/api/transfers/in", "/transfer_in"):
            calls.append(
                Call(path=path, endpoint=self.transfer_in, summary="Deposit funds", example=incoming, **common)
            )
        for path in ("/api/transfers/out", "/transfer_out"):
            calls.append(
                Call(path=path, endpoint=self.transfer_out, summary="Withdraw funds", example=outgoing, **common)
            )
        return calls

    async def transfer_in(self, request: Request) -> Response:
        """Credits a user. The same transfer sent again takes effect once and gets the first answer."""
        return await self._transfer(request, TransferIn)

    async def transfer_out(self, request: Request) -> Response:
        """Debits a user, of what is available. Idempotent by `transfer_id`, also when it was refused."""
        return await self._transfer(request, TransferOut)

    async def _transfer(self, request: Request, kind: type[TransferIn] | type[TransferOut]) -> Response:
        admitted = await admit(self._gateway, request, Scope.TREASURY)
        parse_query(admitted.params, NoQuery)
        body = parse_body(request, admitted.body, TransferBody)
        asset = await self._gateway.catalogue.asset(body.asset)
        amount = parse_amount(asset, body.amount, "amount")
        dispatcher = self._gateway.dispatcher
        request_id, now_ms = dispatcher.next_request_id(), self._gateway.clock.time_ms()
        command = kind(request_id, now_ms, body.transfer_id, body.user_id, asset.name, amount)
        outcome = await dispatcher.execute(command, body.user_id, admitted.caller.not_after_ms)
        event = outcome.event
        assert isinstance(event, TransferCompleted | TransferRejected | TransferRepeated), event
        change = None if isinstance(event, TransferRejected) else event.change
        code = Reject.NONE if isinstance(event, TransferCompleted) else event.code
        self._tell(command, code, change)
        if change is None:
            raise rejected(code)
        return answer(
            TransferAnswer(
                "Completed",
                body.transfer_id,
                change.event_id,
                change.user_id,
                change.asset,
                format_units(change.available, asset.scale),
                format_units(change.reserved, asset.scale),
            )
        )

    def _tell(self, command: TransferIn | TransferOut, code: Reject, change: BalanceChange | None) -> None:
        self._gateway.event(
            "transfer_answered",
            request_id=command.request_id,
            transfer_id=command.transfer_id,
            user_id=command.user_id,
            asset=command.asset,
            code=code.name,
            event_id=change.event_id if change is not None else "",
        )
