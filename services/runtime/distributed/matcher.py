"""A matcher shard as a process."""

from services.adapters.logs.logs import Logs
from services.config import Settings
from services.domain.topics import BALANCE_OPERATIONS, ENGINE_OUTPUTS, TopicPartition
from services.matcher.engine import MatcherEngine
from services.matcher.service import LocalBookReads
from services.runtime.core_parts import CoreKind
from services.runtime.distributed.core import CorePlace, CoreProcess
from services.runtime.event_lines import EventLines


def matcher_process(shard: int, place: CorePlace, settings: Settings, logs: Logs) -> CoreProcess[MatcherEngine]:
    """Matcher shard `shard`, or a standby of it."""
    accounts = settings.ubscore.shards
    outputs = [TopicPartition(ENGINE_OUTPUTS, shard), *(TopicPartition(BALANCE_OPERATIONS, n) for n in range(accounts))]
    kind = CoreKind("matcher", shard, lambda: MatcherEngine(shard, accounts), MatcherEngine.restore, outputs)
    lines = EventLines(logs, shard, events=settings.log.events).matcher_applied
    return CoreProcess(kind, place, settings, logs, lines, books=lambda shell: LocalBookReads(lambda: shell.core))
