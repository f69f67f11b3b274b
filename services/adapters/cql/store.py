"""The store of the distributed form: a keyspace of ScyllaDB, Cassandra, or what else speaks CQL.

Projections, queries, audit and keys are written in modules of their own; here they are one store.
"""

from services.adapters.cql.audit import CqlAudit
from services.adapters.cql.keys import CqlKeys
from services.adapters.cql.projections import CqlProjections
from services.adapters.cql.queries import CqlQueries


class CqlStore(CqlProjections, CqlQueries, CqlAudit, CqlKeys):
    """ProjectionStore, QueryStore, AuditStore and KeyStore of ports.py, in a keyspace to which the schema was applied.

    The first call connects. When the database is away, every call raises StoreUnavailable until it is back.
    """
