"""Two files about keys: the secret that encrypts the store's, and the first keys for whoever set it up.

    secret.key        32 random bytes, made once; all of the exchange's own secrets come from it. Without it the
                      secrets of API keys in the store cannot be read.
    credentials.json  {"admin": {"api_key": …, "secret_key": …}, "users": {"1001": {…}}}

Both have mode 0600. The local form makes them in DATA_DIR; for the distributed one `exchange keys` makes them, and the
settings say where they are.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from services.adapters.files import make_folder, sync_folder
from services.adapters.ports import KeyStore
from services.config import Settings
from services.domain.errors import ConfigError
from services.domain.rows import ApiKeyRow
from services.gateway.keys import Scope, seal, unseal
from services.runtime.layout import STORE_FILE

KEY_FILE: Final = "secret.key"
KEY_BYTES: Final = 32
CREDENTIALS_FILE: Final = "credentials.json"

ADMIN_USER_ID: Final = 1
"""Whom the admin key belongs to. It needs no account: it owns nothing."""
ADMIN_SCOPES: Final[Sequence[Scope]] = (Scope.ADMIN, Scope.READ, Scope.TREASURY)
USER_SCOPES: Final[Sequence[Scope]] = (Scope.READ, Scope.TRADE)


class Secrets(NamedTuple):
    """What the exchange keeps to itself."""

    encryption_key: bytes
    """Seals the secrets of API keys in the store. 32 bytes."""
    jwt_secret: bytes
    """Signs bearer tokens. 32 bytes."""
    internal_token: str
    """By which the exchange's processes know each other."""


class ApiCredentials(msgspec.Struct, frozen=True):
    """A key and its secret, in plain text."""

    api_key: str
    secret_key: str


class Credentials(msgspec.Struct, frozen=True):
    """The first keys: the admin's, and those of demo users by user id."""

    admin: ApiCredentials
    users: dict[str, ApiCredentials] = {}


def new_files() -> dict[str, bytes]:
    """A new exchange's two files, by their names, for whoever keeps them somewhere else than in a folder."""
    return {KEY_FILE: _new_key(), CREDENTIALS_FILE: _encode(Credentials(_new()))}


def load_secrets(data_dir: Path) -> Secrets:
    """The folder's secrets; a new folder's key is made. Raises ConfigError when it is damaged, or lost."""
    path = data_dir / KEY_FILE
    if not path.exists():
        if (data_dir / STORE_FILE).exists():
            raise ConfigError(
                f"{path}: is missing, and the store's keys are sealed with it; bring it back from a backup"
            )
        _write(path, _new_key())
    return read_secrets(path)


def read_secrets(path: Path) -> Secrets:
    """What comes from the secret in this file. Raises ConfigError when it cannot be read or is damaged."""
    key = _read(path)
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path}: has {len(key)} bytes, wants {KEY_BYTES}; bring it back from a backup")
    return Secrets(_derive(key, b"api keys"), _derive(key, b"tokens"), _derive(key, b"internal").hex())


def secrets_of(settings: Settings) -> Secrets:
    """What comes from the secret that the settings name. Raises ConfigError, which says how to make one."""
    return read_secrets(_named(settings.auth.secret_key_file, "secretKeyFile"))


def credentials_of(settings: Settings) -> Credentials:
    """The first keys, from the file that the settings name. Raises ConfigError, which says how to make them."""
    return read_credentials_file(_named(settings.auth.credentials_file, "credentialsFile"))


def _named(path: str, key: str) -> Path:
    if not path:
        raise ConfigError(
            f"key `auth.{key}` is missing: `exchange keys FOLDER` makes {KEY_FILE} and {CREDENTIALS_FILE}"
        )
    return Path(path)


def read_credentials(data_dir: Path) -> Credentials:
    """What credentials.json holds. Raises ConfigError when there is none or it is damaged."""
    return read_credentials_file(data_dir / CREDENTIALS_FILE)


def read_credentials_file(path: Path) -> Credentials:
    """As `read_credentials`, of this file."""
    try:
        credentials = msgspec.json.decode(_read(path), type=Credentials)
        for user in credentials.users:
            if not (user.isascii() and user.isdigit() and 0 < int(user) < 2**63):
                raise msgspec.ValidationError(f"user {user[:100]!r}: wants a whole number above 0")
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}; correct it, or remove it to get new keys") from error
    return credentials


def load_credentials(data_dir: Path, user_ids: Sequence[int] = ()) -> Credentials:
    """The folder's first keys. Makes those that are missing: the admin's, and one for each of `user_ids`."""
    path = data_dir / CREDENTIALS_FILE
    before = read_credentials(data_dir) if path.exists() else None
    users = dict(before.users) if before else {}
    for user_id in user_ids:
        users.setdefault(str(user_id), _new())
    after = Credentials(before.admin if before else _new(), users)
    if after != before:
        _write(path, _encode(after))
    return after


async def register_keys(credentials: Credentials, keys: KeyStore, encryption_key: bytes, time_ms: int) -> None:
    """Make the store know the keys that it does not know; one that was revoked stays revoked.

    Raises ConfigError when the store's were sealed with another encryption key.
    """
    owners = [(ADMIN_USER_ID, ADMIN_SCOPES, credentials.admin)]
    owners += [(int(user_id), USER_SCOPES, key) for user_id, key in credentials.users.items()]
    for user_id, scopes, key in owners:
        row = await keys.get_key(key.api_key)
        if row is not None:
            unseal(row.secret_encrypted, row.api_key, encryption_key)
        else:
            sealed = seal(key.secret_key.encode(), key.api_key, encryption_key)
            await keys.put_key(ApiKeyRow(key.api_key, user_id, sealed, [scope.value for scope in scopes], time_ms))


def _derive(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, key=key, digest_size=32).digest()


def _new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _encode(credentials: Credentials) -> bytes:
    return msgspec.json.format(msgspec.json.encode(credentials), indent=2) + b"\n"


def _new() -> ApiCredentials:
    return ApiCredentials(secrets.token_hex(16), secrets.token_urlsafe(32))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """Write the whole file, readable by its owner alone from its first byte on, or none of it."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        make_folder(path.parent)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
