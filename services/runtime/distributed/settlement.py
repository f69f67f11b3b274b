"""Settlement as a process."""

from typing import Any

from services.adapters.logs import Logs
from services.config import Settings
from services.domain.topics import BALANCE_EVENTS
from services.runtime.distributed.projection import ProjectionKind, ProjectionPlace, ProjectionProcess
from services.runtime.event_lines import EventLines
from services.settlement.service import READER, settlement_shell
from services.shell.projection_shell import ProjectionShell


def settlement_process(member: int, settings: Settings, logs: Logs) -> ProjectionProcess:
    """Member `member` of those that share the account shards' events."""
    on_written = EventLines(logs if settings.log.events else None, member).settlement_written

    def shell(place: ProjectionPlace) -> ProjectionShell[Any]:
        return settlement_shell(
            place.partition.partition, place.frames, place.store, place.clock, on_written, place.done
        )

    kind = ProjectionKind("settlement", READER, (BALANCE_EVENTS,), shell)
    return ProjectionProcess(kind, member, settings, logs)
