"""Making a core from a snapshot, but only from one of the same shard."""

from collections.abc import Callable
from typing import TypeVar

from services.domain.core import Core
from services.domain.errors import JournalError

C = TypeVar("C", bound=Core)


def restore_same_shard(fresh: C, restore: Callable[[bytes], C], data: bytes) -> C:
    """The core in a snapshot. fresh: an empty one, as configured.

    Raises JournalError when the snapshot is of another shard or of other numbers of shards: who belongs where would
    have changed, and with it what its ids keep from being done twice.
    """
    core = restore(data)
    if core.layout != fresh.layout:
        raise JournalError(
            f"{fresh.source}: the snapshot is of {core.layout}, but this process is {fresh.layout}: the numbers of "
            f"shards must not change"
        )
    return core
