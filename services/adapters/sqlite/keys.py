"""API keys in SQLite. Secrets arrive encrypted."""

import sqlite3
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from services.adapters.sqlite.database import SqliteDatabase
from services.adapters.store_calls import timed
from services.domain.rows import ApiKeyRow

_COLUMNS: Final = "api_key, user_id, secret_encrypted, scopes, created_ms, revoked"


class SqliteKeys(SqliteDatabase):
    """`ports.KeyStore` on SQLite."""

    @timed
    async def put_key(self, row: ApiKeyRow) -> None:
        scopes = msgspec.json.encode(row.scopes).decode()
        values = (row.api_key, row.user_id, row.secret_encrypted, scopes, row.created_ms, row.revoked)
        text = f"INSERT OR REPLACE INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
        await self._write(lambda connection: connection.execute(text, values))

    @timed
    async def get_key(self, api_key: str) -> ApiKeyRow | None:
        rows = await self._keys("api_key = ?", api_key)
        return rows[0] if rows else None

    @timed
    async def keys_of(self, user_id: int) -> list[ApiKeyRow]:
        return await self._keys("user_id = ?", user_id)

    async def all_keys(self) -> AsyncIterator[ApiKeyRow]:
        text = f"SELECT {_COLUMNS} FROM api_keys ORDER BY api_key"  # noqa: S608 - ours
        for values in await self._look_up(lambda connection: connection.execute(text).fetchall()):
            yield _key(*values)

    async def _keys(self, where: str, value: int | str) -> list[ApiKeyRow]:
        text = f"SELECT {_COLUMNS} FROM api_keys WHERE {where} ORDER BY created_ms, api_key"  # noqa: S608 - ours
        return await self._look_up(lambda connection: _fetch(connection, text, value))


def _fetch(connection: sqlite3.Connection, text: str, value: int | str) -> list[ApiKeyRow]:
    return [_key(*values) for values in connection.execute(text, (value,)).fetchall()]


def _key(api_key: str, user_id: int, secret: bytes, scopes: str, created_ms: int, revoked: Any) -> ApiKeyRow:
    return ApiKeyRow(
        api_key, user_id, secret, msgspec.json.decode(scopes, type=list[str]), created_ms, revoked=bool(revoked)
    )
