"""The data folder's keys: made once, kept, readable by their owner alone."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from services.adapters.sqlite.store import SqliteStore
from services.domain.errors import ConfigError
from services.gateway.keys import Scope, unseal
from services.runtime.credentials import (
    ADMIN_USER_ID,
    load_credentials,
    load_secrets,
    new_files,
    read_credentials,
    register_keys,
)


def test_secrets_are_made_once_and_are_of_their_own(tmp_path: Path) -> None:
    first = load_secrets(tmp_path)
    assert load_secrets(tmp_path) == first
    assert (len(first.encryption_key), len(first.jwt_secret)) == (32, 32)
    assert first.encryption_key != first.jwt_secret
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert load_secrets_of_another(tmp_path) != first


def load_secrets_of_another(folder: Path) -> object:
    (folder / "other").mkdir()
    return load_secrets(folder / "other")


def test_new_files_written_into_a_folder_are_read_as_they_are(tmp_path: Path) -> None:
    for name, data in new_files().items():
        (tmp_path / name).write_bytes(data)

    secrets, credentials = load_secrets(tmp_path), load_credentials(tmp_path)

    assert len({secrets.encryption_key, secrets.jwt_secret}) == 2
    assert credentials == read_credentials(tmp_path)
    assert not credentials.users
    assert new_files().keys() == {"secret.key", "credentials.json"}
    assert not new_files().items() & new_files().items()


def test_secrets_of_a_damaged_key_are_refused_and_the_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(ConfigError, match=r"secret\.key: has 5 bytes, wants 32"):
        load_secrets(tmp_path)
    assert (tmp_path / "secret.key").read_bytes() == b"short"


def test_secrets_lost_beside_a_store_are_not_made_anew(tmp_path: Path) -> None:
    # A new key would start an exchange that answers 500 to everybody whose key the old one sealed.
    load_secrets(tmp_path)
    asyncio.run(SqliteStore(tmp_path / "store.sqlite3").close())
    (tmp_path / "secret.key").unlink()
    with pytest.raises(ConfigError, match=r"secret\.key: is missing.*bring it back from a backup"):
        load_secrets(tmp_path)
    assert not (tmp_path / "secret.key").exists()


def test_register_keys_that_another_secret_sealed_are_refused(tmp_path: Path) -> None:
    credentials = load_credentials(tmp_path)

    async def play() -> None:
        store = SqliteStore(tmp_path / "store.sqlite3")
        await register_keys(credentials, store, b"a" * 32, 5)
        await register_keys(credentials, store, b"a" * 32, 6)
        with pytest.raises(ConfigError, match="was not sealed with this encryption key"):
            await register_keys(credentials, store, b"b" * 32, 7)
        await store.close()

    asyncio.run(play())


def test_credentials_have_the_promised_shape_and_mode(tmp_path: Path) -> None:
    credentials = load_credentials(tmp_path, [1001, 1002])
    path = tmp_path / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    written = json.loads(path.read_text())
    assert list(written) == ["admin", "users"]
    assert list(written["users"]) == ["1001", "1002"]
    for key in (written["admin"], *written["users"].values()):
        assert list(key) == ["api_key", "secret_key"]
        assert key["api_key"].isalnum()
    assert read_credentials(tmp_path) == credentials
    assert [path.name for path in tmp_path.iterdir()] == ["credentials.json"]


def test_credentials_loaded_again_are_the_same_and_new_users_are_added(tmp_path: Path) -> None:
    first = load_credentials(tmp_path)
    assert first.users == {}
    second = load_credentials(tmp_path, [1001])
    assert second.admin == first.admin
    third = load_credentials(tmp_path, [1001, 1003])
    assert third.users["1001"] == second.users["1001"]
    assert load_credentials(tmp_path) == third


_KEY = '{"api_key": "a", "secret_key": "x"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"admin": {"api_key": 1, "secret_key": "x"}}',
        "not json",
        f'{{"admin": {_KEY}, "users": {{"alice": {_KEY}}}}}',
        f'{{"admin": {_KEY}, "users": {{"-1": {_KEY}}}}}',
    ],
)
def test_credentials_that_are_damaged_are_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(ConfigError, match=r"credentials\.json: .*; correct it, or remove it to get new keys"):
        load_credentials(tmp_path, [1001])
    assert (tmp_path / "credentials.json").read_text() == text


def test_register_keys_seals_secrets_and_leaves_revoked_keys_revoked(tmp_path: Path) -> None:
    credentials = load_credentials(tmp_path, [1001])
    key = load_secrets(tmp_path).encryption_key

    async def play() -> None:
        store = SqliteStore(tmp_path / "store.sqlite3")
        await register_keys(credentials, store, key, 5)
        admin = await store.get_key(credentials.admin.api_key)
        assert admin is not None
        assert (admin.user_id, admin.scopes, admin.created_ms) == (ADMIN_USER_ID, ["admin", "read", "treasury"], 5)
        (user,) = await store.keys_of(1001)
        assert user.scopes == [Scope.READ.value, Scope.TRADE.value]
        assert unseal(user.secret_encrypted, user.api_key, key) == credentials.users["1001"].secret_key.encode()
        revoked = msgspec.structs.replace(user, revoked=True)
        await store.put_key(revoked)
        await register_keys(credentials, store, key, 9)
        assert await store.keys_of(1001) == [revoked]
        await store.close()

    asyncio.run(play())
