"""How long the log must keep its frames, so that nobody who comes back finds what comes next removed. Pure."""

from typing import Final

from services.config.settings import JournalSettings

OUTAGE_MS: Final = 3 * 24 * 3_600_000
"""How long a service, the database or a volume may be away before somebody has brought it back: a long weekend."""


def required_retention_ms(journal: JournalSettings, backup_interval_ms: int) -> int:
    """The least `retention.ms` of every topic: a shorter one is a wrong setting, a longer one does no harm.

    A core goes on from its oldest snapshot when the newer ones are damaged; the oldest is as many intervals old as
    are kept, and one more until the next one is written. A core whose volume is lost goes on from a backup; that one
    is an interval old, and another while the next one is made or fails. What falls due during an outage comes on top.
    Projections need no more: their positions are in the database, and are behind by an outage at most.
    """
    oldest_snapshot_ms = (journal.snapshots_kept + 1) * journal.snapshot_interval_ms
    oldest_backup_ms = 2 * backup_interval_ms
    return max(oldest_snapshot_ms, oldest_backup_ms) + OUTAGE_MS
