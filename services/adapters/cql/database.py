"""The connection of the CQL store: opened when it is first needed, and only to a schema that is whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from services.adapters.cql.migrations import migration_status, migrations
from services.adapters.cql.session import CqlSession
from services.adapters.cql.settings import CqlSettings
from services.adapters.store_calls import CallWatch
from services.domain.errors import StoreError, StoreUnavailable

VIEW: Final = "user_balances_by_user"
LOST_AFTER_S: Final = 10.0
"""After that long without any host, their names are looked up anew: a pod that starts again has another address."""
_BASE: Final = "balance_ledger"


class CqlDatabase:
    """A keyspace of a database that speaks CQL. A constructor cannot wait, so the first call connects.

    on_call: told of the calls of its ports. on_request: told of each request to the database.
    """

    def __init__(self, settings: CqlSettings) -> None:
        self.on_call: CallWatch | None = None
        self.on_request: CallWatch | None = None
        self._settings = settings
        self._session: CqlSession | None = None
        self._opening: asyncio.Task[CqlSession] | None = None
        self._tried_at = 0.0
        self._wrong: BaseException | None = None
        """Why the database that was found instead of the lost one cannot be it."""
        self._closing: set[asyncio.Task[None]] = set()
        self._queries = 0
        self._closed = False

    async def check(self) -> None:
        """Connect, unless it is done, and ask something. Raises StoreError when the schema is not whole."""
        session = await self._connected()
        await _check_view(session)

    async def close(self) -> None:
        """Let go of every connection."""
        self._closed = True
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._session is not None:
            self._let_go(self._session)
            self._session = None
        await asyncio.gather(*self._closing)

    async def _connected(self) -> CqlSession:
        """The session. Who asks while the first one is being opened waits for it, and fails with it."""
        if self._session is not None:
            self._look_for_lost(self._session)
            return self._session
        if self._closed:
            raise StoreError(f"the store in keyspace {self._settings.keyspace} is closed")
        return await asyncio.shield(self._opening or self._open())

    def _look_for_lost(self, session: CqlSession) -> None:
        """The driver asks the addresses that it knows, for ever; beside it, begin anew from the hosts' names."""
        if self._wrong is not None:
            wrong, self._wrong = self._wrong, None
            raise wrong
        tried_for_s = asyncio.get_running_loop().time() - self._tried_at
        if self._opening is None and min(session.nobody_for_s, tried_for_s) > LOST_AFTER_S:
            self._open()

    def _open(self) -> asyncio.Task[CqlSession]:
        self._opening = asyncio.create_task(_open(self._settings))
        self._opening.add_done_callback(self._opened)
        return self._opening

    def _opened(self, opening: asyncio.Task[CqlSession]) -> None:
        self._opening = None
        self._tried_at = asyncio.get_running_loop().time()
        if opening.cancelled():
            return
        lost, error = self._session, opening.exception()
        if error is None:
            found = opening.result()
            found.on_request = self.on_request
            if lost is not None:
                # It may be back meanwhile, with requests under way.
                found, lost = (found, lost) if lost.nobody_for_s else (lost, found)
                self._let_go(lost)
            self._session = found
        elif lost is not None and not isinstance(error, StoreUnavailable):
            self._wrong = error

    def _let_go(self, session: CqlSession) -> None:
        closing = asyncio.create_task(session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    @asynccontextmanager
    async def _querying(self) -> AsyncIterator[CqlSession]:
        """The session for a client's query. Raises StoreUnavailable when `max_queries` are under way."""
        if self._queries >= self._settings.max_queries:
            raise StoreUnavailable("database: too many queries at one time")
        self._queries += 1
        try:
            yield await self._connected()
        finally:
            self._queries -= 1


async def _open(settings: CqlSettings) -> CqlSession:
    session = await CqlSession.open(settings)
    try:
        await _check_schema(session)
        await session.use_keyspace()
        await _check_view(session)
    except BaseException:
        await session.close()
        raise
    return session


async def _check_schema(session: CqlSession) -> None:
    """Migrations that a newer program applied do no harm to an older one: they only add."""
    status = await migration_status(session, migrations())
    for one in status:
        if one.applied is None:
            raise StoreError(f"migration {one.name} is not applied: run `exchange schema apply`")
        if one.problem and one.checksum is not None:
            raise StoreError(one.problem)


async def _check_view(session: CqlSession) -> None:
    """The view is there, is of the ledger, and holds what the ledger held before there was a view."""
    keyspace = session.settings.keyspace
    text = "SELECT base_table_name FROM system_schema.views WHERE keyspace_name = ? AND view_name = ?"
    if await session.query(text, keyspace, VIEW) != [(_BASE,)]:
        raise StoreError(f"materialized view {keyspace}.{VIEW} of {_BASE} is missing")
    text = "SELECT view_name FROM system.built_views WHERE keyspace_name = ? AND view_name = ?"
    if not await session.query(text, keyspace, VIEW):
        raise StoreUnavailable(f"materialized view {keyspace}.{VIEW} is still being built")
