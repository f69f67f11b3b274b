"""Topics for tests on a real broker."""

from collections.abc import Sequence

from services.adapters.kafka.settings import KafkaSettings
from services.adapters.kafka.topics import TopicSettings, apply_topics
from services.domain.topics import TopicPartition


async def make_partitions(settings: KafkaSettings, partitions: Sequence[TopicPartition]) -> None:
    """Make these partitions exist, and those below them."""
    counts: dict[str, int] = {}
    for topic, number in partitions:
        counts[topic] = max(counts.get(topic, 0), number + 1)
    await apply_topics(settings, counts, TopicSettings())
