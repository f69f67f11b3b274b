"""Who is asking: a bearer token or a signed request, and what they may do."""

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from starlette.requests import HTTPConnection, Request

from services.adapters.ports import Clock
from services.gateway.deps import GatewayConfig
from services.gateway.errors import ApiError, Code, bad_input, forbidden, unauthorized
from services.gateway.keys import ApiKey, KeyRing, Scope
from services.gateway.limits import RateLimiter
from services.gateway.signatures import check_signature, read_times
from services.gateway.tokens import Claims, Tokens

MAX_REMEMBERED: Final = 10_000
_NO_SECRET: Final = b"\0" * 32


@dataclass(frozen=True)
class Caller:
    """Who is asking. not_after_ms: a command of this request must be written until then; 0: no limit."""

    user_id: int
    scopes: frozenset[str]
    not_after_ms: int = 0

    def require(self, scope: Scope) -> None:
        """Raises ApiError 403 when the caller does not have the scope."""
        if scope.value not in self.scopes:
            raise forbidden(f"This needs a key with scope {scope.value}.")

    def act_for(self, user_id: int | None) -> int:
        """The user that the call is about: the caller, when `user_id` is None.

        Raises ApiError 403 when it is somebody else and the caller is neither admin nor treasury.
        """
        if user_id is None or user_id == self.user_id:
            return self.user_id
        if self.scopes.isdisjoint((Scope.ADMIN.value, Scope.TREASURY.value)):
            raise forbidden("Parameter 'user_id' must be your own.")
        return user_id


class Authenticator:
    """Turns the credentials of a request into a Caller. Raises ApiError 401, or 429 when asked too often."""

    def __init__(self, config: GatewayConfig, clock: Clock, keys: KeyRing, limiter: RateLimiter) -> None:
        self._clock = clock
        self._keys = keys
        self._limiter = limiter
        self._tokens = Tokens(config.jwt_secret, config.token_lifetime_s, config.issuers, clock)
        self._verified: OrderedDict[str, tuple[Claims, Caller]] = OrderedDict()
        """Tokens that were good once, so that a busy client's is not verified at every request."""

    async def log_in(self, api_key: str, secret: str) -> tuple[str, int]:
        """A token for the key's owner, and its seconds of life."""
        key = await self._keys.get(api_key)
        # An unknown key takes as long as a wrong secret, and so does a key that has no secret at all.
        expected = key.secret if key is not None and key.public_key is None else _NO_SECRET
        good = hmac.compare_digest(expected, secret.encode())
        if key is None or key.public_key is not None or not good:
            raise unauthorized("Invalid API-key or secret.", Code.INVALID_KEY)
        return self._tokens.issue(key), self._tokens.lifetime_s

    async def caller(self, request: Request, params: dict[str, str], body: bytes, scope: Scope) -> Caller:
        """Who sent this request, checked to have `scope`.

        params: the query, decoded; body: as it was sent.
        """
        try:
            caller = await self._identify(request, params, body)
        except ApiError as error:
            if error.status == 401:
                self._limiter.take_anonymous(client_address(request))
            raise
        self._limiter.take_caller(caller.user_id)
        caller.require(scope)
        return caller

    async def bearer(self, token: str) -> Caller:
        """Who a token stands for now. Raises ApiError 401."""
        found = self._verified.get(token)
        if found is None:
            claims = self._tokens.verify(token)
            found = (claims, Caller(claims.user_id, claims.scopes))
            self._verified[token] = found
            if len(self._verified) > MAX_REMEMBERED:
                self._verified.popitem(last=False)
        claims, caller = found
        self._tokens.check_unexpired(claims)
        if claims.api_key and await self._keys.get(claims.api_key) is None:
            raise unauthorized("The token's key was revoked.")
        return caller

    async def _identify(self, request: Request, params: dict[str, str], body: bytes) -> Caller:
        headers = request.headers
        authorization = headers.get("authorization")
        if authorization is not None:
            kind, _, token = authorization.partition(" ")
            if kind.lower() != "bearer" or not token:
                raise unauthorized("The Authorization header must be: Bearer <token>.")
            return await self.bearer(token)
        api_key = headers.get("x-mbx-apikey")
        if api_key is not None:
            return await self._signed(api_key, request, params, body)
        raise unauthorized("Credentials are missing: send a bearer token, or sign the request.")

    async def _signed(self, api_key: str, request: Request, params: dict[str, str], body: bytes) -> Caller:
        key = await self._find(api_key)
        signature = params.get("signature")
        if signature is None:
            raise bad_input("Mandatory parameter 'signature' was not sent.", Code.MISSING_PARAMETER)
        times = read_times(params)
        check_signature(key, request.scope["query_string"].decode("latin-1"), body, signature)
        times.check(self._clock.time_ms())
        return Caller(key.user_id, key.scopes, times.not_after_ms)

    async def _find(self, api_key: str) -> ApiKey:
        key = await self._keys.get(api_key) if 0 < len(api_key) <= 64 and api_key.isalnum() else None
        if key is None:
            raise unauthorized("Invalid API-key, IP, or permissions for action.", Code.INVALID_KEY)
        return key


def client_address(connection: HTTPConnection) -> str:
    """Where a request (or a WebSocket) came from, as the server saw it."""
    return connection.client.host if connection.client is not None else ""
