"""Broker lag: who is behind on the log, does the lag grow, and how late is what arrives."""

from typing import Final

from exchange_dashboards import promql
from exchange_dashboards.model import Page, Query, Row, Unit, graph, stat, table
from exchange_dashboards.promql import of, percentile, percentiles, rate, speaking, sum_by

_GROWTH: Final = f"deriv(({promql.lag()})[5m:10s])"

_BEHIND: Final = Row(
    "Who is behind?",
    (
        stat(
            "Most frames behind",
            "On one partition, of all readers.",
            Unit.FRAMES,
            f"max({promql.lag()})",
            width=6,
            limits=(1_000, 10_000),
        ),
        stat(
            "Readers that are behind",
            "With a hundred frames or more to apply on a partition.",
            Unit.COUNT,
            f"count(count by (reader) ({promql.lag()} >= 100)) or vector(0)",
            width=6,
            limits=(1, 3),
        ),
        stat(
            "Partitions on which lag grows",
            "By more than a frame a second over five minutes. For a moment that is load; for long, somebody is stuck.",
            Unit.COUNT,
            f"count({_GROWTH} > 1) or vector(0)",
            width=6,
            limits=(1, 5),
        ),
        stat(
            "Records to write",
            "Read by settlement and history, and not in the database yet: part of their backlog, beside the lag.",
            Unit.RECORDS,
            f"sum({promql.unwritten()})",
            width=6,
            limits=(10_000, 100_000),
            leads_to="settlement-and-history",
        ),
        graph(
            "Frames behind, by reader",
            "All partitions of a reader together. Of several processes of one reader, the slowest counts.",
            Unit.FRAMES,
            Query(sum_by("reader", promql.lag()), "{{reader}}"),
            width=12,
            stacked=True,
            limits=(1_000, 10_000),
        ),
        table(
            "Frames behind now",
            "By reader, topic and partition.",
            Unit.FRAMES,
            f"max by (reader, topic, partition) ({promql.lag()})",
            value="behind",
            limits=(100, 1_000),
        ),
    ),
)

_PARTITIONS: Final = Row(
    "On which partition, and does it grow?",
    (
        graph(
            "Frames behind, by topic and partition",
            "Kafka lag of each reader on each partition.",
            Unit.FRAMES,
            Query(promql.lag(), "{{reader}}: {{topic}} {{partition}}"),
            limits=(1_000, 10_000),
        ),
        graph(
            "How fast lag grows",
            "Frames a second over five minutes; below zero, it is catching up.",
            Unit.PER_SECOND,
            Query(_GROWTH, "{{reader}}: {{topic}} {{partition}}"),
            limits=(1, 100),
        ),
    ),
)

_LATE: Final = Row(
    "How late is what arrives?",
    (
        graph(
            "From event to answer, by stage",
            "From the gateway's stamp on a command until it was accepted, matched and settled; 99 of 100 are faster.",
            Unit.SECONDS,
            Query(
                percentile(0.99, speaking(rate("exchange_order_stage_seconds_bucket")), "stage"),
                "{{stage}}",
            ),
            width=8,
            limits=(0.25, 1),
            traces=True,
        ),
        graph(
            "Freshness, by reader and topic",
            "From the gateway's stamp on a command until its row is in the database; 99 of 100 are faster.",
            Unit.SECONDS,
            Query(
                percentile(0.99, rate("exchange_freshness_seconds_bucket"), "reader", "topic"), "{{reader}} {{topic}}"
            ),
            width=8,
            limits=(1, 10),
            leads_to="settlement-and-history",
            traces=True,
        ),
        graph(
            "Age of the newest row",
            "Since the command that caused the newest row in the database. It grows while nobody does anything, too.",
            Unit.SECONDS,
            Query(
                f"time() - max by (reader, topic, partition) ({of('exchange_newest_stored_timestamp_seconds')})",
                "{{reader}}: {{topic}} {{partition}}",
            ),
            width=8,
        ),
    ),
)

_BROKER: Final = Row(
    "Is the broker slow?",
    (
        graph(
            "Until a gateway's frame is durable",
            "What a broker takes, with all its copies.",
            Unit.SECONDS,
            *percentiles(rate("exchange_gateway_append_seconds_bucket")),
            limits=(0.1, 0.5),
        ),
        graph(
            "Until a core's batch is durable",
            "99 of 100 are faster.",
            Unit.SECONDS,
            Query(
                percentile(0.99, speaking(rate("exchange_core_stage_seconds_bucket", stage="publish")), "source"),
                "{{source}}",
            ),
            limits=(0.1, 0.5),
        ),
    ),
)

PAGE: Final = Page(
    "broker-lag",
    "Exchange: broker lag",
    "Who is behind on the log, does it grow, how late is what arrives, and is the broker slow.",
    (_BEHIND, _PARTITIONS, _LATE, _BROKER),
    promql.CHOSEN,
)
