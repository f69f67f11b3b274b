"""An account shard as a process."""

from services.adapters.logs.logs import Logs
from services.config import Settings
from services.domain.topics import BALANCE_EVENTS, ORDERS, TopicPartition
from services.runtime.core_parts import CoreKind
from services.runtime.distributed.core import CorePlace, CoreProcess
from services.runtime.event_lines import EventLines
from services.ubscore.core import UbsCore
from services.ubscore.service import LocalBalanceReads


def ubscore_process(shard: int, place: CorePlace, settings: Settings, logs: Logs) -> CoreProcess[UbsCore]:
    """Account shard `shard`, or a standby of it."""
    shards, matchers = settings.ubscore.shards, settings.matcher.shards
    outputs = [TopicPartition(BALANCE_EVENTS, shard), *(TopicPartition(ORDERS, n) for n in range(matchers))]
    kind = CoreKind("ubscore", shard, lambda: UbsCore(shard, shards), UbsCore.restore, outputs)
    lines = EventLines(logs, shard, events=settings.log.events).ubscore_applied
    return CoreProcess(
        kind,
        place,
        settings,
        logs,
        lines,
        account_shards=shards,
        balances=lambda shell: LocalBalanceReads(lambda: shell.core.state),
    )
