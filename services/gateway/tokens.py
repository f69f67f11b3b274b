"""Bearer tokens: our own (HS256) and those of configured issuers (RS256, EdDSA).

The algorithm is fixed by who issued the token, never by what the token says of itself. Times are checked against the
gateway's clock.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from services.adapters.ports import Clock
from services.domain.money import MAX_AMOUNT
from services.gateway.deps import Issuer
from services.gateway.errors import unauthorized
from services.gateway.keys import ApiKey, Scope

OWN_ISSUER: Final = "exchange"
SCOPES: Final = frozenset(scope.value for scope in Scope)
MAX_TOKEN_LENGTH: Final = 8_192
_OPTIONS: Final[Any] = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


@dataclass(frozen=True)
class Claims:
    """What a good token says. api_key: of the key it was given for; empty when somebody else issued it."""

    user_id: int
    scopes: frozenset[str]
    expires_s: float
    api_key: str = ""


class Tokens:
    """Issues and verifies tokens."""

    def __init__(self, secret: bytes, lifetime_s: int, issuers: Sequence[Issuer], clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self.lifetime_s = lifetime_s

    def issue(self, key: ApiKey) -> str:
        """A token for the owner of `key`, with its scopes; it ends with the key."""
        now_s = self._clock.time_ms() // 1000
        claims = {
            "iss": OWN_ISSUER,
            "sub": str(key.user_id),
            "scope": " ".join(sorted(key.scopes)),
            "iat": now_s,
            "exp": now_s + self.lifetime_s,
            "jti": secrets.token_hex(8),
            "key": key.api_key,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def verify(self, token: str) -> Claims:
        """What the token says. Raises ApiError 401 when it is not good (any more)."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise unauthorized("The token is too long.")
        try:
            payload = self._decode(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise unauthorized("The token is not valid.") from error
        claims = _read_claims(payload)
        self._check_times(payload, claims)
        return claims

    def check_unexpired(self, claims: Claims) -> None:
        """Raises ApiError 401 when the token is over."""
        if self._clock.time_ms() >= claims.expires_s * 1000:
            raise unauthorized("The token has expired.")

    def _decode(self, token: str) -> dict[str, Any]:
        said = jwt.decode(token, options={"verify_signature": False})
        name = said.get("iss")
        if name == OWN_ISSUER:
            payload: dict[str, Any] = jwt.decode(token, self._secret, algorithms=["HS256"], options=_OPTIONS)
            return payload
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise unauthorized("The token's issuer is not known.")
        payload = jwt.decode(token, issuer.public_key_pem, algorithms=[issuer.algorithm], options=_OPTIONS)
        _check_audience(payload, issuer)
        # Only our own tokens stand for one of our keys.
        payload.pop("key", None)
        return payload

    def _check_times(self, payload: dict[str, Any], claims: Claims) -> None:
        self.check_unexpired(claims)
        not_before = payload.get("nbf", 0)
        # Written so that NaN, which json takes for a number, is refused.
        if not (isinstance(not_before, int | float) and not_before * 1000 <= self._clock.time_ms()):
            raise unauthorized("The token is not valid yet.")


def _check_audience(payload: dict[str, Any], issuer: Issuer) -> None:
    said = payload.get("aud")
    audiences = said if isinstance(said, list) else [said]
    if issuer.audience and issuer.audience not in audiences:
        raise unauthorized("The token is for another audience.")


def _read_claims(payload: dict[str, Any]) -> Claims:
    subject, scope, expires = payload.get("sub"), payload.get("scope", ""), payload.get("exp")
    if not (isinstance(subject, str) and len(subject) <= 19 and subject.isascii() and subject.isdigit()):
        raise unauthorized("The token's sub must be a user id.")
    if not isinstance(scope, str) or not isinstance(expires, int | float) or isinstance(expires, bool):
        raise unauthorized("The token must have a scope and an exp.")
    if not 0 < expires <= MAX_AMOUNT:  # NaN and Infinity are numbers to json
        raise unauthorized("The token must expire.")
    if not 0 < int(subject) <= MAX_AMOUNT:
        raise unauthorized("The token's sub must be a user id.")
    key = payload.get("key", "")
    return Claims(int(subject), frozenset(scope.split()) & SCOPES, expires, key if isinstance(key, str) else "")
