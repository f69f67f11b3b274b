"""How the driver is set up: who is asked, what is asked again, and what its errors mean."""

import logging
from typing import Any, Final

from cassandra import AuthenticationFailed, ConsistencyLevel, UnresolvableContactPoints, UnsupportedOperation
from cassandra import RequestValidationException as InvalidByServer
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    RetryPolicy,
    RoundRobinPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import RequestValidationException
from cassandra.query import tuple_factory

from services.adapters.cql.settings import CqlSettings
from services.domain.errors import StoreError, StoreUnavailable

PROTOCOL: Final = 4
"""Which both Cassandra and ScyllaDB speak; 5 adds checksums that cost the driver more than the whole rest."""
RETRIES: Final = 2
_FIRST_RECONNECT_S: Final = 0.25
_LAST_RECONNECT_S: Final = 5.0
_WRONG: Final = (InvalidByServer, RequestValidationException, AuthenticationFailed, UnsupportedOperation)
"""What asking again does not cure: a statement, schema, right or password."""


def store_error(error: BaseException, doing: str) -> StoreError:
    """The driver's error as ours; raise it `from` that."""
    causes = [error]
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        causes += error.errors.values()
    kind = StoreError if any(isinstance(cause, _WRONG) for cause in causes) else StoreUnavailable
    reason = "no host has an address" if isinstance(error, UnresolvableContactPoints) else error
    return kind(f"database: {doing}: {type(error).__name__}: {reason}")


class IdempotentRetry(RetryPolicy):  # type: ignore[misc] # the driver has no types
    """Ask once more, the same node or another, when a statement does no harm a second time. Else tell who asked."""

    def on_read_timeout(self, query: Any, *_: Any, retry_num: int, **__: Any) -> Any:
        return self._again(query, retry_num, self.RETRY)

    def on_write_timeout(self, query: Any, *_: Any, retry_num: int, **__: Any) -> Any:
        return self._again(query, retry_num, self.RETRY)

    def on_unavailable(self, query: Any, *_: Any, retry_num: int, **__: Any) -> Any:
        return self._again(query, retry_num, self.RETRY_NEXT_HOST)

    def on_request_error(self, query: Any, *_: Any, retry_num: int, **__: Any) -> Any:
        return self._again(query, retry_num, self.RETRY_NEXT_HOST)

    def _again(self, query: Any, retries: int, how: int) -> Any:
        if query is not None and query.is_idempotent and retries < RETRIES:
            return how, None
        return self.RETHROW, None


def make_cluster(settings: CqlSettings) -> Any:
    """A driver that is not connected yet."""
    _silence()
    near = (
        DCAwareRoundRobinPolicy(local_dc=settings.local_datacenter) if settings.local_datacenter else RoundRobinPolicy()
    )
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(near),
        retry_policy=IdempotentRetry(),
        consistency_level=ConsistencyLevel.name_to_value[settings.consistency],
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=settings.request_timeout_s,
        row_factory=tuple_factory,
    )
    login = PlainTextAuthProvider(settings.username, settings.password) if settings.username else None
    return Cluster(
        list(settings.contact_points),
        port=settings.port,
        protocol_version=PROTOCOL,
        compression=False,
        auth_provider=login,
        ssl_context=settings.tls,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=settings.connect_timeout_s,
        control_connection_timeout=settings.request_timeout_s,
        reconnection_policy=ExponentialReconnectionPolicy(_FIRST_RECONNECT_S, _LAST_RECONNECT_S),
        idle_heartbeat_interval=5,
        idle_heartbeat_timeout=settings.request_timeout_s,
    )


def _no_batch_sizes(record: logging.LogRecord) -> bool:
    """The server warns of every batch above 5 KiB; ours are as large as it allows, on purpose."""
    return not (record.msg == "Server warning: %s" and "atch" in record.getMessage())


def _silence() -> None:
    logging.getLogger("cassandra.protocol").addFilter(_no_batch_sizes)
