"""What a core's folder would make it again: its snapshots, and the newest one with the journal behind it.

Reads only, so it may look at the folder of a process that runs.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from services.adapters.journal.chain import segments_from
from services.adapters.journal.format import (
    NotValidError,
    decode_snapshot,
    read_records,
    scan_segment,
    snapshot_offset,
)
from services.adapters.ports import StoredFrame
from services.domain.core import Core
from services.domain.errors import JournalError
from services.domain.messages import decode_frame
from services.shell.restoring import restore_same_shard
from services.shell.shell_snapshot import decode_shell_snapshot

C = TypeVar("C", bound=Core)


class Restored(NamedTuple, Generic[C]):
    """A core as a restart would make it."""

    core: C
    digests: dict[int, bytes]
    """Of the core at the offset of every snapshot, and at the journal's end."""
    note: str
    """What was found on the way, for a person."""


def restore_core(folder: Path, fresh: Callable[[], C], restore: Callable[[bytes], C]) -> Restored[C]:
    """Make the core of `folder` again. A torn tail is left out, as a restart would cut it.

    Raises JournalError, with file and byte position, when a snapshot or the journal's middle is broken, and when a
    snapshot is of another shard than `fresh` makes.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    core, digests = fresh(), dict[int, bytes]()
    snapshots = [name for name in names if snapshot_offset(name) is not None]
    for name in snapshots:
        core = _restore_snapshot(folder, name, fresh(), restore)
        digests[core.next_offset] = core.digest()
    replayed = 0
    segments = segments_from(names, core.next_offset)
    for name in segments:
        for stored in _frames(folder, name, last=name == segments[-1]):
            if stored.offset == core.next_offset:
                core.apply(decode_frame(core.input.topic, stored.data), stored.offset)
                replayed += 1
    digests[core.next_offset] = core.digest()
    return Restored(core, digests, f"snapshots: {len(snapshots)}; frames behind the newest: {replayed:,}")


def _restore_snapshot(folder: Path, name: str, fresh: C, restore: Callable[[bytes], C]) -> C:
    try:
        snapshot = decode_shell_snapshot(decode_snapshot((folder / name).read_bytes(), name).data)
        return restore_same_shard(fresh, restore, snapshot.core)
    except (NotValidError, msgspec.DecodeError, OSError) as error:
        raise JournalError(f"{folder / name}: {error}") from error


def _frames(folder: Path, name: str, *, last: bool) -> Iterator[StoredFrame]:
    data = (folder / name).read_bytes()
    segment = scan_segment(data, name)
    if segment.fault is not None and not (last and segment.fault.torn):
        raise JournalError(f"{folder / name}: broken at byte {segment.fault.position}: {segment.fault.why}")
    return iter(()) if segment.header is None else read_records(data, segment)
