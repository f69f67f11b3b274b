"""API keys: made, sealed at rest, looked up, revoked.

A key has either a secret (HMAC, and tokens) or an Ed25519 public key of its owner. Both are stored sealed with
AES-GCM, bound to the key's name, so that a stored row can neither be read nor be swapped for another's.
"""

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from services.adapters.ports import Clock, KeyStore
from services.domain.errors import ConfigError, StoreUnavailable
from services.domain.rows import ApiKeyRow

MAX_CACHED: Final = 10_000
_NONCE_BYTES: Final = 12
_PEM_START: Final = b"-----BEGIN PUBLIC KEY-----"


class Scope(Enum):
    """What a key may do. None implies another; admin and treasury also let it name a foreign user_id."""

    READ = "read"
    TRADE = "trade"
    TREASURY = "treasury"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """A key, opened. secret: what signs (HMAC), or the PEM of an Ed25519 public key."""

    api_key: str
    user_id: int
    secret: bytes
    scopes: frozenset[str]
    revoked: bool

    @property
    def public_key(self) -> Ed25519PublicKey | None:
        """The owner's Ed25519 key, when it is a key of this kind."""
        # Anywhere: a PEM file may begin with comments, and a secret of ours never holds this.
        return parse_public_key(self.secret) if _PEM_START in self.secret else None


def parse_public_key(pem: bytes) -> Ed25519PublicKey | None:
    """The Ed25519 key in a PEM text; None when there is none."""
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def make_key(
    user_id: int, scopes: list[str], encryption_key: bytes, now_ms: int, public_key_pem: str = ""
) -> tuple[ApiKeyRow, str]:
    """A new key: the row for the store, and its secret, which nobody can read again.

    scopes: values of Scope. public_key_pem: an Ed25519 public key; then there is no secret, and it is empty.
    """
    api_key = secrets.token_hex(16)
    secret = "" if public_key_pem else secrets.token_urlsafe(32)
    sealed = seal((public_key_pem.strip() or secret).encode(), api_key, encryption_key)
    return ApiKeyRow(api_key, user_id, sealed, sorted(scopes), now_ms), secret


def seal(secret: bytes, api_key: str, encryption_key: bytes) -> bytes:
    """Encrypt a secret for the store."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(encryption_key).encrypt(nonce, secret, api_key.encode())


def unseal(sealed: bytes, api_key: str, encryption_key: bytes) -> bytes:
    """Decrypt a stored secret. Raises ConfigError when it was not sealed with this key for this name."""
    try:
        return AESGCM(encryption_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], api_key.encode())
    except (InvalidTag, ValueError) as error:
        raise ConfigError(f"API key {api_key}: its secret was not sealed with this encryption key") from error


OUTAGE_MS: Final = 600_000
"""How long a key that the store told of still counts while the store is away: trading needs no store, and who could
revoke the key needs one."""
PATIENCE_S: Final = 0.5
"""A store that takes longer to tell of a key that was known is taken for away …"""
AWAY_MS: Final = 1_000
"""… and not asked again for that long."""


class KeyRing:
    """Keys by name, remembered for `cache_ms`, so that not every request asks the store."""

    def __init__(self, store: KeyStore, clock: Clock, encryption_key: bytes, cache_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._encryption_key = encryption_key
        self._cache_ms = cache_ms
        self._cache: OrderedDict[str, tuple[int, ApiKey]] = OrderedDict()
        self._revocations = 0
        self._away_until_ms = 0

    async def get(self, api_key: str) -> ApiKey | None:
        """The key of this name when there is one that is not revoked."""
        now_ms = self._clock.time_ms()
        found = self._cache.get(api_key)
        if found is None or not 0 <= now_ms - found[0] < self._cache_ms:
            revocations = self._revocations
            try:
                row = await self._fetch(api_key, found, now_ms)
            except StoreUnavailable:
                if found is None or now_ms - found[0] >= OUTAGE_MS or revocations != self._revocations:
                    raise
                return None if found[1].revoked else found[1]
            if row is None:
                return None
            found = (now_ms, self._open(row))
            if revocations == self._revocations:
                # Else the row may be from before a key was revoked.
                self._remember(api_key, found)
        return None if found[1].revoked else found[1]

    async def _fetch(self, api_key: str, known: tuple[int, ApiKey] | None, now_ms: int) -> ApiKeyRow | None:
        """The store's row. Raises StoreUnavailable, and soon when the key is known."""
        if known is None:
            return await self._store.get_key(api_key)
        if now_ms < self._away_until_ms:
            raise StoreUnavailable("the store did not tell of a key a moment ago")
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await self._store.get_key(api_key)
        except (StoreUnavailable, TimeoutError) as error:
            self._away_until_ms = now_ms + AWAY_MS
            raise StoreUnavailable(f"the store does not tell of a key: {error!r}") from error

    async def create(self, user_id: int, scopes: list[str], public_key_pem: str = "") -> tuple[ApiKeyRow, str]:
        """Make and store a key; see `make_key`."""
        row, secret = make_key(user_id, scopes, self._encryption_key, self._clock.time_ms(), public_key_pem)
        await self._store.put_key(row)
        return row, secret

    async def of_user(self, user_id: int) -> list[ApiKeyRow]:
        """All keys of a user, revoked ones too, oldest first."""
        return await self._store.keys_of(user_id)

    async def revoke(self, user_id: int, api_key: str) -> ApiKeyRow | None:
        """End a key, and with it its tokens, at once. None when this user has no such key."""
        row = await self._store.get_key(api_key)
        if row is None or row.user_id != user_id:
            return None
        row.revoked = True
        await self._store.put_key(row)
        self._revocations += 1
        self._cache.pop(api_key, None)
        return row

    def _remember(self, api_key: str, found: tuple[int, ApiKey]) -> None:
        self._cache[api_key] = found
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)

    def _open(self, row: ApiKeyRow) -> ApiKey:
        secret = unseal(row.secret_encrypted, row.api_key, self._encryption_key)
        return ApiKey(row.api_key, row.user_id, secret, frozenset(row.scopes), row.revoked)
