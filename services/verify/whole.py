"""The checks of one core, and of the store, in their order. `services.runtime` opens what they work on."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from services.adapters.ports import AuditStore, Log, ProjectionStore
from services.domain.core import Core
from services.domain.errors import InvariantError, LogError
from services.verify.compare import Comparison
from services.verify.fold import Refold
from services.verify.recount import Recount
from services.verify.report import Check

Watch = Callable[[str, int, int | None], None]
"""Told of progress: what is being done, how much of it, out of how much (None: not known)."""


class VerifiedStore(ProjectionStore, AuditStore, Protocol):
    """What is read of a store."""


class Kept(NamedTuple):
    """Digests that somebody keeps of a core, by offset. who: whose they are; note: what a person may know of them."""

    who: str
    digests: Mapping[int, bytes]
    note: str


async def verify_core(core: Core, log: Log, kept: Sequence[Kept], *, live: bool, watch: Watch) -> AsyncIterator[Check]:
    """The log says again what it said, and everybody who keeps digests has those that the log gives.

    core: empty, or from a snapshot; afterwards at the end of its input. live: the exchange is running. Memory: that of
    the core, and a read of each of its partitions.
    """
    end = await log.end(core.input)
    first, done = core.next_offset, 0

    def on_folded(frames: int) -> None:
        nonlocal done
        done += frames
        watch(f"folding {core.source}", done, end - first)

    stops = {offset for one in kept for offset in one.digests}
    refold = Refold(core, log, stops, on_folded)
    watch(f"folding {core.source}", 0, end - first)
    yield await refold.run(end, live=live)
    for one in kept:
        yield _compare_digests(f"{core.source}: {one.who}", one, refold.digests, first)


def _compare_digests(name: str, kept: Kept, folded: Mapping[int, bytes], first: int) -> Check:
    for offset, digest in kept.digests.items():
        if offset < first:
            continue
        if offset not in folded:
            return Check(name, False, f"stands at offset {offset}, where the fold of the log did not get")
        if folded[offset] != digest:
            return Check(name, False, f"at offset {offset}: {digest.hex()}, but {folded[offset].hex()} by the log")
    last = max(kept.digests)
    if last < first:
        return Check(name, True, f"{kept.note}; at offset {last:,}, before what the log still has")
    return Check(name, True, f"{kept.note}; {kept.digests[last].hex()[:16]}… at offset {last:,}")


def verify_invariants(source: str, check: Callable[[], None]) -> Check:
    """What a core says of itself."""
    name = f"{source}: invariants"
    try:
        check()
    except InvariantError as error:
        return Check(name, False, str(error))
    return Check(name, True, "hold")


async def verify_store(
    log: Log,
    store: VerifiedStore,
    account_shards: int,
    matcher_shards: int,
    *,
    consistent: bool,
    watch: Watch,
) -> AsyncIterator[Check]:
    """Every row against the log. consistent: the store is read as it was at one moment.

    Holds a tuple for every row that the log makes, and a few numbers for every balance: of a log of ten million events
    that is some gigabytes.
    """
    read = 0

    def on_read(frames: int) -> None:
        nonlocal read
        read += frames
        watch("recounting the log", read, None)

    recount = Recount(log, store, account_shards, matcher_shards, on_read)
    try:
        for check in await recount.run():
            yield check
    except (LogError, InvariantError) as error:
        yield Check("store: what the log holds for it", False, str(error))
        return
    comparison = Comparison(recount, store, account_shards, consistent=consistent)
    for check in await comparison.run(lambda table, rows: watch(f"table {table}", rows, None)):
        yield check
