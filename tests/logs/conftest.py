from tests.support.brokers import broker, started_broker  # noqa: F401
