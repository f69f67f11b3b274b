"""Every metric that a process of the exchange may show: its name, labels, unit, and who shows it.

docs/metrics.md is printed from here (see page.py), and a test holds it against running exchanges. A label is never
called service, pod, namespace, job, instance, container or endpoint: who scrapes in a cluster adds labels of these
names, and would rename ours.
"""

from typing import Final, Literal, NamedTuple

PREFIX: Final = "exchange_"

Kind = Literal["gauge", "counter", "histogram"]

GATEWAY: Final = "gateway"
UBSCORE: Final = "ubscore"
MATCHER: Final = "matcher"
SETTLEMENT: Final = "settlement"
ORDER_HISTORY: Final = "order-history"

LATENCY_BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
CORE_BUCKETS: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1),
)
FRESHNESS_BUCKETS: Final = (*LATENCY_BUCKETS[3:], 30.0, 60.0, 300.0)
RECORD_BUCKETS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)
ROW_BUCKETS: Final = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
FRAME_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
BYTE_BUCKETS: Final = tuple(float(256 * 4**power) for power in range(9))
"""256 B to 16 MiB."""


class Family(NamedTuple):
    """A metric. places: which processes show it; the local form's one process shows what all of them do.

    A counter's name stands without its _total. distributed: only processes of the distributed form have it.
    """

    name: str
    kind: Kind
    documentation: str
    labels: tuple[str, ...]
    places: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    distributed: bool = False

    @property
    def shown_name(self) -> str:
        """As a scrape shows it; a histogram's samples are this with _bucket, _sum and _count."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


_CORES: Final = (UBSCORE, MATCHER)
_PROJECTIONS: Final = (SETTLEMENT, ORDER_HISTORY)
_ALL: Final = (GATEWAY, *_CORES, *_PROJECTIONS)
_STORES: Final = (GATEWAY, *_PROJECTIONS)
_SOURCE: Final = ("source",)
_PARTITION: Final = ("reader", "topic", "partition")

# Every process

BUILD_INFO: Final = Family("build_info", "gauge", "1: which program this is.", ("version", "python"), _ALL)
COMPONENT_READY: Final = Family(
    "component_ready", "gauge", "1 when this part of the process says that it is running.", ("component",), _ALL
)
INVARIANT_BROKEN: Final = Family(
    "invariant_broken",
    "gauge",
    "1 when this process has found what must not be (a gap, an impossible report, a store that was set back) and has "
    "stopped its work; it answers for 20 s more, so that somebody sees it, and ends.",
    (),
    _ALL,
    distributed=True,
)
LAG_FRAMES: Final = Family("lag_frames", "gauge", "Frames on the log that a reader has not applied.", _PARTITION, _ALL)

TRACE_SPANS_EXPORTED: Final = Family(
    "trace_spans_exported", "counter", "Spans that were taken by what takes traces; 0 while there are none.", (), _ALL
)
TRACE_SPANS_DROPPED: Final = Family(
    "trace_spans_dropped",
    "counter",
    "Spans that are lost: nobody took them (reason not_taken), or more waited than may (reason queue_full).",
    ("reason",),
    _ALL,
)
TRACE_OVER_LIMIT: Final = Family(
    "trace_requests_over_limit",
    "counter",
    "Requests whose senders wanted a trace, beyond telemetry.forcedPerSecond: they were left to the ratio.",
    (),
    (GATEWAY,),
)

# Cores

RECORDS: Final = Family(
    "records",
    "counter",
    "Records that a core has applied (direction in) or said (direction out), by type.",
    ("source", "direction", "type"),
    _CORES,
)
FRAME_RECORDS: Final = Family(
    "frame_records", "histogram", "Records in one input frame of a core.", _SOURCE, _CORES, RECORD_BUCKETS
)
BATCH_FRAMES: Final = Family(
    "batch_frames", "histogram", "Input frames that shared a flush of the journal.", _SOURCE, _CORES, FRAME_BUCKETS
)
BATCH_BYTES: Final = Family(
    "batch_bytes", "histogram", "Bytes of the input frames that shared a flush.", _SOURCE, _CORES, BYTE_BUCKETS
)
CORE_STAGE: Final = Family(
    "core_stage_seconds",
    "histogram",
    "How long one batch was in a stage: journal (written and flushed), apply, publish (until durable on the log).",
    ("source", "stage"),
    _CORES,
    LATENCY_BUCKETS,
)
CORE_RECORD: Final = Family(
    "core_record_seconds",
    "histogram",
    "What a core took for one record: the time in which a batch was applied, shared by its records.",
    _SOURCE,
    _CORES,
    CORE_BUCKETS,
)
ORDER_STAGE: Final = Family(
    "order_stage_seconds",
    "histogram",
    "From the gateway's stamp on a command until ubscore applied it (stage accepted), the matcher did (matched), and "
    "ubscore settled what came of it (settled). Stamps are whole milliseconds of the gateway's clock.",
    ("stage",),
    _CORES,
    LATENCY_BUCKETS,
)
JOURNAL_FLUSH: Final = Family(
    "journal_flush_seconds", "histogram", "One flush of the journal to disk.", _SOURCE, _CORES, LATENCY_BUCKETS
)
JOURNAL_BYTES: Final = Family("journal_bytes", "gauge", "Segments and snapshots on disk.", _SOURCE, _CORES)
SNAPSHOT_AGE: Final = Family(
    "snapshot_age_seconds", "gauge", "Since the last snapshot fell due, or the start.", _SOURCE, _CORES
)
SNAPSHOT_BEHIND: Final = Family(
    "snapshot_behind_seconds",
    "gauge",
    "Since a snapshot last held all that the core had applied; 0 while the newest one does.",
    _SOURCE,
    _CORES,
)
SNAPSHOT_INTERVAL: Final = Family(
    "snapshot_interval_seconds", "gauge", "From one snapshot to the next, as the settings have it.", _SOURCE, _CORES
)
CORE_ACTIVE: Final = Family(
    "core_active",
    "gauge",
    "1 when this process publishes what the core says, 0 for a standby. A standby applies, and counts, all the same.",
    _SOURCE,
    _CORES,
)
CORE_TAKEOVERS: Final = Family(
    "core_takeovers", "counter", "How often this process, a standby, began to speak.", _SOURCE, _CORES
)

# ubscore

REJECTED: Final = Family("rejected", "counter", "Commands that ubscore refused, by code.", ("code",), (UBSCORE,))
TRADED_BASE: Final = Family(
    "traded_base_units",
    "counter",
    "Volume of settled trades, in smallest units of the base asset; counted by the taker's account shard alone.",
    ("symbol",),
    (UBSCORE,),
)
TRADED_QUOTE: Final = Family(
    "traded_quote_units",
    "counter",
    "Volume of settled trades, in smallest units of the quote asset; counted by the taker's account shard alone.",
    ("symbol",),
    (UBSCORE,),
)
SYMBOL_INFO: Final = Family(
    "symbol_info", "gauge", "1: a symbol and its status.", ("symbol", "base", "quote", "status"), (UBSCORE,)
)
SYMBOL_TICK: Final = Family(
    "symbol_tick_size", "gauge", "The price of one tick, in quote asset for one base asset.", ("symbol",), (UBSCORE,)
)
SYMBOL_LOT: Final = Family("symbol_lot_size", "gauge", "One lot, in base asset.", ("symbol",), (UBSCORE,))
ACCOUNTS: Final = Family("accounts", "gauge", "Accounts that an account shard has.", _SOURCE, (UBSCORE,))

# Matcher

TRADES: Final = Family("trades", "counter", "Trades of a symbol since it exists.", ("symbol",), (MATCHER,))
LAST_PRICE: Final = Family(
    "last_price_ticks", "gauge", "Price of the newest trade; absent before the first.", ("symbol",), (MATCHER,)
)
BOOK_BEST: Final = Family(
    "book_best_ticks", "gauge", "The best price, in ticks; absent when empty.", ("symbol", "side"), (MATCHER,)
)
BOOK_SPREAD: Final = Family(
    "book_spread_ticks", "gauge", "Best ask less best bid, in ticks; absent without both.", ("symbol",), (MATCHER,)
)
BOOK_LEVELS: Final = Family("book_levels", "gauge", "Prices with orders.", ("symbol", "side"), (MATCHER,))
BOOK_DEPTH: Final = Family("book_depth_lots", "gauge", "Lots in the best 20 prices.", ("symbol", "side"), (MATCHER,))
OPEN_ORDERS: Final = Family("open_orders", "gauge", "Orders that rest in a shard's books.", _SOURCE, (MATCHER,))

# Projections

PROJECTION_ROWS: Final = Family("projection_rows", "counter", "Rows written.", _PARTITION, _PROJECTIONS)
PROJECTION_BATCHES: Final = Family("projection_batches", "counter", "Batches written.", _PARTITION, _PROJECTIONS)
PROJECTION_REPEATS: Final = Family(
    "projection_repeats", "counter", "Records dropped as repeats.", _PARTITION, _PROJECTIONS
)
PROJECTION_UNWRITTEN: Final = Family(
    "projection_unwritten_records",
    "gauge",
    "Records that were read and whose effects are not in the store yet. With lag_frames: the backlog.",
    _PARTITION,
    _PROJECTIONS,
)
PROJECTION_BATCH_ROWS: Final = Family(
    "projection_batch_rows", "histogram", "Rows of one batch.", ("reader",), _PROJECTIONS, ROW_BUCKETS
)
STORE_RETRIES: Final = Family(
    "store_retries",
    "counter",
    "Calls of a projection that the store did not answer, and that were tried again.",
    _PARTITION,
    _PROJECTIONS,
)
FRESHNESS: Final = Family(
    "freshness_seconds",
    "histogram",
    "From the gateway's stamp on the command that caused a row (the taker's, for a trade) until it is in the store.",
    ("reader", "topic"),
    _PROJECTIONS,
    FRESHNESS_BUCKETS,
)
NEWEST_STORED: Final = Family(
    "newest_stored_timestamp_seconds",
    "gauge",
    "Unix time stamped on the command that caused the newest row in the store; absent before one was written.",
    _PARTITION,
    _PROJECTIONS,
)
VERSION_CONFLICTS: Final = Family(
    "version_conflicts",
    "counter",
    "Balances (settlement) or totals (order_history) whose stored row was ahead of the events at hand, as after a "
    "crash in the middle of a write; what it holds already was left out.",
    _PARTITION,
    _PROJECTIONS,
)
RECONCILED: Final = Family(
    "reconciled_balances",
    "counter",
    "Balances that were read back from the store and were their events' own.",
    ("partition",),
    (SETTLEMENT,),
)
RECONCILED_NEWER: Final = Family(
    "reconciled_newer",
    "counter",
    "Balances that were read back and were newer than their events.",
    ("partition",),
    (SETTLEMENT,),
)
ORDER_EVENTS: Final = Family(
    "order_events", "counter", "Order updates written to the store, by status.", ("status",), (ORDER_HISTORY,)
)
CHAIN_BREAKS: Final = Family(
    "chain_breaks",
    "counter",
    "Results of a matcher whose link of the hash chain is wrong, as order history reads them. From its start on: what "
    "is older is for `exchange verify`.",
    _SOURCE,
    (ORDER_HISTORY,),
    distributed=True,
)

# Store

STORE_CALL: Final = Family(
    "store_call_seconds",
    "histogram",
    "One call of the store that succeeded; write_settlement and write_history are a projection's whole batch.",
    ("call",),
    _STORES,
    LATENCY_BUCKETS,
)
STORE_ERRORS: Final = Family(
    "store_errors", "counter", "Calls of the store that failed, by error.", ("call", "error"), _STORES
)
DATABASE_REQUEST: Final = Family(
    "database_request_seconds",
    "histogram",
    "One request to the database that succeeded, by statement and table.",
    ("statement",),
    _STORES,
    LATENCY_BUCKETS,
    distributed=True,
)
DATABASE_ERRORS: Final = Family(
    "database_errors",
    "counter",
    "Requests to the database that failed, by the driver's error.",
    ("statement", "error"),
    _STORES,
    distributed=True,
)

# Gateway

GATEWAY_REQUESTS: Final = Family(
    "gateway_requests", "counter", "Requests answered.", ("method", "route", "status"), (GATEWAY,)
)
GATEWAY_REQUEST: Final = Family(
    "gateway_request_seconds",
    "histogram",
    "Time from a request to its answer.",
    ("method", "route"),
    (GATEWAY,),
    LATENCY_BUCKETS,
)
GATEWAY_REFUSED: Final = Family(
    "gateway_refused",
    "counter",
    "Answers that are errors, by the API's code and, when the exchange itself refused, by the reject's name.",
    ("code", "reject"),
    (GATEWAY,),
)
GATEWAY_RATE_LIMITED: Final = Family(
    "gateway_rate_limited",
    "counter",
    "Requests refused for their rate: of a user (caller user), or of an address without credentials (address).",
    ("caller",),
    (GATEWAY,),
)
GATEWAY_COMMANDS: Final = Family(
    "gateway_commands",
    "counter",
    "Commands by type and result: accepted, rejected, repeated (answered as the first time), failed (no outcome).",
    ("command", "result"),
    (GATEWAY,),
)
GATEWAY_COMMAND: Final = Family(
    "gateway_command_seconds",
    "histogram",
    "From sending a command until its outcome is known.",
    ("command",),
    (GATEWAY,),
    LATENCY_BUCKETS,
)
GATEWAY_IN_FLIGHT: Final = Family(
    "gateway_commands_in_flight", "gauge", "Commands that wait for an outcome.", (), (GATEWAY,)
)
GATEWAY_UNWRITTEN: Final = Family(
    "gateway_commands_unwritten", "gauge", "Commands that are not durable on the log yet.", (), (GATEWAY,)
)
GATEWAY_FRAME_RECORDS: Final = Family(
    "gateway_frame_records", "histogram", "Commands in one frame.", (), (GATEWAY,), RECORD_BUCKETS
)
GATEWAY_FRAME_BYTES: Final = Family(
    "gateway_frame_bytes", "histogram", "Bytes of one frame.", (), (GATEWAY,), BYTE_BUCKETS
)
GATEWAY_APPEND: Final = Family(
    "gateway_append_seconds", "histogram", "Until a frame is durable on the log.", (), (GATEWAY,), LATENCY_BUCKETS
)
CORE_READ: Final = Family(
    "core_read_seconds",
    "histogram",
    "A gateway's read of a core in another process, such as of balances or of a book's depth.",
    ("source", "read"),
    (GATEWAY,),
    LATENCY_BUCKETS,
    distributed=True,
)
CORE_READ_ERRORS: Final = Family(
    "core_read_errors",
    "counter",
    "Reads of a core in another process that no instance answered.",
    ("source", "read"),
    (GATEWAY,),
    distributed=True,
)

CATALOGUE: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
"""All of them, in this order."""
