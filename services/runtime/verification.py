"""`exchange verify`: open a data folder for reading, and hold everything in it against the log.

Works on a stopped exchange and on a running one: what is compared is what stood there when the reading began.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from services.adapters.log_sqlite import SqliteLog
from services.adapters.ports import Log
from services.adapters.store_sqlite import SqliteStore
from services.domain.core import Core
from services.domain.errors import ConfigError, InvariantError, JournalError, LogError
from services.matcher.engine import MatcherEngine
from services.runtime.layout import LOG_FILE, STORE_FILE
from services.ubscore.core import UbsCore
from services.verify.books import Recount, check_sums, check_zero_sum, compare_tables
from services.verify.cores import check_open_orders
from services.verify.fold import Refold
from services.verify.journals import restore_core
from services.verify.report import Check

SHARDS: Final = 1
"""Account shards and matcher shards of the local form."""


async def verify_folder(
    data_dir: Path, in_memory: Mapping[str, tuple[int, bytes]] | None = None
) -> AsyncIterator[Check]:
    """Yield the checks one by one, as they are done.

    in_memory: source -> (next offset, digest) of the cores of the exchange that runs on the folder (`live_digests`);
    None when none runs. Raises ConfigError when the folder holds no exchange.
    """
    if not (data_dir / LOG_FILE).exists():
        raise ConfigError(f"{data_dir}: holds no exchange (there is no {LOG_FILE})")
    log = SqliteLog.open_read_only(data_dir / LOG_FILE)
    try:
        ubscore, matcher = UbsCore(0, SHARDS), MatcherEngine(0, SHARDS)
        async for check in _verify_core(ubscore, data_dir, log, lambda: UbsCore(0, SHARDS), UbsCore.restore, in_memory):
            yield check
        yield _check_core(ubscore.source, ubscore.state.check)
        async for check in _verify_core(
            matcher, data_dir, log, lambda: MatcherEngine(0, SHARDS), MatcherEngine.restore, in_memory
        ):
            yield check
        yield _check_core(matcher.source, matcher.check)
        if in_memory is None:
            # Of a running exchange the two were folded up to different moments.
            yield check_open_orders(ubscore.state, matcher)
        async for check in _verify_store(data_dir, log):
            yield check
    finally:
        await log.close()


async def _verify_core(
    core: Core,
    data_dir: Path,
    log: Log,
    fresh: Callable[[], Core],
    restore: Callable[[bytes], Core],
    in_memory: Mapping[str, tuple[int, bytes]] | None,
) -> AsyncIterator[Check]:
    """The log says again what it said; snapshots, journal and memory have the digests that the log gives."""
    name = f"{core.source}: snapshots and journal have the log's digests"
    kept, note = dict[int, bytes](), ""
    try:
        restored = restore_core(data_dir / core.source, fresh, restore)
        kept, note = restored.digests, restored.note
    except (JournalError, LogError, InvariantError) as error:
        yield Check(name, False, str(error))
    memory = dict([in_memory[core.source]]) if in_memory is not None else {}
    refold = Refold(core, log, kept.keys() | memory.keys())
    yield await refold.run(await log.end(core.input), live=in_memory is not None)
    if kept:
        yield _compare_digests(name, kept, refold.digests, note)
    if memory:
        yield _compare_digests(f"{core.source}: memory has the log's digest", memory, refold.digests, "running")


def _compare_digests(name: str, kept: Mapping[int, bytes], folded: Mapping[int, bytes], note: str) -> Check:
    for offset, digest in kept.items():
        if offset not in folded:
            return Check(name, False, f"stands at offset {offset}, where the fold of the log did not get")
        if folded[offset] != digest:
            return Check(name, False, f"at offset {offset}: {digest.hex()}, but {folded[offset].hex()} by the log")
    return Check(name, True, f"{note}; {kept[max(kept)].hex()[:16]}… at offset {max(kept):,}")


def _check_core(source: str, check: Callable[[], None]) -> Check:
    name = f"{source}: invariants"
    try:
        check()
    except InvariantError as error:
        return Check(name, False, str(error))
    return Check(name, True, "hold")


async def _verify_store(data_dir: Path, log: Log) -> AsyncIterator[Check]:
    if not (data_dir / STORE_FILE).exists():
        yield Check("store", False, f"there is no {STORE_FILE}")
        return
    store = SqliteStore(data_dir / STORE_FILE, read_only=True)
    try:
        recount = Recount(log, store, SHARDS, SHARDS)
        try:
            for check in await recount.run():
                yield check
        except (LogError, InvariantError) as error:
            yield Check("store: what the log holds for it", False, str(error))
            return
        for check in await compare_tables(recount.tables, store):
            yield check
        yield check_sums(recount.tables)
        for check in check_zero_sum(recount.tables):
            yield check
    finally:
        await store.close()
