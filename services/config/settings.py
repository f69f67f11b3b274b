"""The settings, their keys and defaults.

Keys are in camelCase, as in Kubernetes. In a file the value says its unit (60s, 64Mi), here the field's name does.
"""

from typing import Annotated, Final, Literal

import msgspec

from services.config.distributed import (
    Addresses,
    BackupSettings,
    BrokerSettings,
    DatabaseSettings,
    InternalSettings,
    MatcherSettings,
    ProjectionSettings,
)
from services.config.kinds import DECIMAL, DURATION, FLAG, PAUSE, RATE, SHARE, SIZE, TEXT, URL, choice, whole
from services.domain.instruments import MAX_SCALE, Asset, SymbolSettings, SymbolStatus
from services.ubscore.policy import DEFAULT_POLICY

LogLevel = Literal["debug", "info", "warning", "error"]
OtlpProtocol = Literal["grpc", "http"]
FlushMode = Literal["batch", "interval"]


class ServerSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Where the REST API listens."""

    host: Annotated[str, TEXT] = "127.0.0.1"
    port: Annotated[int, whole(0, 65535)] = 3001
    """0: any free port."""


class LogSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The JSON logs."""

    level: Annotated[LogLevel, choice("debug", "info", "warning", "error")] = "info"
    events: Annotated[bool, FLAG] = True
    """Whether every order and every balance change gets a line; else only at level debug."""


class TelemetrySettings(msgspec.Struct, frozen=True, rename="camel"):
    """Traces: where they go, and how many. Without an endpoint there are none."""

    otlp_endpoint: Annotated[str, URL] = ""
    """Of whatever takes OTLP, such as http://collector:4317 for gRPC, http://collector:4318 for HTTP."""
    otlp_protocol: Annotated[OtlpProtocol, choice("grpc", "http")] = "grpc"
    trace_sample_micros: Annotated[int, SHARE] = msgspec.field(name="traceSampleRatio", default=10_000)
    """Of the requests whose sender has not decided. Failed and slow ones are told of in any case."""
    slow_order_ms: Annotated[int, DURATION] = msgspec.field(name="slowOrder", default=250)
    """From then on a request is slow."""
    forced_per_second: Annotated[int, whole(0, 1_000_000)] = 10
    """How many requests a gateway traces because their senders say so; of those beyond, the ratio decides."""


class JournalSettings(msgspec.Struct, frozen=True, rename="camel"):
    """What the cores keep on disk."""

    flush: Annotated[FlushMode, choice("batch", "interval")] = "batch"
    """batch: before the effects of every batch are published. interval: the log alone makes them durable."""
    flush_interval_ms: Annotated[int, DURATION] = msgspec.field(name="flushInterval", default=10)
    segment_bytes: Annotated[int, SIZE] = msgspec.field(name="segmentSize", default=64 * 2**20)
    snapshot_interval_ms: Annotated[int, DURATION] = msgspec.field(name="snapshotInterval", default=60_000)
    snapshots_kept: Annotated[int, whole(1, 100)] = 3


_RATE: Final = whole(1, 1_000_000)


class CallerRateSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Of each user."""

    per_second: Annotated[int, _RATE] = 10_000
    """Requests in the long run."""
    burst: Annotated[int, _RATE] = 20_000
    """Requests at once."""


class AnonymousRateSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Of each address, for calls without credentials and with refused ones."""

    per_second: Annotated[int, _RATE] = 1_000
    burst: Annotated[int, _RATE] = 5_000


class RateLimitsSettings(msgspec.Struct, frozen=True, rename="camel"):
    """How often somebody may ask one gateway; several know nothing of each other's counts."""

    caller: CallerRateSettings = CallerRateSettings()
    anonymous: AnonymousRateSettings = AnonymousRateSettings()


class GatewaySettings(msgspec.Struct, frozen=True, rename="camel"):
    """How much a gateway takes in (else 413, 429 or 503), and how long it waits for an outcome (else 504)."""

    max_in_flight: Annotated[int, whole(1, 1_000_000)] = 10_000
    """Commands that wait for an answer at one time."""
    answer_timeout_ms: Annotated[int, DURATION] = msgspec.field(name="answerTimeout", default=10_000)
    max_body_bytes: Annotated[int, SIZE] = msgspec.field(name="maxBody", default=64 * 2**10)
    rate_limits: RateLimitsSettings = RateLimitsSettings()
    drain_ms: Annotated[int, PAUSE] = msgspec.field(name="drain", default=0)
    """How long it goes on after it was told to stop, not ready any more, until who sends requests has noticed."""


