"""Load for an HTTP server from this process: keep-alive connections, each sending its next request when answered.

A general client would be the slowest part of what is measured, so this one knows just enough of HTTP/1.1.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, NamedTuple

_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Load(NamedTuple):
    """latencies: seconds of each request, sorted. seconds: of all. refused: answers that were not 200."""

    latencies: Sequence[float]
    seconds: float
    refused: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds that `share` of the requests took at most."""
        return 1_000 * self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def request(path: str, body: bytes, token: str) -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(port: int, connections: int, requests: int, make: Callable[[], bytes]) -> Load:
    """Send `requests` requests over `connections` connections; `make` gives the next one's bytes."""
    left = iter(range(requests))
    latencies: list[float] = []
    refused: list[bytes] = []

    async def send_all() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for _ in left:
                data = make()
                begin = perf_counter()
                writer.write(data)
                status = await _answer(reader)
                latencies.append(perf_counter() - begin)
                if status != b"200":
                    refused.append(status)
        finally:
            writer.close()

    begin = perf_counter()
    await asyncio.gather(*(send_all() for _ in range(connections)))
    return Load(sorted(latencies), perf_counter() - begin, len(refused))


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Read one answer; returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    await reader.readexactly(int(length[1]) if length else 0)
    return head[9:12]
