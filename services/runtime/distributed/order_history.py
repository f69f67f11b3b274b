"""Order history as a process."""

from typing import Any

from services.adapters.logs.logs import Logs
from services.adapters.metrics.projection_meter import ProjectionMeter
from services.adapters.ports import HistoryBatch
from services.config import Settings
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS
from services.order_history.service import READER, order_history_shell
from services.runtime.chain_watch import ChainWatch
from services.runtime.distributed.projection import ProjectionKind, ProjectionPlace, ProjectionProcess
from services.runtime.event_lines import EventLines
from services.shell.projection_shell import ProjectionShell


def order_history_process(member: int, settings: Settings, logs: Logs) -> ProjectionProcess:
    """Member `member` of those that share the matchers' outputs and the account shards' events."""
    lines = EventLines(logs, member, events=settings.log.events)

    def shell(place: ProjectionPlace) -> ProjectionShell[Any]:
        frames, store, clock, done, tracing = place.frames, place.store, place.clock, place.done, place.tracing
        partition = place.partition
        chain = chains.follow(partition) if partition.topic == ENGINE_OUTPUTS else None
        return order_history_shell(partition, frames, store, clock, on_written, done, tracing, chain)

    def on_written(batch: HistoryBatch) -> None:
        lines.history_written(batch)
        meter.history_written(batch)

    kind = ProjectionKind("order-history", READER, (ENGINE_OUTPUTS, BALANCE_EVENTS), shell)
    process = ProjectionProcess(kind, member, settings, logs)
    meter = ProjectionMeter(process.metrics)
    chains = ChainWatch(process.metrics, logs.service("order_history", member))
    return process
