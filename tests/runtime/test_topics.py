"""What the settings make of the topics."""

import pytest

from services.config import BackupSettings, BrokerSettings, MatcherSettings, Settings, UbscoreSettings
from services.config.kinds import FOREVER_MS
from services.runtime.topics import topic_partitions, topic_settings

DAY_MS = 86_400_000


def test_topic_partitions_are_one_a_shard() -> None:
    settings = Settings(ubscore=UbscoreSettings(shards=3), matcher=MatcherSettings(shards=2))
    assert topic_partitions(settings) == {
        "balance.operations": 3,
        "balance.events": 3,
        "orders": 2,
        "engine.outputs": 2,
    }


@pytest.mark.parametrize(
    ("retention_ms", "backup_days", "kept_ms"),
    [
        (30 * DAY_MS, 1, 30 * DAY_MS),
        # Two backups may be missing, and then somebody has a long weekend.
        (1 * DAY_MS, 10, 23 * DAY_MS),
        (FOREVER_MS, 10, FOREVER_MS),
    ],
)
def test_topic_settings_keep_frames_as_long_as_backups_need_them(
    retention_ms: int, backup_days: int, kept_ms: int
) -> None:
    settings = Settings(
        broker=BrokerSettings(retention_ms=retention_ms, replication=3),
        backup=BackupSettings(interval_ms=backup_days * DAY_MS),
    )
    topic = topic_settings(settings)
    assert (topic.retention_ms, topic.retention_bytes) == (kept_ms, -1)
    assert (topic.replication, topic.min_insync_replicas) == (3, 2)
