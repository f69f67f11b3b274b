"""faust, made to hold: it goes on where the database stands, skips nothing, and fails aloud.

Out of the box it resumes at the group's offsets, acknowledges what failed, and hides what happened in its thread.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import faust
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from mode import CrashingSupervisor, Service
from mode.threads import WorkerThread
from yarl import URL

from services.adapters.kafka.settings import KafkaSettings
from services.domain.topics import TopicPartition

SESSION_TIMEOUT_S: Final = 6.0
"""A member that is silent for longer loses its partitions."""
_HEARTBEAT_S: Final = 2.0
_REQUEST_TIMEOUT_S: Final = 9.0
"""At least: it must be more than the session's."""
_METADATA_MS: Final = 3_000
_YEAR_S: Final = 365 * 86_400.0
_QUEUED_FRAMES: Final = 64
"""In faust, between the fetcher and the agent: the buffers behind it are counted in bytes."""
_FETCHED_FRAMES: Final = 1_000
_BREAK_OFF_WITHIN_S: Final = 0.5
_PLACES_WITHIN_S: Final = 4.0
"""Partitions whose place the store has not told by then are left out, and begin when it has."""


class Places(Protocol):
    """What the consumer needs to know of those who read: broker's names and offsets, on the event loop of the app."""

    def assigned(self, consumer: Any, partitions: Iterable[TopicPartition]) -> list[asyncio.Task[None]]:
        """Begin to open these; returns what ends when they are open."""

    async def revoked(self) -> None:
        """Close all of them; returns when nobody works on them any more."""

    def place(self, partition: TopicPartition) -> int | None:
        """The offset of the next frame; None when it is not open."""

    async def take(self, event: Any) -> None:
        """Take the next event of any partition. Raises GapError."""


class _Worker(WorkerThread):
    """Never keeps the process from ending, and ends without complaint when it is broken off."""

    def __init__(self, service: Any, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True
        self.broken_off = False

    def run(self) -> None:
        try:
            super().run()
        except (asyncio.CancelledError, RuntimeError):
            if not self.broken_off:
                raise


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer on a loop of its own, so that heartbeats run whatever the projections do."""

    Worker = _Worker

    async def _fetch_records(self, consumer: Any, active_partitions: Any, *arguments: Any, **options: Any) -> Any:
        # Else an error of the group's coordination would leave it silent for ever.
        consumer._coordinator.check_errors()
        # A copy: a rebalance empties the set meanwhile, and none would mean all.
        active = set(active_partitions)
        try:
            return await super()._fetch_records(consumer, active, *arguments, **options) if active else {}
        except NoOffsetForPartitionError:
            # It has not been sought yet: the group's offsets are none of our business.
            return {}
        except OffsetOutOfRangeError as error:
            if any(self._place(at) is not None for at in error.args[0]):
                raise
            return {}

    def _place(self, at: Any) -> int | None:
        app: Any = self.app
        place: int | None = app.places.place(_ours(at))
        return place

    async def stop(self) -> None:
        # Not as its base, which would block our loop until the thread has ended.
        if self._started.is_set() and not self.thread_loop.is_closed():
            await Service.stop(self)

    def abandon(self) -> None:
        """Break off whatever it does: it must not stay in the group beside its successor."""
        thread: Any = self._thread
        if thread is not None and thread.is_alive() and not self.thread_loop.is_closed():
            thread.broken_off = True
            self.thread_loop.call_soon_threadsafe(self._break_off)

    def _break_off(self) -> None:
        for task in asyncio.all_tasks(self.thread_loop):
            task.cancel()
        # Who holds out against that is left where it is.
        self.thread_loop.call_later(_BREAK_OFF_WITHIN_S, self.thread_loop.stop)

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """It is told by the app's crash_reason."""


class _Consumer(driver.Consumer):
    """Stands where the database says, and fetches nothing before it knows."""

    app: Any
    _thread: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opening: list[asyncio.Task[None]] = []

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        self._opening = self.app.places.assigned(self, map(_ours, assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self.app.places.revoked()
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        if self._opening:
            await asyncio.wait(self._opening, timeout=_PLACES_WITHIN_S)
        await super().perform_seek()

    async def seek_to_committed(self) -> Any:
        """Where faust would go to the group's offsets, it goes on where those who read stand."""
        places = {at: self.app.places.place(_ours(at)) for at in self.assignment()}
        known = {at: place for at, place in places.items() if place is not None}
        if known:
            await self.seek_wait(known)
        return known

    def resume_partitions(self, tps: Any) -> None:
        super().resume_partitions({at for at in tps if self.app.places.place(_ours(at)) is not None})

    def on_buffer_full(self, tp: Any) -> None:
        """Not to stop fetching, which costs a second each time: who puts into a full queue waits."""

    def on_buffer_drop(self, tp: Any) -> None:
        """As on_buffer_full."""

    def verify_event_path(self, now: float, tp: Any) -> None:
        """A projection that waits for its store says so itself."""

    def abandon(self) -> None:
        self._thread.abandon()


class _Transport(driver.Transport):
    Consumer = _Consumer


class FramesApp(faust.App):
    """One life of faust: one agent over all topics, which gives every event to `places`."""

    def __init__(self, settings: KafkaSettings, group: str, member: str, topics: Sequence[str], places: Places) -> None:
        self.places = places
        super().__init__(settings.topic(group), **_options(settings, member), loop=asyncio.get_running_loop())
        # It would write every request of the login at DEBUG.
        settings.client_options()
        names = [settings.topic(name) for name in topics]
        channel = self.topic(*names, value_serializer="raw", value_type=bytes)
        self.agent(channel, name="frames", supervisor_strategy=CrashingSupervisor)(_agent(places.take))

    def abandon(self) -> None:
        """Break off what `stop` could not end in time."""
        consumer: Any = self._consumer
        if consumer is not None:
            consumer.abandon()

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """It has nothing to keep on disk."""


def _agent(take: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def frames(stream: Any) -> None:
        async for event in stream.noack().events():
            await take(event)

    return frames


def _ours(at: Any) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)


def _options(settings: KafkaSettings, member: str) -> dict[str, Any]:
    return {
        "broker": [URL(f"kafka://{server}") for server in settings.bootstrap_servers],
        "broker_credentials": _credentials(settings),
        "broker_client_id": settings.client_id,
        "broker_session_timeout": SESSION_TIMEOUT_S,
        "broker_heartbeat_interval": _HEARTBEAT_S,
        "broker_request_timeout": max(settings.request_timeout_s, _REQUEST_TIMEOUT_S),
        # A projection waits for its store as long as it takes, and stays in the group.
        "broker_max_poll_interval": _YEAR_S,
        "broker_max_poll_records": _FETCHED_FRAMES,
        "consumer_max_fetch_size": settings.fetch_bytes,
        # Brokers that just started may not know all partitions: the group's leader looks again, and deals anew.
        "consumer_metadata_max_age_ms": _METADATA_MS,
        # A place that is not on the log is an error, never another place.
        "consumer_auto_offset_reset": "none",
        "consumer_group_instance_id": member,
        "stream_buffer_maxsize": _QUEUED_FRAMES,
        "stream_recovery_delay": 0.0,
        # Else a stop would wait for messages that nobody acknowledges any more.
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
    }


def _credentials(settings: KafkaSettings) -> Any:
    if settings.sasl_mechanism:
        return faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password,
            mechanism=settings.sasl_mechanism,
            ssl_context=settings.tls,
        )
    return faust.SSLCredentials(settings.tls) if settings.tls else None
