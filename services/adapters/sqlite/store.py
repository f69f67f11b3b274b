"""The store of the local form: one SQLite file, in WAL mode, where a committed batch survives a power cut.

Projections, queries and keys are written in modules of their own; here they are one store.
"""

from services.adapters.sqlite.keys import SqliteKeys
from services.adapters.sqlite.projections import SqliteProjections
from services.adapters.sqlite.queries import SqliteQueries


class SqliteStore(SqliteProjections, SqliteQueries, SqliteKeys):
    """ProjectionStore, QueryStore, AuditStore and KeyStore of ports.py, on the file `path`, which is made when missing.

    Reads may run beside a write and see what was committed before them.
    """
