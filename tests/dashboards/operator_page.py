"""The operator's page of metrics, served by its own code, of passes that the test tells it of."""

import asyncio
import socket
import threading
from typing import Final, Self

from exchange_operator.metrics import Metrics, MetricsServer

_PAUSE_S: Final = 0.2


class OperatorPage:
    """Goes on until the block ends. address: host:port, where /metrics is. Two exchanges: one well, one not."""

    def __init__(self) -> None:
        self._metrics = Metrics("1.2.3")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="operator")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    async def _serve(self) -> None:
        server = MetricsServer(self._metrics)
        await server.start(self._listener)
        number = 0
        while not self._over.is_set():
            number += 1
            await self._pass(number)
        await server.close()

    async def _pass(self, number: int) -> None:
        results = {1: "changed", 2: "waiting"}
        with self._metrics.timed() as ended:
            await asyncio.sleep(_PAUSE_S * (number % 5) / 4)
            if number % 10:
                ended(results.get(number % 10, "converged"))
        # A failed pass corrects nothing.
        if number % 10 == 1:
            self._metrics.drift_corrected("Service")
        is_well = number % 40 < 30
        self._metrics.conditions("trading", "demo", {"Ready": True, "Degraded": False, "Progressing": not is_well})
        self._metrics.conditions("trading", "trial", {"Ready": is_well, "Degraded": not is_well})
        self._metrics.watch("trading", "trial", is_fresh=is_well)
        await asyncio.sleep(_PAUSE_S)
