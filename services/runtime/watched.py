"""Which numbers of the local form are looked up when somebody scrapes /metrics."""

from collections.abc import Callable
from typing import Any

from services.adapters.journal import Journal
from services.adapters.log_sqlite import SqliteLog
from services.adapters.metrics import Metrics
from services.domain.topics import TopicPartition
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import ProjectionShell


def watch_core(metrics: Metrics, shell: CoreShell[Any], journal: Journal, log: SqliteLog) -> None:
    """How far a core is behind its input, and the state of its journal."""
    source = shell.core.source
    _watch_lag(metrics, source, shell.core.input, lambda: shell.core.next_offset, log)
    metrics.watch(
        "snapshot_age_seconds",
        "Since the last snapshot, or the start.",
        lambda: shell.snapshot_age_ms / 1000,
        source=source,
    )
    metrics.watch(
        "journal_flush_seconds", "How long the newest flush took.", lambda: journal.last_flush_seconds, source=source
    )
    metrics.watch("journal_bytes", "Segments and snapshots on disk.", lambda: journal.bytes_on_disk, source=source)


def watch_projection(metrics: Metrics, shell: ProjectionShell[Any], log: SqliteLog) -> None:
    """How far a projection's rows are behind the log, and how its store behaves."""
    reader, partition = shell.reader, str(shell.partition)
    _watch_lag(metrics, reader, shell.partition, lambda: shell.next_offset, log)
    for name, documentation, value in (
        ("projection_rows", "Rows written.", lambda: shell.written_rows),
        ("projection_batches", "Transactions written.", lambda: shell.written_batches),
        ("projection_repeats", "Records dropped as repeats.", lambda: shell.repeated_records),
        ("store_retries", "Writes that the store did not take and that were tried again.", lambda: shell.store_retries),
    ):
        metrics.watch(name, documentation, value, "counter", reader=reader, partition=partition)


def _watch_lag(
    metrics: Metrics, reader: str, partition: TopicPartition, position: Callable[[], int], log: SqliteLog
) -> None:
    metrics.watch(
        "lag_frames",
        "Frames on the log that a reader has not applied.",
        lambda: log.end_now(partition) - position(),
        reader=reader,
        topic=partition.topic,
        partition=str(partition.partition),
    )
