"""`exchange verify --data-dir`: open a data folder for reading, and hold everything in it against the log.

Works on a stopped exchange and on a running one: what is compared is what stood there when the reading began.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

from services.adapters.ports import Log
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.store import SqliteStore
from services.domain.core import Core
from services.domain.errors import ConfigError, InvariantError, JournalError, LogError
from services.matcher.engine import MatcherEngine
from services.runtime.layout import LOG_FILE, STORE_FILE
from services.ubscore.core import UbsCore
from services.verify.cores import check_open_orders
from services.verify.journals import restore_core
from services.verify.report import Check
from services.verify.whole import Kept, Watch, verify_core, verify_invariants, verify_store

SHARDS: Final = 1
"""Account shards and matcher shards of the local form."""
MEMORY: Final = "memory has the log's digest"


def unwatched(_what: str, _done: int, _whole: int | None) -> None:
    """Nobody looks on."""


async def verify_folder(
    data_dir: Path, in_memory: Mapping[str, tuple[int, bytes]] | None = None, watch: Watch = unwatched
) -> AsyncIterator[Check]:
    """Yield the checks one by one, as they are done.

    in_memory: source -> (next offset, digest) of the cores of the exchange that runs on the folder (`live_digests`);
    None when none runs. Raises ConfigError when the folder holds no exchange.
    """
    if not (data_dir / LOG_FILE).exists():
        raise ConfigError(f"{data_dir}: holds no exchange (there is no {LOG_FILE})")
    log = SqliteLog.open_read_only(data_dir / LOG_FILE)
    live = in_memory is not None
    try:
        ubscore, matcher = UbsCore(0, SHARDS), MatcherEngine(0, SHARDS)
        for core, check in ((ubscore, ubscore.state.check), (matcher, matcher.check)):
            kept = []
            if in_memory is not None:
                kept = [Kept(MEMORY, dict([in_memory[core.source]]), "running")]
            try:
                kept.append(kept_in_journal(data_dir, core))
            except (JournalError, LogError, InvariantError) as error:
                yield Check(f"{core.source}: {JOURNAL}", False, str(error))
            async for found in verify_core(core, log, kept, live=live, watch=watch):
                yield found
            yield verify_invariants(core.source, check)
        if not live:
            # Of a running exchange the two were folded up to different moments.
            yield check_open_orders([ubscore.state], [matcher])
        async for found in _verify_store(data_dir, log, watch):
            yield found
    finally:
        await log.close()


JOURNAL: Final = "snapshots and journal have the log's digests"


def kept_in_journal(data_dir: Path, fresh: Core) -> Kept:
    """The digests that the folder of a core would make it again with; `fresh` is an empty one.

    Raises JournalError, LogError or InvariantError when it would not.
    """
    kind: Any = type(fresh)
    empty = fresh.snapshot()
    restored = restore_core(data_dir / fresh.source, lambda: kind.restore(empty), kind.restore)
    return Kept(JOURNAL, restored.digests, restored.note)


async def _verify_store(data_dir: Path, log: Log, watch: Watch) -> AsyncIterator[Check]:
    if not (data_dir / STORE_FILE).exists():
        yield Check("store", False, f"there is no {STORE_FILE}")
        return
    store = SqliteStore(data_dir / STORE_FILE, read_only=True)
    try:
        async for check in verify_store(log, store, SHARDS, SHARDS, consistent=True, watch=watch):
            yield check
    finally:
        await store.close()
