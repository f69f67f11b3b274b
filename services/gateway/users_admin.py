"""Administration of accounts and their keys."""

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from services.domain.messages import CommandRejected, CreateUser, SetUserStatus, UserUpdated
from services.domain.money import MAX_AMOUNT
from services.domain.rejects import Reject
from services.gateway.answers import KeyAnswer, KeysAnswer, UserAnswer, answer
from services.gateway.auth import Caller
from services.gateway.bodies import EmptyBody, NewKeyBody, NewUserBody, NoQuery
from services.gateway.calls import Admitted, Call, admit
from services.gateway.errors import bad_input, not_found, rejected
from services.gateway.gateway import Gateway
from services.gateway.keys import Scope, parse_public_key
from services.gateway.reading import parse_body, parse_query
from services.gateway.rendering import key_answer

_USER_ID: Final = re.compile(r"[0-9]{1,19}", re.ASCII)


class UserAdminCalls:
    """Below /api/admin/users."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        one = "/api/admin/users/{user_id}"
        common: dict[str, Any] = {"tag": "admin: users", "scope": Scope.ADMIN, "query": NoQuery}
        user = {"user_id": 1001}
        write = (404, 503, 504)
        return [
            Call(
                "POST",
                "/api/admin/users",
                self.create,
                summary="Open an account",
                answer=UserAnswer,
                body=NewUserBody,
                example=user,
                refusals=(503, 504),
                **common,
            ),
            Call(
                "GET", one, self.show, summary="An account", answer=UserAnswer, refusals=(404,), examples=user, **common
            ),
            Call(
                "POST",
                f"{one}/suspend",
                self.suspend,
                summary="Suspend an account",
                answer=UserAnswer,
                body=EmptyBody,
                example={},
                refusals=write,
                examples=user,
                **common,
            ),
            Call(
                "POST",
                f"{one}/resume",
                self.resume,
                summary="Resume an account",
                answer=UserAnswer,
                body=EmptyBody,
                example={},
                refusals=write,
                examples=user,
                **common,
            ),
            Call(
                "POST",
                f"{one}/keys",
                self.create_key,
                summary="Make an API key",
                answer=KeyAnswer,
                body=NewKeyBody,
                example={"scopes": ["read", "trade"]},
                refusals=(404, 503),
                examples=user,
                **common,
            ),
            Call(
                "GET",
                f"{one}/keys",
                self.keys,
                summary="API keys of a user",
                answer=KeysAnswer,
                examples=user,
                **common,
            ),
            Call(
                "DELETE",
                one + "/keys/{api_key}",
                self.revoke_key,
                summary="Revoke an API key",
                answer=KeyAnswer,
                refusals=(404, 503),
                examples={**user, "api_key": "0123456789abcdef"},
                **common,
            ),
        ]

    async def create(self, request: Request) -> Response:
        """Opens an account. Idempotent."""
        admitted = await self._admit(request)
        body = parse_body(request, admitted.body, NewUserBody)
        dispatcher = self._gateway.dispatcher
        command = CreateUser(dispatcher.next_request_id(), self._gateway.clock.time_ms(), body.user_id)
        return await self._updated(command, admitted.caller)

    async def show(self, request: Request) -> Response:
        """Whether there is such an account, and whether it is suspended."""
        await self._admit(request)
        user_id = _user_id(request)
        return answer(UserAnswer(user_id, await self._suspended(user_id)))

    async def suspend(self, request: Request) -> Response:
        """No orders and no withdrawals any more; cancels and deposits go on. Idempotent."""
        return await self._set_status(request, suspended=True)

    async def resume(self, request: Request) -> Response:
        """Everything is allowed again. Idempotent."""
        return await self._set_status(request, suspended=False)

    async def create_key(self, request: Request) -> Response:
        """Makes a key for an account. The secret is in this answer and nowhere else."""
        admitted = await self._admit(request)
        user_id = _user_id(request)
        body = parse_body(request, admitted.body, NewKeyBody)
        if len({*body.scopes}) != len(body.scopes):
            raise bad_input("Parameter 'scopes' holds a scope twice.")
        if body.public_key and parse_public_key(body.public_key.strip().encode()) is None:
            raise bad_input("Parameter 'public_key' must be an Ed25519 public key in PEM.")
        await self._suspended(user_id)
        row, secret = await self._gateway.keys.create(user_id, list(body.scopes), body.public_key)
        self._tell("key_created", admitted.caller, user_id=user_id, api_key=row.api_key, scopes=row.scopes)
        return answer(key_answer(row, secret))

    async def keys(self, request: Request) -> Response:
        """All keys of a user, without their secrets; revoked ones too."""
        await self._admit(request)
        rows = await self._gateway.keys.of_user(_user_id(request))
        return answer(KeysAnswer([key_answer(row) for row in rows]))

    async def revoke_key(self, request: Request) -> Response:
        """Ends a key and every token that was given for it, at once. Idempotent."""
        admitted = await self._admit(request)
        user_id = _user_id(request)
        row = await self._gateway.keys.revoke(user_id, request.path_params["api_key"][:64])
        if row is None:
            raise not_found("The user has no such key.")
        self._tell("key_revoked", admitted.caller, user_id=user_id, api_key=row.api_key)
        return answer(key_answer(row))

    async def _admit(self, request: Request) -> Admitted:
        admitted = await admit(self._gateway, request, Scope.ADMIN)
        parse_query(admitted.params, NoQuery)
        return admitted

    async def _suspended(self, user_id: int) -> bool:
        suspended = await self._gateway.balances_of(user_id).user_status(user_id)
        if suspended is None:
            raise rejected(Reject.UNKNOWN_USER)
        return suspended

    async def _set_status(self, request: Request, suspended: bool) -> Response:
        admitted = await self._admit(request)
        user_id = _user_id(request)
        if admitted.body:
            parse_body(request, admitted.body, EmptyBody)
        request_id = self._gateway.dispatcher.next_request_id()
        command = SetUserStatus(request_id, self._gateway.clock.time_ms(), user_id, suspended)
        return await self._updated(command, admitted.caller)

    async def _updated(self, command: CreateUser | SetUserStatus, caller: Caller) -> Response:
        outcome = await self._gateway.dispatcher.execute(command, command.user_id, caller.not_after_ms)
        event = outcome.event
        if isinstance(event, CommandRejected):
            raise rejected(event.code)
        assert isinstance(event, UserUpdated), event
        self._tell("user_updated", caller, user_id=event.user_id, suspended=event.suspended)
        return answer(UserAnswer(event.user_id, event.suspended))

    def _tell(self, event: str, caller: Caller, **fields: object) -> None:
        self._gateway.event(event, by=caller.user_id, **fields)


def _user_id(request: Request) -> int:
    text = request.path_params["user_id"]
    if _USER_ID.fullmatch(text) is None or not 0 < int(text) <= MAX_AMOUNT:
        raise bad_input("Parameter 'user_id' must be a whole number above 0.")
    return int(text)
