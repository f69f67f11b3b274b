"""What `exchange topics` makes of the topics: their partitions, how long they keep frames, and their end."""

from typing import Final

from services.adapters.kafka.admin import delete_topics, present_topics
from services.adapters.kafka.bases import BASES_TOPIC
from services.adapters.kafka.topics import TopicSettings, apply_topics
from services.config import Settings
from services.config.kinds import FOREVER_MS
from services.config.retention import required_retention_ms
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TOPICS
from services.runtime.connections import kafka_settings

_CLIENT: Final = "exchange-topics"
_ALL: Final = (*TOPICS, BASES_TOPIC)


def topic_partitions(settings: Settings) -> dict[str, int]:
    """How many partitions each topic has: one an account shard, or one a matcher shard."""
    accounts, matchers = settings.ubscore.shards, settings.matcher.shards
    return {BALANCE_OPERATIONS: accounts, BALANCE_EVENTS: accounts, ORDERS: matchers, ENGINE_OUTPUTS: matchers}


def topic_settings(settings: Settings) -> TopicSettings:
    """Of every topic. Frames are kept at least as long as snapshots and backups need them."""
    broker = settings.broker
    required = required_retention_ms(settings.journal, settings.backup.interval_ms)
    return TopicSettings(
        replication=broker.replication,
        retention_ms=FOREVER_MS if broker.retention_ms == FOREVER_MS else max(broker.retention_ms, required),
        # An age alone decides: a size that is reached in a busy hour would remove what a core still needs.
        retention_bytes=-1,
        min_insync_replicas=broker.insync_replicas,
    )


async def apply_settings(settings: Settings) -> list[str]:
    """Make the topics what the settings say. Returns a sentence a change.

    Raises ConfigError, or LogError when the broker refuses or a topic would have to shrink.
    """
    return await apply_topics(kafka_settings(settings, _CLIENT), topic_partitions(settings), topic_settings(settings))


async def present(settings: Settings) -> dict[str, int]:
    """The exchange's topics that the brokers have, by their names there, with their partitions.

    Its own by name, and no other that happens to begin with its prefix. Raises ConfigError or LogError.
    """
    return await present_topics(kafka_settings(settings, _CLIENT), _ALL)


async def delete_all(settings: Settings) -> None:
    """Delete the exchange's topics, and all that is on them. Raises ConfigError or LogError."""
    await delete_topics(kafka_settings(settings, _CLIENT), _ALL)
