"""Beginning a core's journal with a snapshot that was taken elsewhere, as a restore does."""

from services.adapters.journal.format import (
    FIRST_HASH,
    Snapshot,
    encode_snapshot,
    segment_offset,
    snapshot_name,
    snapshot_offset,
    state_digest,
)
from services.adapters.ports import Directory
from services.domain.errors import JournalError


async def seed_journal(directory: Directory, source: str, data: bytes, next_offset: int) -> None:
    """Have the journal of `source` start from a snapshot: the process that opens it goes on at `next_offset`.

    data: as `CoreShell.snapshot_now` gave it. Raises JournalError, and writes nothing, when the directory holds a
    journal already, or when the disk refuses.
    """
    try:
        for name in await directory.names():
            if segment_offset(name) is not None or snapshot_offset(name) is not None:
                raise JournalError(f"journal of {source}: there is one already ({name}); restore into an empty folder")
        # The frames before it are elsewhere, so the chain of hashes begins here.
        snapshot = Snapshot(source, next_offset, FIRST_HASH, state_digest(data), data)
        await directory.replace(snapshot_name(next_offset), encode_snapshot(snapshot))
    except OSError as error:
        raise JournalError(f"journal of {source} cannot be written: {error}") from error
