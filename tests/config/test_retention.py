import pytest

from services.config import JournalSettings
from services.config.retention import OUTAGE_MS, required_retention_ms

HOUR_MS = 3_600_000


def test_required_retention_backups_are_rarer_than_snapshots_covers_two_of_them() -> None:
    journal = JournalSettings(snapshot_interval_ms=60_000, snapshots_kept=3)
    assert required_retention_ms(journal, 6 * HOUR_MS) == 12 * HOUR_MS + OUTAGE_MS


def test_required_retention_snapshots_are_rarer_covers_the_oldest_kept_and_one_more() -> None:
    journal = JournalSettings(snapshot_interval_ms=5 * HOUR_MS, snapshots_kept=10)
    assert required_retention_ms(journal, HOUR_MS) == 55 * HOUR_MS + OUTAGE_MS


@pytest.mark.parametrize("interval_ms", [1, HOUR_MS, 1_000 * HOUR_MS])
@pytest.mark.parametrize("kept", [1, 100])
def test_required_retention_is_never_shorter_than_what_anybody_goes_on_from(interval_ms: int, kept: int) -> None:
    journal = JournalSettings(snapshot_interval_ms=interval_ms, snapshots_kept=kept)
    for backup_interval_ms in (1, HOUR_MS, 10_000 * HOUR_MS):
        required = required_retention_ms(journal, backup_interval_ms)
        assert required > kept * interval_ms
        assert required > backup_interval_ms
