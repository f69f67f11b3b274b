"""Which numbers are looked up when somebody scrapes /metrics."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from services.adapters.journal import Journal
from services.adapters.metrics import Kind, Metrics, Samples
from services.domain.topics import TopicPartition
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import ProjectionShell
from services.shell.standby import ACTIVE

_PROJECTION_LABELS: Final = ("reader", "partition")
_LAG_LABELS: Final = ("reader", "topic", "partition")


class Ends(Protocol):
    """Knows where partitions end, without asking anybody."""

    def end_now(self, partition: TopicPartition) -> int | None:
        """None when that is not known yet; whoever asks wants to know it from then on."""


def watch_core(metrics: Metrics, shell: CoreShell[Any], journal: Journal, ends: Ends) -> None:
    """How far a core is behind its input, who it is among its instances, and the state of its journal."""
    source = shell.core.source
    ends.end_now(shell.core.input)
    _watch_lag(metrics, ends, lambda: [(source, shell.core.input, shell.core.next_offset)])
    for name, documentation, value in (
        ("snapshot_age_seconds", "Since the last snapshot, or the start.", lambda: shell.snapshot_age_ms / 1000),
        ("journal_flush_seconds", "How long the newest flush took.", lambda: journal.last_flush_seconds),
        ("journal_bytes", "Segments and snapshots on disk.", lambda: journal.bytes_on_disk),
        (
            "core_active",
            "1 when this process publishes what the core says, 0 for a standby.",
            lambda: shell.role == ACTIVE,
        ),
    ):
        metrics.watch(name, documentation, value, source=source)
    metrics.watch(
        "core_takeovers", "How often a standby began to speak.", lambda: shell.takeovers, "counter", source=source
    )


def watch_projections(metrics: Metrics, shells: Callable[[], Iterable[ProjectionShell[Any]]], ends: Ends) -> None:
    """How far the rows of these projections are behind the log, and how their store behaves."""

    def watch(name: str, documentation: str, kind: Kind, value: Callable[[ProjectionShell[Any]], float]) -> None:
        def samples() -> Samples:
            return [((shell.reader, str(shell.partition)), value(shell)) for shell in shells()]

        metrics.watch_all(name, documentation, _PROJECTION_LABELS, samples, kind)

    _watch_lag(metrics, ends, lambda: [(shell.reader, shell.partition, shell.next_offset) for shell in shells()])
    watch("projection_rows", "Rows written.", "counter", lambda shell: shell.written_rows)
    watch("projection_batches", "Transactions written.", "counter", lambda shell: shell.written_batches)
    watch("projection_repeats", "Records dropped as repeats.", "counter", lambda shell: shell.repeated_records)
    watch(
        "store_retries",
        "Writes that the store did not take and that were tried again.",
        "counter",
        lambda shell: shell.store_retries,
    )


def _watch_lag(
    metrics: Metrics, ends: Ends, positions: Callable[[], Iterable[tuple[str, TopicPartition, int]]]
) -> None:
    def samples() -> Samples:
        for reader, partition, position in positions():
            end = ends.end_now(partition)
            if end is not None:
                # What is known of the end may be older than the position.
                yield (reader, partition.topic, str(partition.partition)), max(0, end - position)

    metrics.watch_all("lag_frames", "Frames on the log that a reader has not applied.", _LAG_LABELS, samples)
