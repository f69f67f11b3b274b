"""Makes the topics on the brokers what the configuration says, without ever losing a frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from services.adapters.kafka.admin import administrating, create_topics, partition_counts, refusal, wait_for_leaders
from services.adapters.kafka.settings import MIB, KafkaSettings
from services.domain.errors import LogError

_SET_ON_TOPIC: Final = 1
"""Where a value comes from, in the protocol's numbers: from the topic itself, not from the broker or its defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSettings:
    """Of every topic. What is None is left to the brokers."""

    replication: int = 1
    """Of new topics; what exists is moved by the brokers' own tools."""
    retention_ms: int | None = None
    """-1: for ever."""
    retention_bytes: int | None = None
    """Of one partition; -1: without limit."""
    min_insync_replicas: int | None = None
    max_message_bytes: int = 33 * MIB
    """Of one batch: must hold the biggest frame and what the protocol adds to it."""

    def entries(self) -> dict[str, str]:
        """In the protocol's words."""
        optional = {
            "retention.ms": self.retention_ms,
            "retention.bytes": self.retention_bytes,
            "min.insync.replicas": self.min_insync_replicas,
        }
        always = {
            "cleanup.policy": "delete",
            "max.message.bytes": str(self.max_message_bytes),
            # Else a frame would be as old as its writer's clock says, and go as soon as that is wrong.
            "message.timestamp.type": "LogAppendTime",
        }
        return always | {name: str(value) for name, value in optional.items() if value is not None}


async def apply_topics(brokers: KafkaSettings, partitions: Mapping[str, int], topic: TopicSettings) -> list[str]:
    """Create and grow topics, and set their settings; other settings of theirs are kept.

    partitions: how many a topic has. Returns a sentence a change; none when all was as it should be. Raises LogError,
    before anything is changed, when a topic has more partitions than that: a shard's frames would be out of reach.
    """
    async with administrating(brokers, "the topics could not be applied") as admin:
        return await _Topics(admin, brokers, partitions, topic).apply()


class _Topics:
    def __init__(self, admin: Any, brokers: KafkaSettings, partitions: Mapping[str, int], topic: TopicSettings) -> None:
        self._admin = admin
        self._wanted = {brokers.topic(name): count for name, count in partitions.items()}
        self._settings = topic

    async def apply(self) -> list[str]:
        present = await partition_counts(self._admin, self._wanted)
        for name, count in present.items():
            if count > self._wanted[name]:
                raise LogError(
                    f"topic {name} has {count} partitions, and the configuration wants {self._wanted[name]}: topics "
                    f"cannot shrink, because the frames of a partition would be lost"
                )
        missing = {name: count for name, count in self._wanted.items() if name not in present}
        grown = {name: self._wanted[name] for name, count in present.items() if count < self._wanted[name]}
        changes = await self._create(missing) + await self._grow(grown, present) + await self._set(list(present))
        if missing or grown:
            await wait_for_leaders(self._admin, self._wanted)
        return changes

    async def _create(self, missing: Mapping[str, int]) -> list[str]:
        if not missing:
            return []
        entries = self._settings.entries()
        new = [
            NewTopic(name, count, self._settings.replication, topic_configs=entries) for name, count in missing.items()
        ]
        await create_topics(self._admin, new)
        return [f"created topic {name} with {count} partitions" for name, count in missing.items()]

    async def _grow(self, grown: Mapping[str, int], present: Mapping[str, int]) -> list[str]:
        if not grown:
            return []
        try:
            await self._admin.create_partitions({name: NewPartitions(count) for name, count in grown.items()})
        except KafkaError as error:
            raise LogError(f"topics cannot grow: {error}") from error
        return [f"grew topic {name} from {present[name]} to {count} partitions" for name, count in grown.items()]

    async def _set(self, names: list[str]) -> list[str]:
        """Set what differs. The protocol's oldest request, which all brokers know, replaces all that a topic has."""
        if not names:
            return []
        changes, resources = list[str](), list[ConfigResource]()
        wanted = self._settings.entries()
        for name, values, own in await self._described(names):
            differing = {key: value for key, value in wanted.items() if values.get(key) != value}
            if differing:
                resources.append(ConfigResource(ConfigResourceType.TOPIC, name, own | wanted))
                changes += [f"set {key} of topic {name} to {value}" for key, value in differing.items()]
        if resources:
            for answer in await self._admin.alter_configs(resources):
                for code, message, _, name in answer.resources:
                    if code:
                        raise LogError(f"topic {name} cannot be changed: {refusal(code, message)}")
        return changes

    async def _described(self, names: list[str]) -> list[tuple[str, dict[str, str], dict[str, str]]]:
        """Of every topic its name, the values in force, and those that are set on the topic itself."""
        described = []
        for answer in await self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names]):
            for code, message, _, name, entries in answer.resources:
                if code:
                    raise LogError(f"topic {name} cannot be described: {refusal(code, message)}")
                values = {entry[0]: entry[1] for entry in entries}
                own = {entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_TOPIC and not entry[2]}
                described.append((name, values, own))
        return described
