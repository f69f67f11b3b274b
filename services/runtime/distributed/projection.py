"""A projection as a process: the partitions that its group gives it, folded into the database."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from services.adapters.internal.server import Health
from services.adapters.kafka.faust_frames import NO_BROKER, FaustFrames
from services.adapters.logs.logs import Logs
from services.adapters.ports import Clock, ProjectionStore
from services.adapters.store_calls import calls_meter, requests_meter
from services.adapters.tracing.port import Tracing
from services.config import Settings
from services.domain.errors import LogError, StoreUnavailable
from services.domain.topics import TopicPartition
from services.runtime.connections import kafka_settings, open_log, open_store
from services.runtime.distributed.process import STOPPING, ProcessParts
from services.runtime.topics import topic_partitions
from services.runtime.watched import watch_projections
from services.shell.projection_member import ProjectionMember, stored_position
from services.shell.projection_shell import RUNNING, WAITING, Done, Frames, ProjectionShell

READY_STATES: Final = (RUNNING, WAITING)
"""Without the store it waits, and nothing is lost: to start it again would not help."""

_LOOK_SECONDS: Final = 0.02


class ProjectionPlace(NamedTuple):
    """What a shell is made of."""

    partition: TopicPartition
    frames: Frames
    store: ProjectionStore
    clock: Clock
    done: Done
    tracing: Tracing | None


class ProjectionKind(NamedTuple):
    """Which projection it is. reader: its name in the store. topics: whose partitions it folds."""

    service: str
    reader: str
    topics: Sequence[str]
    shell: Callable[[ProjectionPlace], ProjectionShell[Any]]


class ProjectionProcess:
    """`Process` of one member of a projection's group."""

    core_reads = None

    def __init__(self, kind: ProjectionKind, member: int, settings: Settings, logs: Logs) -> None:
        self._kind = kind
        self._parts = parts = ProcessParts(kind.service, member, settings, logs)
        self.name, self.metrics = parts.name, parts.metrics
        self._kafka = kafka_settings(settings, self.name)
        self._partitions = topic_partitions(settings)
        self._store = open_store(settings)
        self._member: ProjectionMember | None = None
        # Only for numbers, and to wait for the topics: frames come through the group.
        self._log = open_log(settings, f"{self.name}-ends")
        self._ends = parts.watch_ends(self._log)
        watch_projections(parts.metrics, self._shells, self._ends)
        parts.metrics.watch_components(self._running)
        self._store.on_call = calls_meter(parts.metrics)
        self._store.on_request = requests_meter(parts.metrics)

    async def health(self) -> Health:
        member = self._member
        states = self._parts.states(member.state if member is not None else "")
        if member is not None:
            states |= self._shell_states()
        return Health(all(state in READY_STATES for state in states.values()), states)

    async def start(self) -> None:
        parts, kind = self._parts, self._kind
        store = self._store
        await parts.insist(self._find_topics, "the log", LogError)
        await parts.insist(store.check, "the store", StoreUnavailable)
        group = f"{self._kafka.topic_prefix}{kind.reader}"
        position = stored_position(store, kind.reader)
        frames = FaustFrames(self._kafka, group, self.name, kind.topics, position)

        def make_shell(partition: TopicPartition) -> ProjectionShell[Any]:
            self._ends.end_now(partition)
            return kind.shell(ProjectionPlace(partition, frames, store, parts.clock, frames.done, parts.tracing))

        self._member = member = ProjectionMember(frames, make_shell)
        parts.tasks.spawn(self.name, member.run())
        parts.state = "joining its group"
        await parts.tasks.run_beside(_joined(member))
        parts.state = RUNNING

    async def wait_failed(self) -> None:
        await self._parts.tasks.wait_failed()

    async def stop(self) -> None:
        parts = self._parts
        parts.state = STOPPING
        parts.tasks.let_end()
        try:
            if self._member is not None and not parts.tasks.failed:
                self._member.stop()
                await parts.finish(self.name)
        finally:
            await parts.end()
            await self._log.close()
            await self._store.close()

    async def _find_topics(self) -> None:
        """Raises LogError when a topic has fewer partitions than there are shards."""
        for topic in self._kind.topics:
            await self._log.end(TopicPartition(topic, self._partitions[topic] - 1))

    def _shell_states(self) -> dict[str, str]:
        return {f"{self.name} {shell.partition}": self._state_of(shell) for shell in self._shells()}

    def _running(self) -> Iterable[tuple[str, bool]]:
        return [(name, state == RUNNING) for name, state in self._shell_states().items()]

    def _state_of(self, shell: ProjectionShell[Any]) -> str:
        """Its own, or that the brokers are silent: then nothing arrives, and the group does not notice for long."""
        silent = self._ends.end_now(shell.partition) is None
        return NO_BROKER if silent and shell.state == RUNNING else shell.state

    def _shells(self) -> Iterable[ProjectionShell[Any]]:
        return list(self._member.shells.values()) if self._member is not None else []


async def _joined(member: ProjectionMember) -> None:
    while member.state not in READY_STATES:  # noqa: ASYNC110  nobody announces it
        await asyncio.sleep(_LOOK_SECONDS)
