"""The one producer of a log: made when first needed, and made anew after anything went wrong with it."""

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.adapters.kafka.settings import KafkaSettings

_RETRY_S = 0.2
_DISCARD_WITHIN_S = 0.05


class ProducerSource:
    """Gives an idempotent producer that waits for all replicas.

    A producer numbers its batches, and a broker takes no batch after one that it refused: so a failed one is dropped
    whole, with all that it had in flight, and the next one starts with an identity of its own.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._producer: Any = None
        self._discarding: set[asyncio.Task[None]] = set()

    async def get(self) -> Any:
        """The AIOKafkaProducer; waits for a broker as long as it takes."""
        async with self._lock:
            while self._producer is None:
                producer = self._make()
                try:
                    await producer.start()
                except BaseException as error:
                    await producer.stop()
                    if not isinstance(error, KafkaError | OSError):
                        raise
                    await asyncio.sleep(_RETRY_S)
                else:
                    self._producer = producer
            return self._producer

    def drop(self) -> None:
        """Give up the producer: what it was told to send and did not send yet is not sent."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.get_running_loop().create_task(_discard(producer))
            self._discarding.add(task)
            task.add_done_callback(self._discarding.discard)

    async def close(self) -> None:
        """Close the producer, which has nothing left to send."""
        self.drop()
        await asyncio.gather(*self._discarding)

    def _make(self) -> Any:
        settings = self._settings
        return AIOKafkaProducer(
            **settings.client_options(),
            acks="all",
            enable_idempotence=True,
            compression_type=settings.compression,
            max_batch_size=settings.max_batch_bytes,
            max_request_size=settings.max_frame_bytes + settings.max_batch_bytes,
        )


async def _discard(producer: Any) -> None:
    # Not by stop(): an idempotent producer repeats until it succeeds, and stop() waits for that. The connections go
    # first, so that nothing is sent any more; its sender takes one cancellation for itself and one for each request.
    with contextlib.suppress(KafkaError, OSError):
        await producer.client.close()
    sender = producer._sender.sender_task
    while sender is not None and not sender.done():
        sender.cancel()
        await asyncio.wait([sender], timeout=_DISCARD_WITHIN_S)
    if sender is not None and not sender.cancelled():
        sender.exception()
    producer._closed = True
    with contextlib.suppress(KafkaError, OSError):
        # A repeat may have opened another connection meanwhile.
        await producer.client.close()
