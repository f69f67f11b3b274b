"""The administrator's client of the brokers, and what only it may do: see which topics there are, and delete some."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from services.adapters.kafka_settings import KafkaSettings
from services.adapters.log_kafka_cursor import CLIENT_ERRORS
from services.domain.errors import LogError

_RETRY_S: Final = 0.2


@contextlib.asynccontextmanager
async def administrating(settings: KafkaSettings) -> AsyncIterator[Any]:
    """A connected AIOKafkaAdminClient. Waits for a broker as long as it takes."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await _connect(admin)
        yield admin
    finally:
        await admin.close()


async def _connect(admin: Any) -> None:
    while True:
        try:
            await admin.start()
        except CLIENT_ERRORS:
            await asyncio.sleep(_RETRY_S)
        else:
            return


def not_done(what: str, settings: KafkaSettings, error: Exception) -> LogError:
    """What became of a time that `append_timeout_s` limits; raise it `from` the client's error."""
    servers, limit = ", ".join(settings.bootstrap_servers), settings.append_timeout_s
    away = f"no broker at {servers} answered for {limit:g} s"
    return LogError(f"{what}: {away if isinstance(error, TimeoutError) else repr(error)}")


async def present_topics(settings: KafkaSettings, names: Collection[str]) -> dict[str, int]:
    """Those of our topics that exist, by the broker's own names, with their partitions. Raises LogError."""
    try:
        async with asyncio.timeout(settings.append_timeout_s), administrating(settings) as admin:
            return await partition_counts(admin, {settings.topic(name) for name in names})
    except CLIENT_ERRORS as error:
        raise not_done("the topics could not be listed", settings, error) from error


async def partition_counts(admin: Any, names: Collection[str]) -> dict[str, int]:
    """How many partitions each of these topics has, by the broker's own names; without those that do not exist."""
    topics = await admin.describe_topics(None)
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if topic["topic"] in names}


async def delete_topics(settings: KafkaSettings, names: Collection[str]) -> None:
    """Delete these of our topics, with all that is on them, and return when the brokers know them no more.

    One that does not exist is no mistake. Raises LogError when a broker refuses, or it takes too long.
    """
    left: set[str] = set()
    try:
        async with asyncio.timeout(settings.append_timeout_s), administrating(settings) as admin:
            await _delete(admin, {settings.topic(name) for name in names}, left)
    except CLIENT_ERRORS as error:
        what = "the topics could not be deleted"
        if left and isinstance(error, TimeoutError):
            still = f"the brokers still have {', '.join(sorted(left))} after {settings.append_timeout_s:g} s"
            raise LogError(f"{what}: {still}") from error
        raise not_done(what, settings, error) from error


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
