"""The administrator's client of the brokers, and what only it may do: see, make and delete topics."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from services.adapters.kafka.cursor import CLIENT_ERRORS, start_patiently
from services.adapters.kafka.settings import KafkaSettings
from services.domain.errors import LogError

_RETRY_S: Final = 0.2
_LOOK_EVERY_S: Final = 0.05


@contextlib.asynccontextmanager
async def administrating(settings: KafkaSettings, not_done: str, late: Callable[[], str] = str) -> AsyncIterator[Any]:
    """A connected AIOKafkaAdminClient, for as long as one append may take.

    Raises LogError, which begins with `not_done` and says why, when a broker refuses or the time is over; then `late`
    may know better what it was used up for.
    """
    said = _Complaints()
    logger = logging.getLogger("aiokafka")
    logger.addHandler(said)
    try:
        async with asyncio.timeout(settings.append_timeout_s), connected_admin(settings) as admin:
            yield admin
    except CLIENT_ERRORS as error:
        why = (late() or _nobody(settings, said.last)) if isinstance(error, TimeoutError) else repr(error)
        raise LogError(f"{not_done}: {why}") from error
    finally:
        logger.removeHandler(said)


@contextlib.asynccontextmanager
async def connected_admin(settings: KafkaSettings) -> AsyncIterator[Any]:
    """As `administrating`. Waits for a broker as long as it takes, and raises the client's own errors."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await start_patiently(admin)
        yield admin
    finally:
        await admin.close()


class _Complaints(logging.Handler):
    """What the client complains of: that a password or certificate is wrong is in no error that it raises."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _nobody(settings: KafkaSettings, complaint: str) -> str:
    away = f"no broker at {', '.join(settings.bootstrap_servers)} answered for {settings.append_timeout_s:g} s"
    return f"{away} ({complaint})" if complaint else away


async def present_topics(settings: KafkaSettings, names: Collection[str]) -> dict[str, int]:
    """Those of our topics that exist, by the broker's own names, with their partitions. Raises LogError."""
    async with administrating(settings, "the topics could not be listed") as admin:
        return await partition_counts(admin, {settings.topic(name) for name in names})


async def partition_counts(admin: Any, names: Collection[str]) -> dict[str, int]:
    """How many partitions each of these topics has, by the broker's own names; without those that do not exist."""
    topics = await admin.describe_topics(None)
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if topic["topic"] in names}


async def create_topics(admin: Any, topics: Sequence[NewTopic]) -> None:
    """Ask for topics; `wait_for_leaders` tells when they are there. Raises LogError when a broker refuses one."""
    for name, code, *message in (await admin.create_topics(list(topics))).topic_errors:
        # Somebody else who makes the same at the same time may have been faster.
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise LogError(f"topic {name} cannot be created: {refusal(code, *message)}")


async def wait_for_leaders(admin: Any, wanted: Mapping[str, int]) -> None:
    """Return once the brokers tell clients who leads so many partitions of each of these topics."""
    while True:
        topics = await admin.describe_topics(None)
        led = {topic["topic"]: sum(part["leader"] >= 0 for part in topic["partitions"]) for topic in topics}
        if all(led.get(name, 0) >= count for name, count in wanted.items()):
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def refusal(code: int, message: str | None = None) -> str:
    """A broker's answer in words: what the protocol calls it, and what the broker adds."""
    return f"{for_code(code).__name__} {message or ''}".rstrip()


async def delete_topics(settings: KafkaSettings, names: Collection[str]) -> None:
    """Delete these of our topics, with all that is on them, and return when the brokers know them no more.

    One that does not exist is no mistake. Raises LogError when a broker refuses, or it takes too long.
    """
    left: set[str] = set()

    def still() -> str:
        seconds = f"{settings.append_timeout_s:g} s"
        return f"the brokers still have {', '.join(sorted(left))} after {seconds}" if left else ""

    async with administrating(settings, "the topics could not be deleted", still) as admin:
        await _delete(admin, {settings.topic(name) for name in names}, left)


async def _delete(admin: Any, names: Collection[str], left: set[str]) -> None:
    """left: is kept at those that are still there."""
    while True:
        left.clear()
        left.update(await partition_counts(admin, names))
        if not left:
            return
        for name, code in (await admin.delete_topics(sorted(left))).topic_error_codes:
            error = for_code(code)
            # Somebody else may be deleting it; and what may be tried again is.
            if code and error is not UnknownTopicOrPartitionError and not error.retriable:
                raise LogError(f"topic {name} cannot be deleted: {error.__name__} ({code})")
        await asyncio.sleep(_RETRY_S)
