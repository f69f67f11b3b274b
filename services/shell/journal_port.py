"""What a core's shell asks of `services.adapters.journal.journal.Journal`."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.adapters.ports import StoredFrame


class Recovered(Protocol):
    """What a journal holds."""

    @property
    def snapshot(self) -> bytes | None: ...

    @property
    def frames(self) -> AsyncIterator[StoredFrame]: ...

    @property
    def torn(self) -> str | None: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


class JournalPort(Protocol):
    """The journal of one core."""

    async def open(self) -> Recovered: ...

    async def append(self, frames: Sequence[StoredFrame]) -> None: ...

    async def flush(self) -> None: ...

    async def snapshot(self, data: bytes, digest: bytes, next_offset: int) -> None: ...
