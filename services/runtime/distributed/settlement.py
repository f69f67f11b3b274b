"""Settlement as a process."""

from typing import Any, Final

from services.adapters.logs import Logs
from services.adapters.metrics import Metrics, Samples
from services.config import Settings
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.runtime.distributed.projection import ProjectionKind, ProjectionPlace, ProjectionProcess
from services.runtime.event_lines import EventLines
from services.settlement.reconciliation import Reconciliation
from services.settlement.service import READER, settlement_shell
from services.shell.projection_shell import ProjectionShell

_LABELS: Final = ("partition",)


def settlement_process(member: int, settings: Settings, logs: Logs) -> ProjectionProcess:
    """Member `member` of those that share the account shards' events."""
    on_written = EventLines(logs if settings.log.events else None, member).settlement_written
    reconciliations: dict[TopicPartition, Reconciliation] = {}

    def shell(place: ProjectionPlace) -> ProjectionShell[Any]:
        partition = place.partition
        reconciliation = reconciliations[partition] = Reconciliation(place.store, place.clock)
        return settlement_shell(
            partition.partition, place.frames, place.store, place.clock, on_written, place.done, reconciliation
        )

    process = ProjectionProcess(ProjectionKind("settlement", READER, (BALANCE_EVENTS,), shell), member, settings, logs)
    _watch(process.metrics, reconciliations)
    return process


def _watch(metrics: Metrics, reconciliations: dict[TopicPartition, Reconciliation]) -> None:
    """How much of the store was held against its events; what differs stops settlement."""

    def checked() -> Samples:
        return [((str(partition),), one.checked) for partition, one in reconciliations.items()]

    def overtaken() -> Samples:
        return [((str(partition),), one.overtaken) for partition, one in reconciliations.items()]

    equal = "Balances that were read back from the store and were their events' own."
    metrics.watch_all("reconciled_balances", equal, _LABELS, checked, "counter")
    newer = "Balances that were read back and were newer than their events."
    metrics.watch_all("reconciled_newer", newer, _LABELS, overtaken, "counter")
