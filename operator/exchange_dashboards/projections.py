"""Settlement and history: is the database up to date, what is stuck, how fast, and is what it holds right."""

from typing import Final

from exchange_dashboards import promql
from exchange_dashboards.model import Page, Query, Row, Unit, graph, stat
from exchange_dashboards.promql import grown, of, or_zero, percentile, rate, sum_by

_FRESH: Final = "exchange_freshness_seconds_bucket"
_WRITES: Final = rate("exchange_store_call_seconds_bucket", call="=~write_.*")
_READERS: Final = "=~settlement|order_history"

_FRESHNESS: Final = Row(
    "Is the database up to date?",
    (
        stat(
            "99 of 100 rows of settlement are stored within",
            "From the gateway's stamp on the command that caused a row until it is in the database.",
            Unit.SECONDS,
            percentile(0.99, rate(_FRESH, reader="settlement")),
            width=6,
            limits=(1, 10),
            traces=True,
        ),
        stat(
            "99 of 100 rows of history are stored within",
            "From the gateway's stamp on the command that caused a row until it is in the database.",
            Unit.SECONDS,
            percentile(0.99, rate(_FRESH, reader="order_history")),
            width=6,
            limits=(1, 10),
            traces=True,
        ),
        stat(
            "Settlement backlog",
            "Records that settlement has read and not written. What it has not read yet stands to the right.",
            Unit.RECORDS,
            f"sum({promql.unwritten(reader='settlement')})",
            limits=(10_000, 100_000),
        ),
        stat(
            "Frames behind",
            "Frames on the log that settlement and history have not read.",
            Unit.FRAMES,
            f"sum({promql.lag(reader=_READERS)})",
            limits=(1_000, 10_000),
            leads_to="broker-lag",
        ),
        stat(
            "Tries that failed",
            "Calls that the database did not take and that are tried again, until it does. Trading goes on meanwhile.",
            Unit.PER_SECOND,
            f"sum({rate('exchange_store_retries_total')})",
            limits=(0.1, 1),
        ),
        graph(
            "From command to database",
            "From the gateway's stamp on a command until its row is in the database; 99 of 100 are faster.",
            Unit.SECONDS,
            Query(percentile(0.99, rate(_FRESH), "reader", "topic"), "{{reader}} {{topic}}"),
            limits=(1, 10),
            traces=True,
        ),
        graph(
            "Age of the newest row",
            "Since the command that caused the newest row in the database. It grows while nobody does anything, too: "
            "look at it together with the backlog.",
            Unit.SECONDS,
            Query(
                f"time() - max by (reader, topic) ({of('exchange_newest_stored_timestamp_seconds')})",
                "{{reader}} {{topic}}",
            ),
        ),
    ),
)

_STUCK: Final = Row(
    "What is stuck?",
    (
        graph(
            "Frames to read, by partition",
            "Frames on the log that settlement and history have not read.",
            Unit.FRAMES,
            Query(promql.lag(reader=_READERS), "{{reader}} {{topic}} {{partition}}"),
            width=8,
            limits=(1_000, 10_000),
            leads_to="broker-lag",
        ),
        graph(
            "Records to write, by partition",
            "Records that were read and whose effects are not in the database.",
            Unit.RECORDS,
            Query(promql.unwritten(), "{{reader}} {{topic}} {{partition}}"),
            width=8,
            limits=(10_000, 100_000),
        ),
        graph(
            "Tries that failed",
            "Calls that the database did not take and that are tried again.",
            Unit.PER_SECOND,
            Query(sum_by("reader", rate("exchange_store_retries_total")), "{{reader}}"),
            width=8,
            stacked=True,
            limits=(0.1, 1),
        ),
    ),
)

