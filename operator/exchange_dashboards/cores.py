"""What the dashboards of both cores, ubscore and the matcher, ask in the same words."""

from exchange_dashboards import promql
from exchange_dashboards.model import Panel, Query, Row, Unit, graph, stat
from exchange_dashboards.promql import grown, of, percentile, percentiles, rate, speaking, sum_by

_CORE = f"{promql.ONE_EXCHANGE}, source"


def health(core: str) -> tuple[Panel, ...]:
    """Five numbers of a core: `width` 4 each."""
    source = f"=~{core}-.*"
    return (
        stat(
            "Shards that speak",
            "Shards of which a process publishes what it decides. None: nothing goes on.",
            Unit.COUNT,
            f"count(max by ({_CORE}) ({of('exchange_core_active', source=source)}) == 1) or vector(0)",
            limits=(1,),
            low_is_bad=True,
        ),
        stat(
            "Standbys",
            "Processes that apply everything and keep silent, ready to take over.",
            Unit.COUNT,
            f"count({of('exchange_core_active', source=source)} == 0) or vector(0)",
        ),
        stat(
            "Frames behind",
            "Frames on the log that the slowest process of a shard has not applied, of all shards.",
            Unit.FRAMES,
            f"sum({promql.lag(reader=source)})",
            limits=(100, 1_000),
            leads_to="broker-lag",
        ),
        stat(
            "Without a snapshot",
            "Since a snapshot last held all that was applied. A start reads the journal from there on: the longer, the "
            "slower.",
            Unit.SECONDS,
            f"max({of('exchange_snapshot_behind_seconds', source=source)})",
            limits=(300, 900),
        ),
        stat(
            "Take-overs, in the time shown",
            "How often a standby began to speak.",
            Unit.COUNT,
            f"sum({grown('exchange_core_takeovers_total', source=source)})",
            limits=(1, 3),
            whole=True,
        ),
    )


def speed(core: str) -> Row:
    """How fast a core is."""
    source = f"=~{core}-.*"
    stages = speaking(rate("exchange_core_stage_seconds_bucket", source=source))
    return Row(
        "How fast is it?",
        (
            graph(
                "One record",
                "Time that one command or report takes, in the core's memory.",
                Unit.SECONDS,
                *percentiles(speaking(rate("exchange_core_record_seconds_bucket", source=source))),
                width=8,
                limits=(0.001, 0.01),
            ),
            graph(
                "One batch, by stage",
                "journal: written and flushed; apply: decided; publish: until durable. 99 of 100 are faster.",
                Unit.SECONDS,
                Query(percentile(0.99, stages, "stage"), "{{stage}}"),
                width=8,
                limits=(0.1, 0.5),
                traces=True,
            ),
            graph(
                "One flush of the journal",
                "Every batch waits for one: this is the disk.",
                Unit.SECONDS,
                *percentiles(speaking(rate("exchange_journal_flush_seconds_bucket", source=source))),
                width=8,
                limits=(0.025, 0.1),
            ),
        ),
    )


def work(core: str) -> Row:
    """How much a core does."""
    source = f"=~{core}-.*"
    records = "exchange_records_total"
    return Row(
        "How much does it do?",
        (
            graph(
                "What it applies",
                "Records by type.",
                Unit.PER_SECOND,
                Query(sum_by("type", speaking(rate(records, source=source, direction="in"))), "{{type}}"),
                width=8,
                stacked=True,
            ),
            graph(
                "What it says",
                "Records by type.",
                Unit.PER_SECOND,
                Query(sum_by("type", speaking(rate(records, source=source, direction="out"))), "{{type}}"),
                width=8,
                stacked=True,
            ),
            graph(
                "Records in a frame, frames in a batch",
                "Means. Both grow with load: many share one flush.",
                Unit.COUNT,
                Query(_mean("exchange_frame_records", source), "records in a frame"),
                Query(_mean("exchange_batch_frames", source), "frames in a batch"),
                width=8,
            ),
        ),
    )


def stuck(core: str) -> Row:
    """What does not go on."""
    source = f"=~{core}-.*"
    return Row(
        "What is stuck?",
        (
            graph(
                "Frames behind, by partition",
                "Frames on the log that this core has not applied.",
                Unit.FRAMES,
                Query(promql.lag(reader=source), "{{reader}} {{topic}} {{partition}}"),
                width=8,
                limits=(100, 1_000),
                leads_to="broker-lag",
            ),
            graph(
                "Without a snapshot",
                "Since a snapshot last held all that was applied. A saw: each snapshot ends it. One that only "
                "grows is a snapshot that is not made.",
                Unit.SECONDS,
                Query(
                    f"max by (source, instance) ({of('exchange_snapshot_behind_seconds', source=source)})",
                    "{{source}} {{instance}}",
                ),
                width=8,
                limits=(300, 900),
            ),
            graph(
                "Journal and snapshots on disk",
                "Goes down after snapshots.",
                Unit.BYTES,
                Query(
                    f"max by (source, instance) ({of('exchange_journal_bytes', source=source)})",
                    "{{source}} {{instance}}",
                ),
                width=8,
            ),
        ),
    )


def _mean(histogram: str, source: str) -> str:
    total, count = (speaking(rate(f"{histogram}_{part}", source=source)) for part in ("sum", "count"))
    return f"sum({total}) / sum({count})"
