"""Order history as a process."""

from typing import Any

from services.adapters.logs import Logs
from services.config import Settings
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS
from services.order_history.service import READER, order_history_shell
from services.runtime.distributed.projection import ProjectionKind, ProjectionPlace, ProjectionProcess
from services.runtime.event_lines import EventLines
from services.shell.projection_shell import ProjectionShell


def order_history_process(member: int, settings: Settings, logs: Logs) -> ProjectionProcess:
    """Member `member` of those that share the matchers' outputs and the account shards' events."""
    on_written = EventLines(logs if settings.log.events else None, member).history_written

    def shell(place: ProjectionPlace) -> ProjectionShell[Any]:
        return order_history_shell(place.partition, place.frames, place.store, place.clock, on_written, place.done)

    kind = ProjectionKind("order-history", READER, (ENGINE_OUTPUTS, BALANCE_EVENTS), shell)
    return ProjectionProcess(kind, member, settings, logs)
