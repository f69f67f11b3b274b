"""Settlement as a process."""

from typing import Any

from services.adapters.logs.logs import Logs
from services.adapters.metrics.projection_meter import ProjectionMeter
from services.adapters.ports import SettlementBatch
from services.config import Settings
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.runtime.distributed.projection import ProjectionKind, ProjectionPlace, ProjectionProcess
from services.runtime.event_lines import EventLines
from services.runtime.watched import watch_reconciliations
from services.settlement.reconciliation import Reconciliation
from services.settlement.service import READER, settlement_shell
from services.shell.projection_shell import ProjectionShell


def settlement_process(member: int, settings: Settings, logs: Logs) -> ProjectionProcess:
    """Member `member` of those that share the account shards' events."""
    lines = EventLines(logs, member, events=settings.log.events)
    reconciliations: dict[TopicPartition, Reconciliation] = {}

    def shell(place: ProjectionPlace) -> ProjectionShell[Any]:
        partition = place.partition
        reconciliation = reconciliations[partition] = Reconciliation(place.store, place.clock)
        return settlement_shell(
            partition.partition,
            place.frames,
            place.store,
            place.clock,
            on_written,
            place.done,
            reconciliation,
            place.tracing,
        )

    def on_written(batch: SettlementBatch) -> None:
        lines.settlement_written(batch)
        meter.settlement_written(batch)

    process = ProjectionProcess(ProjectionKind("settlement", READER, (BALANCE_EVENTS,), shell), member, settings, logs)
    meter = ProjectionMeter(process.metrics)
    watch_reconciliations(process.metrics, reconciliations.items)
    return process