class IssuerEntry(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody else whose signed tokens are taken; `iss` of the token must be `issuer`."""

    issuer: Annotated[str, TEXT]
    algorithm: Annotated[Literal["RS256", "EdDSA"], choice("RS256", "EdDSA")]
    public_key_file: Annotated[str, TEXT]
    """A PEM file."""
    audience: Annotated[str, TEXT] = ""
    """When given, `aud` of the token must be it."""


class AuthSettings(msgspec.Struct, frozen=True, rename="camel"):
    """Tokens and keys. The files are of the distributed form; the local one keeps its own in the data folder."""

    token_lifetime_ms: Annotated[int, DURATION] = msgspec.field(name="tokenLifetime", default=900_000)
    issuers: list[IssuerEntry] = []
    secret_key_file: Annotated[str, TEXT] = ""
    """32 bytes, the same for all processes; `exchange keys` makes it."""
    credentials_file: Annotated[str, TEXT] = ""
    """The first API keys; `exchange keys` makes it. The store learns them at the gateway's start."""


class UbscoreSettings(msgspec.Struct, frozen=True, rename="camel"):
    """The account shards, and their policy, which travels to them through the log."""

    order_window_ms: Annotated[int, DURATION] = msgspec.field(
        name="orderWindow", default=DEFAULT_POLICY.order_window_ms
    )
    """How long, in log time, client order ids are kept."""
    transfer_window_ms: Annotated[int, DURATION] = msgspec.field(
        name="transferWindow", default=DEFAULT_POLICY.transfer_window_ms
    )
    """How long, in log time, transfer ids are kept."""
    max_open_orders: Annotated[int, whole(1, 1_000_000)] = DEFAULT_POLICY.max_open_orders
    """Per user."""
    shards: Annotated[int, whole(1, 512)] = 1
    addresses: Addresses = []
    takeover_after_ms: Annotated[int, DURATION] = msgspec.field(name="takeoverAfter", default=2_000)
    """See MatcherSettings."""


class AssetEntry(msgspec.Struct, frozen=True, rename="camel"):
    """An asset to declare."""

    name: Annotated[str, TEXT]
    scale: Annotated[int, whole(0, MAX_SCALE)]

    def asset(self) -> Asset:
        """The same in the domain's words."""
        return Asset(self.name, self.scale)


class SymbolEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A symbol to declare. One that is there already is left as it is: it is changed through the API."""

    name: Annotated[str, TEXT]
    base: Annotated[str, TEXT]
    quote: Annotated[str, TEXT]
    tick_size: Annotated[str, DECIMAL]
    lot_size: Annotated[str, DECIMAL]
    min_notional: Annotated[str, DECIMAL]
    maker_fee_micros: Annotated[int, RATE] = msgspec.field(name="makerFee")
    taker_fee_micros: Annotated[int, RATE] = msgspec.field(name="takerFee")
    band_micros: Annotated[int, RATE] = msgspec.field(name="band", default=0)
    """How far a price may be from the reference price, as a share of it; 0: any price."""
    matcher_shard: Annotated[int, whole(0, 511)] = 0
    status: Annotated[str, choice(*SymbolStatus.__members__)] = SymbolStatus.Trading.name

    def settings(self) -> SymbolSettings:
        """The same in the domain's words."""
        return SymbolSettings(
            name=self.name,
            base=self.base,
            quote=self.quote,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            min_notional=self.min_notional,
            maker_fee_micros=self.maker_fee_micros,
            taker_fee_micros=self.taker_fee_micros,
            band_micros=self.band_micros,
            matcher_shard=self.matcher_shard,
            status=SymbolStatus[self.status],
        )


class Settings(msgspec.Struct, frozen=True, rename="camel"):
    """Everything. At start, the policy is set and missing assets and symbols are declared, through the log.

    The local form has one shard of each core, and no use for `broker`, `database`, `internal` and `backup`.
    """

    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    journal: JournalSettings = JournalSettings()
    gateway: GatewaySettings = GatewaySettings()
    auth: AuthSettings = AuthSettings()
    ubscore: UbscoreSettings = UbscoreSettings()
    matcher: MatcherSettings = MatcherSettings()
    settlement: ProjectionSettings = ProjectionSettings()
    order_history: ProjectionSettings = ProjectionSettings()
    broker: BrokerSettings = BrokerSettings()
    database: DatabaseSettings = DatabaseSettings()
    internal: InternalSettings = InternalSettings()
    backup: BackupSettings = BackupSettings()
    assets: list[AssetEntry] = []
    symbols: list[SymbolEntry] = []
