"""Getting a token."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.answers import TokenAnswer, answer
from services.gateway.bodies import LoginBody, NoQuery
from services.gateway.calls import Call, admit_anybody
from services.gateway.errors import ApiError
from services.gateway.gateway import Gateway
from services.gateway.reading import parse_body, parse_query, read_body

SHOWN: Final = 6
"""Characters of a key that is not good: enough to find it among those that are."""


class LoginCalls:
    """POST /api/auth/token."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        example = {"api_key": "0123456789abcdef0123456789abcdef", "secret_key": "as it was shown when the key was made"}
        return [
            Call(
                "POST",
                "/api/auth/token",
                self.token,
                "auth",
                "Get a token",
                TokenAnswer,
                body=LoginBody,
                example=example,
                query=NoQuery,
                refusals=(401, 503),
            ),
        ]

    async def token(self, request: Request) -> Response:
        """A bearer token for the key's owner, with the key's scopes. It ends with the key."""
        parse_query(admit_anybody(self._gateway, request), NoQuery)
        raw = await read_body(request, self._gateway.config.max_body_bytes)
        body = parse_body(request, raw, LoginBody)
        try:
            token, expires_in = await self._gateway.auth.log_in(body.api_key, body.secret_key)
        except ApiError:
            # Not the whole of it: whoever mixes the two up sends the secret here.
            self._gateway.event("login_refused", api_key=f"{body.api_key[:SHOWN]}…")
            raise
        response = answer(TokenAnswer(token, expires_in))
        response.headers["Cache-Control"] = "no-store"
        return response
