"""A core with what it stands on: its shell, its journal, and the folder of that."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from services.adapters.files import FileDirectory
from services.adapters.journal.journal import Journal
from services.adapters.metrics.core_meter import CoreMeter
from services.adapters.ports import Clock, Log
from services.adapters.tracing.port import Tracing
from services.config import JournalSettings
from services.domain.core import Core, Output
from services.domain.messages import Frame
from services.domain.topics import TopicPartition
from services.shell.core_shell import CoreShell

C = TypeVar("C", bound=Core)
AppliedHook = Callable[[Frame[Any], int, list[Output]], None]


class CoreKind(NamedTuple, Generic[C]):
    """Which core it is. service, shard: for logs and metrics. outputs: every partition that it may speak to."""

    service: str
    shard: int
    fresh: Callable[[], C]
    restore: Callable[[bytes], C]
    outputs: Sequence[TopicPartition]


class CoreParts(NamedTuple, Generic[C]):
    """Close the journal, then the directory, when the shell has ended."""

    shell: CoreShell[C]
    journal: Journal
    directory: FileDirectory


def build_core(
    kind: CoreKind[C],
    settings: JournalSettings,
    folder: Path,
    log: Log,
    clock: Clock,
    hooks: Sequence[AppliedHook],
    meter: CoreMeter,
    *,
    tracing: Tracing | None = None,
    standby: bool = False,
    takeover_after_s: float = 2.0,
) -> CoreParts[C]:
    """folder: the core's own. hooks: told of every frame that was applied. meter: measures it all."""
    directory = FileDirectory(folder)
    journal = Journal(
        directory,
        kind.fresh().source,
        segment_bytes=settings.segment_bytes,
        flush=settings.flush,
        flush_interval_s=settings.flush_interval_ms / 1000,
        keep_snapshots=settings.snapshots_kept,
        on_flush=meter.flushed,
    )

    def on_applied(frame: Frame[Any], offset: int, outputs: list[Output]) -> None:
        meter.applied(frame, offset, outputs)
        for hook in hooks:
            hook(frame, offset, outputs)

    shell = CoreShell(
        kind.fresh,
        kind.restore,
        log,
        journal,
        clock,
        kind.outputs,
        snapshot_interval_ms=settings.snapshot_interval_ms,
        on_applied=on_applied,
        watch=meter,
        tracing=tracing,
        standby=standby,
        takeover_after_s=takeover_after_s,
    )
    return CoreParts(shell, journal, directory)
