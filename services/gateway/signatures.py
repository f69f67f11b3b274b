"""Signed requests: X-MBX-APIKEY, and a signature over the query string plus the body (API.md section 3)."""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature

from services.gateway.errors import ApiError, Code, StaleTimestamp, bad_input
from services.gateway.keys import ApiKey

SIGNING_PARAMETERS: Final = frozenset({"signature", "timestamp", "recvWindow"})
"""Query parameters that belong to the signature, not to the call."""
AHEAD_MS: Final = 1_000
DEFAULT_WINDOW_MS: Final = 5_000
MAX_WINDOW_MS: Final = 60_000

_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)
_SIGNATURE = re.compile(r"&signature=[^&]*|^signature=[^&]*&?")


@dataclass(frozen=True)
class SignedTimes:
    """When a request was signed, and how long after that it may be taken."""

    timestamp_ms: int
    window_ms: int

    @property
    def not_after_ms(self) -> int:
        return self.timestamp_ms + self.window_ms

    def check(self, now_ms: int) -> None:
        """Raises StaleTimestamp unless timestamp < now + 1 s and now - timestamp <= recvWindow."""
        if self.timestamp_ms >= now_ms + AHEAD_MS:
            raise StaleTimestamp("Timestamp for this request was 1000ms ahead of the server's time.")
        if now_ms > self.not_after_ms:
            raise StaleTimestamp


def read_times(params: dict[str, str]) -> SignedTimes:
    """`timestamp` and `recvWindow` of the query. Raises ApiError when they are missing or no numbers."""
    timestamp = params.get("timestamp")
    if timestamp is None:
        raise bad_input("Mandatory parameter 'timestamp' was not sent.", Code.MISSING_PARAMETER)
    window = params.get("recvWindow", str(DEFAULT_WINDOW_MS))
    for name, text in (("timestamp", timestamp), ("recvWindow", window)):
        if _WHOLE.fullmatch(text) is None:
            raise bad_input(f"Parameter '{name}' must be a whole number of milliseconds.")
    if int(window) > MAX_WINDOW_MS:
        raise bad_input(f"Parameter 'recvWindow' must be at most {MAX_WINDOW_MS}.")
    return SignedTimes(int(timestamp), int(window))


def check_signature(key: ApiKey, query: str, body: bytes, signature: str) -> None:
    """Raises ApiError -1022 unless `signature` is the key's over the query string (without it) plus the body.

    query: the raw query string, as it was sent, in latin-1.
    """
    payload = _SIGNATURE.sub("", query).encode("latin-1") + body
    public_key = key.public_key
    if public_key is None:
        expected = hmac.new(key.secret, payload, hashlib.sha256).hexdigest().encode()
        good = hmac.compare_digest(expected, signature.lower().encode())
    else:
        try:
            public_key.verify(base64.b64decode(signature, validate=True), payload)
            good = True
        except (InvalidSignature, binascii.Error, ValueError):
            good = False
    if not good:
        raise ApiError(401, Code.INVALID_SIGNATURE, "Signature for this request is not valid.")
