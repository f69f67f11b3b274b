"""The end of the exchange's tables: their keyspace, looked at and dropped."""

from typing import Final

from services.adapters.cql.migrations import OWN_TABLES, STATEMENT_TIMEOUT_S
from services.adapters.cql.session import CqlSession
from services.adapters.cql.settings import CqlSettings
from services.adapters.cql.tables import TABLES
from services.domain.errors import StoreError

_KNOWN: Final = {*TABLES, *OWN_TABLES}


async def keyspace_tables(settings: CqlSettings) -> list[str] | None:
    """The names of the keyspace's tables; None when there is no such keyspace. Raises StoreUnavailable."""
    session = await CqlSession.open(settings)
    try:
        return await _tables(session)
    finally:
        await session.close()


async def drop_keyspace(settings: CqlSettings) -> None:
    """Drop the keyspace, with all that is in it; nothing happens when there is none.

    Raises StoreError, and drops nothing, when it holds tables that this program knows nothing of: they may be
    somebody else's. StoreUnavailable when the database does not answer.
    """
    session = await CqlSession.open(settings)
    try:
        if foreign := sorted(set(await _tables(session) or ()) - _KNOWN):
            raise StoreError(
                f"database: keyspace {settings.keyspace} holds tables that are not the exchange's: "
                f"{', '.join(foreign)}; nothing was dropped, do it by hand"
            )
        await session.run(f"DROP KEYSPACE IF EXISTS {settings.keyspace}", timeout_s=STATEMENT_TIMEOUT_S)
    finally:
        await session.close()


async def _tables(session: CqlSession) -> list[str] | None:
    keyspace = session.settings.keyspace
    found = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
    if not await session.run(found, (keyspace,)):
        return None
    text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
    return [name for (name,) in await session.run(text, (keyspace,))]
