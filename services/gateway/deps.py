"""What the gateway needs from whoever wires it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services import __version__
from services.adapters.internal.neighbours import Told
from services.adapters.logs.levels import LogLevels
from services.adapters.metrics.prometheus import Metrics
from services.adapters.ports import BalanceReads, BookReads, Clock, CoreState, KeyStore, Log, QueryStore
from services.adapters.tracing.port import Tracing
from services.gateway.commands import FrameLimits


class EventLogger(Protocol):
    """Writes one JSON line, off the hot path: `ServiceLog.info` is one."""

    def __call__(self, event: str, **fields: object) -> None: ...


@dataclass(frozen=True)
class Issuer:
    """Somebody else whose signed tokens are taken. audience: must be in the token's `aud`; empty: not looked at."""

    issuer: str
    algorithm: str
    """RS256 or EdDSA."""
    public_key_pem: str
    audience: str = ""


@dataclass(frozen=True)
class RateLimit:
    """A token bucket: `per_second` requests in the long run, `burst` at once."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class GatewayConfig:
    """A gateway's limits, time-outs and secrets."""

    jwt_secret: bytes
    """At least 32 bytes; signs our own tokens."""
    encryption_key: bytes
    """32 bytes (AES-256); API secrets are encrypted with it at rest."""
    account_shards: int = 1
    matcher_shards: int = 1
    instance: str = "0"
    """The source of its frames is gateway-<instance>: for whoever reads the log. Several may have the same."""
    issuers: Sequence[Issuer] = ()
    token_lifetime_s: int = 900
    key_cache_ms: int = 1_000
    """How long another gateway's revocation may go unnoticed; one's own works at once."""
    answer_timeout_s: float = 10.0
    max_in_flight: int = 10_000
    """Commands that wait for an answer at one time."""
    max_body_bytes: int = 64 * 1024
    market_band_micros: int = 50_000
    """How far from the best price a Market order may trade when its symbol has no band: 5 %."""
    frame_limits: FrameLimits = field(default_factory=FrameLimits)
    caller_rate: RateLimit = RateLimit(10_000, 20_000)
    """Per user."""
    anonymous_rate: RateLimit = RateLimit(1_000, 5_000)
    """Per address, of calls without credentials and of refused credentials."""


async def _no_cores() -> Sequence[CoreState]:
    return ()


@dataclass(frozen=True)
class GatewayDeps:
    """Everything that `create_app` needs.

    balances, books: by account shard and by matcher shard. health: the state of each component of this process by
    its name; "running" is good, everything else says why the exchange is not ready. event: see EventLogger.
    states: where each core stands, in this process or another; may raise CoreUnavailable.
    request_prefix: PREFIX_BITS random bits, new at every start (`secrets.randbits(PREFIX_BITS)`).
    tracing: None when nobody wants traces. log_levels: of this process. others: asks the other processes how they are;
    None when there are none.
    """

    log: Log
    clock: Clock
    queries: QueryStore
    keys: KeyStore
    balances: Sequence[BalanceReads]
    books: Sequence[BookReads]
    config: GatewayConfig
    request_prefix: int
    health: Callable[[], Mapping[str, str]] = field(default=dict)
    states: Callable[[], Awaitable[Sequence[CoreState]]] = _no_cores
    event: EventLogger = field(default=lambda event, **fields: None)
    metrics: Metrics = field(default_factory=lambda: Metrics(__version__))
    tracing: Tracing | None = None
    log_levels: LogLevels = field(default_factory=LogLevels)
    others: Callable[[], Awaitable[Sequence[Told]]] | None = None