_FAST: Final = Row(
    "How fast does it write, and how much?",
    (
        graph(
            "One batch",
            "From handing a batch to the store until the database has it.",
            Unit.SECONDS,
            Query(percentile(0.5, _WRITES, "call"), "{{call}}, 50% are faster"),
            Query(percentile(0.99, _WRITES, "call"), "{{call}}, 99% are faster"),
            width=8,
            limits=(0.5, 2),
            traces=True,
        ),
        graph(
            "Rows written",
            "By reader and topic.",
            Unit.PER_SECOND,
            Query(sum_by("reader, topic", rate("exchange_projection_rows_total")), "{{reader}} {{topic}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Rows in a batch",
            "Half of the batches have fewer. Batches grow when it is behind: so it catches up.",
            Unit.ROWS,
            Query(percentile(0.5, rate("exchange_projection_batch_rows_bucket"), "reader"), "{{reader}}"),
            width=8,
        ),
        graph(
            "Batches",
            "Written, by reader.",
            Unit.PER_SECOND,
            Query(sum_by("reader", rate("exchange_projection_batches_total")), "{{reader}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Order updates, by status",
            "Written to the order history. None while orders are taken: it is stuck.",
            Unit.PER_SECOND,
            Query(sum_by("status", rate("exchange_order_events_total")), "{{status}}"),
            width=16,
            stacked=True,
        ),
    ),
)

_RIGHT: Final = Row(
    "Is what it wrote right?",
    (
        stat(
            "Breaks of the hash chain",
            "Results of a matcher that do not follow from those before, in the time shown. Look at once.",
            Unit.COUNT,
            or_zero(f"sum({grown('exchange_chain_breaks_total')})"),
            limits=(1,),
            whole=True,
        ),
        stat(
            "Balances read back and right",
            "Settlement reads back what it wrote and compares, in the time shown.",
            Unit.COUNT,
            f"sum({grown('exchange_reconciled_balances_total')})",
            width=5,
            whole=True,
        ),
        stat(
            "Read back and newer",
            "Balances that were read back and had gone on meanwhile, in the time shown. No fault.",
            Unit.COUNT,
            f"sum({grown('exchange_reconciled_newer_total')})",
            width=5,
            whole=True,
        ),
        stat(
            "Rows ahead of their events",
            "Stored rows that held an event already, as after a crash in the middle of a write, in the time shown. "
            "What they held was left out. Without a crash: somebody else writes.",
            Unit.COUNT,
            f"sum({grown('exchange_version_conflicts_total')})",
            width=5,
            whole=True,
            limits=(1, 100),
        ),
        stat(
            "Records that came again",
            "Dropped as repeats, as after a restart, in the time shown.",
            Unit.COUNT,
            f"sum({grown('exchange_projection_repeats_total')})",
            width=5,
            whole=True,
        ),
    ),
)

_DATABASE: Final = Row(
    "How is the database?",
    (
        graph(
            "Calls of the store",
            "99 of 100 of these calls are faster.",
            Unit.SECONDS,
            Query(percentile(0.99, rate("exchange_store_call_seconds_bucket"), "call"), "{{call}}"),
            limits=(0.5, 2),
        ),
        graph(
            "Calls of the store that fail",
            "By call and error.",
            Unit.PER_SECOND,
            Query(
                or_zero(sum_by("call, error", rate("exchange_store_errors_total")), "call", "error"),
                "{{call}} {{error}}",
            ),
            stacked=True,
            limits=(0.1,),
        ),
        graph(
            "Requests to the database, by statement",
            "99 of 100 of these requests are faster.",
            Unit.SECONDS,
            Query(percentile(0.99, rate("exchange_database_request_seconds_bucket"), "statement"), "{{statement}}"),
            limits=(0.25, 1),
            distributed=True,
        ),
        graph(
            "Requests to the database that fail",
            "By statement and the driver's error.",
            Unit.PER_SECOND,
            Query(
                or_zero(sum_by("statement, error", rate("exchange_database_errors_total")), "statement", "error"),
                "{{statement}} {{error}}",
            ),
            stacked=True,
            limits=(0.1,),
        ),
    ),
)

PAGE: Final = Page(
    "settlement-and-history",
    "Exchange: settlement and history",
    "Who writes to the database: is it up to date, what is stuck, how fast, and is what it holds right.",
    (_FRESHNESS, _STUCK, _FAST, _RIGHT, _DATABASE),
    promql.CHOSEN,
)
