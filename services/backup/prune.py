"""Removing old backups, and what is left of those that were never finished. Blocking: call it from a thread.

Who makes a backup writes into its folder at least once a minute (`create`), so one in which nothing was written for
long is being made by nobody. Both moments that are compared come from the target's clock: the last write there, and
the last write into the newest finished backup, which is not later than now. Should somebody have stood still that
long and go on, then they find their files gone before they call the backup finished.
"""

from datetime import timedelta
from typing import Final

from services.adapters.backup_target import BackupTarget
from services.backup.check import Listed, list_backups
from services.backup.manifest import MANIFEST

ABANDONED_AFTER: Final = timedelta(minutes=15)
"""Without a write. Whoever makes a backup writes far more often."""


def prune_backups(target: BackupTarget, keep: int) -> list[str]:
    """Remove the oldest finished backups until `keep` are left, and abandoned ones; returns their names.

    What has a manifest that cannot be read, be it damaged or of a later version of this program, is left alone.
    """
    listed = list_backups(target)
    finished = [backup.name for backup in listed if backup.manifest is not None]
    removed = sorted(finished[:-keep] + _abandoned(target, listed, finished))
    for name in removed:
        # The manifest goes first: what is left of an interrupted removal is no backup.
        target.remove(name, MANIFEST)
    return removed


def _abandoned(target: BackupTarget, listed: list[Listed], finished: list[str]) -> list[str]:
    """Never finished, begun before the newest finished one, and silent since long before that was finished."""
    older = [backup.name for backup in listed if backup.unfinished and finished and backup.name < finished[-1]]
    return [name for name in older if _is_silent(target, name, finished[-1])]


def _is_silent(target: BackupTarget, name: str, newest: str) -> bool:
    last, now = target.last_written(name), target.last_written(newest)
    return last is not None and now is not None and now - last > ABANDONED_AFTER
