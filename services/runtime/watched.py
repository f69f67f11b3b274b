"""Which numbers are looked up when somebody scrapes /metrics."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from services.adapters.journal.journal import Journal
from services.adapters.metrics import catalogue
from services.adapters.metrics.catalogue import Family
from services.adapters.metrics.prometheus import Metrics, Samples
from services.domain.topics import TopicPartition
from services.gateway.outcomes import OutcomeTracker
from services.matcher.engine import MatcherEngine
from services.runtime.watched_markets import watch_accounts, watch_books
from services.settlement.reconciliation import Reconciliation
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import ProjectionShell
from services.shell.standby import ACTIVE
from services.ubscore.core import UbsCore


class Ends(Protocol):
    """Knows where partitions end, without asking anybody."""

    def end_now(self, partition: TopicPartition) -> int | None:
        """None when that is not known yet; whoever asks wants to know it from then on."""


Positions = Callable[[], Iterable[tuple[str, TopicPartition, int]]]
"""Readers, what each reads, and the first frame that it has not applied."""


def watch_core(metrics: Metrics, shell: CoreShell[Any], journal: Journal, ends: Ends) -> None:
    """How far a core is behind its input, who it is among its instances, its journal, and what it holds."""
    source = shell.core.source
    ends.end_now(shell.core.input)
    watch_lag(metrics, ends, lambda: [(source, shell.core.input, shell.core.next_offset)])
    values: tuple[tuple[Family, Callable[[], float]], ...] = (
        (catalogue.SNAPSHOT_AGE, lambda: shell.snapshot_age_ms / 1000),
        (catalogue.SNAPSHOT_BEHIND, lambda: shell.snapshot_behind_ms / 1000),
        (catalogue.SNAPSHOT_INTERVAL, lambda: shell.snapshot_interval_ms / 1000),
        (catalogue.JOURNAL_BYTES, lambda: journal.bytes_on_disk),
        (catalogue.CORE_ACTIVE, lambda: shell.role == ACTIVE),
        (catalogue.CORE_TAKEOVERS, lambda: shell.takeovers),
    )
    for family, value in values:
        metrics.watch(family, value, source=source)
    if isinstance(shell.core, UbsCore):
        watch_accounts(metrics, lambda: shell.core)
    elif isinstance(shell.core, MatcherEngine):
        watch_books(metrics, lambda: shell.core)


def watch_projections(metrics: Metrics, shells: Callable[[], Iterable[ProjectionShell[Any]]], ends: Ends) -> None:
    """How far the rows of these projections are behind the log, and how their store behaves."""
    values: tuple[tuple[Family, Callable[[ProjectionShell[Any]], float]], ...] = (
        (catalogue.PROJECTION_ROWS, lambda shell: shell.written_rows),
        (catalogue.PROJECTION_BATCHES, lambda shell: shell.written_batches),
        (catalogue.PROJECTION_REPEATS, lambda shell: shell.repeated_records),
        (catalogue.PROJECTION_UNWRITTEN, lambda shell: shell.unwritten_records),
        (catalogue.STORE_RETRIES, lambda shell: shell.store_retries),
        (catalogue.VERSION_CONFLICTS, lambda shell: shell.conflicts),
    )
    for family, value in values:
        metrics.watch_all(family, _of_shells(shells, value))
    watch_lag(metrics, ends, lambda: [(shell.reader, shell.partition, shell.next_offset) for shell in shells()])


def _of_shells(
    shells: Callable[[], Iterable[ProjectionShell[Any]]], value: Callable[[ProjectionShell[Any]], float]
) -> Callable[[], Samples]:
    def samples() -> Samples:
        return [((shell.reader, *partition_labels(shell.partition)), value(shell)) for shell in shells()]

    return samples


def watch_reconciliations(
    metrics: Metrics, reconciliations: Callable[[], Iterable[tuple[TopicPartition, Reconciliation]]]
) -> None:
    """How much of the store was held against its events; what differs stops settlement."""

    def checked() -> Samples:
        return [((str(partition),), one.checked) for partition, one in reconciliations()]

    def overtaken() -> Samples:
        return [((str(partition),), one.overtaken) for partition, one in reconciliations()]

    metrics.watch_all(catalogue.RECONCILED, checked)
    metrics.watch_all(catalogue.RECONCILED_NEWER, overtaken)


def watch_gateway_lag(metrics: Metrics, ends: Ends, tracker: OutcomeTracker) -> None:
    """How far a gateway is behind with the answers to its commands."""
    watch_lag(metrics, ends, lambda: [("gateway", *position) for position in tracker.positions])


def watch_lag(metrics: Metrics, ends: Ends, positions: Positions) -> None:
    """How far readers are behind the log. While nobody knows where the log ends, nothing is said."""

    def samples() -> Samples:
        for reader, partition, position in positions():
            end = ends.end_now(partition)
            if end is not None:
                # What is known of the end may be older than the position.
                yield (reader, *partition_labels(partition)), max(0, end - position)

    metrics.watch_all(catalogue.LAG_FRAMES, samples)


def partition_labels(partition: TopicPartition) -> tuple[str, str]:
    """Topic and number, as labels."""
    return partition.topic, str(partition.partition)
