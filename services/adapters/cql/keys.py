"""API keys in a CQL database. Secrets arrive encrypted."""

from collections.abc import AsyncIterator
from typing import Final

from services.adapters.cql.batches import batches
from services.adapters.cql.database import CqlDatabase
from services.adapters.cql.rows import KEYS
from services.adapters.cql.writes import key_writes
from services.adapters.store_calls import timed
from services.domain.rows import ApiKeyRow

_KEY: Final = f"{KEYS.select} WHERE api_key = ?"
_NAMES: Final = "SELECT api_key FROM api_keys_by_user WHERE user_id = ?"


class CqlKeys(CqlDatabase):
    """`ports.KeyStore` on CQL."""

    @timed
    async def put_key(self, row: ApiKeyRow) -> None:
        session = await self._connected()
        await session.write(batches(key_writes(row), session.settings.max_batch_bytes))

    @timed
    async def get_key(self, api_key: str) -> ApiKeyRow | None:
        rows = await (await self._connected()).query(_KEY, api_key)
        return KEYS.make(rows[0]) if rows else None

    @timed
    async def keys_of(self, user_id: int) -> list[ApiKeyRow]:
        names = await (await self._connected()).query(_NAMES, user_id)
        found = [await self.get_key(name) for (name,) in names]
        return [row for row in found if row is not None]

    async def all_keys(self) -> AsyncIterator[ApiKeyRow]:
        async for page in (await self._connected()).pages(KEYS.select):
            for values in page:
                yield KEYS.make(values)
