from tests.support.brokers import broker, started_broker  # noqa: F401
from tests.support.databases import database, started_database  # noqa: F401
