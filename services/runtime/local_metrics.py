"""Which numbers of a local exchange /metrics shows."""

from collections.abc import Callable
from typing import Any

from services.adapters.journal import Journal
from services.adapters.metrics import Metrics
from services.shell.core_shell import CoreShell
from services.shell.projection_shell import ProjectionShell


def watch_core(metrics: Metrics, service: str, shell: CoreShell[Any], journal: Journal, end: Callable[[], int]) -> None:
    """Show how far a core is behind, and how its journal does. end: of its input partition."""
    partition = shell.core.input
    metrics.watch(
        "lag_frames",
        "Frames on the log that a service has not applied.",
        lambda: end() - shell.core.next_offset,
        service=service,
        topic=partition.topic,
        partition=str(partition.partition),
    )
    for name, documentation, value in (
        ("snapshot_age_seconds", "Since the last snapshot, or recovery.", lambda: shell.snapshot_age_ms / 1000),
        ("journal_flush_seconds", "How long the newest journal flush took.", lambda: journal.last_flush_seconds),
        ("journal_bytes", "What the journal takes on disk.", lambda: journal.bytes_on_disk),
        ("replayed_frames", "Frames of the journal that the start applied.", lambda: shell.replayed_frames),
    ):
        metrics.watch(name, documentation, value, service=service)


def watch_projection(metrics: Metrics, shell: ProjectionShell[Any], end: Callable[[], int]) -> None:
    """Show how far a projection is behind, and how its store does. end: of its partition."""
    labels = {"topic": shell.partition.topic, "partition": str(shell.partition.partition)}
    metrics.watch(
        "lag_frames",
        "Frames on the log that a service has not applied.",
        lambda: end() - shell.next_offset,
        service=shell.reader,
        **labels,
    )
    for name, documentation, value in (
        ("stored_batches", "Batches written to the store.", lambda: shell.written_batches),
        ("stored_rows", "Rows written to the store.", lambda: shell.written_rows),
        ("store_retries", "Times that the store did not answer and was asked again.", lambda: shell.store_retries),
        ("repeated_records", "Records dropped because they had been seen before.", lambda: shell.repeated_records),
    ):
        metrics.watch(name, documentation, value, "counter", service=shell.reader, **labels)


def watch_health(metrics: Metrics, health: Callable[[], dict[str, str]], services: list[str]) -> None:
    """Show 1 for each service that runs, 0 for one that does not."""
    for service in services:
        metrics.watch(
            "service_running",
            "Whether a service runs and gets on.",
            lambda service=service: float(health().get(service) == "running"),  # type: ignore[misc]
            service=service,
        )
