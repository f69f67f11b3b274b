"""A directory in memory whose disk fills up, fails, or loses power at a step that the test chooses."""

import errno


class PowerCut(Exception):
    """The machine stops here."""


class MemoryDirectory:
    """`services.adapters.ports.Directory`. Every call that changes something is a step; the first one is step 1.

    room: bytes that fit on the disk still; an append that needs more writes what fits and raises ENOSPC.
    cut_before: the step before which the power fails. fail_sync: whether sync raises EIO.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.durable: dict[str, int] = {}
        """Bytes of each file that were synced."""
        self.steps = 0
        self.syncs = 0
        self.room: int | None = None
        self.cut_before: int | None = None
        self.fail_sync = False

    def after_power_cut(self, kept_share: float) -> "MemoryDirectory":
        """What the disk holds afterwards: all that was synced, and a share of each file's other bytes."""
        left = MemoryDirectory()
        for name, data in self.files.items():
            durable = self.durable.get(name, 0)
            kept = durable + round((len(data) - durable) * kept_share)
            if kept or name in self.durable:
                left.files[name] = data[:kept]
                left.durable[name] = kept
        return left

    async def names(self) -> list[str]:
        return sorted(self.files)

    async def read(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    async def append(self, name: str, data: bytes) -> None:
        self._step()
        fits = len(data) if self.room is None else min(len(data), self.room)
        self.files[name] = self.files.get(name, b"") + data[:fits]
        self._use(len(data), fits)

    async def sync(self, name: str) -> None:
        self._step()
        self.syncs += 1
        if self.fail_sync:
            raise OSError(errno.EIO, "Input/output error")
        self.files.setdefault(name, b"")
        self.durable[name] = len(self.files[name])

    async def replace(self, name: str, data: bytes) -> None:
        self._step()
        self._use(len(data), len(data) if self.room is None else min(len(data), self.room))
        self.files[name] = data
        self.durable[name] = len(data)

    async def truncate(self, name: str, size: int) -> None:
        self._step()
        self.files[name] = (await self.read(name))[:size]
        self.durable[name] = size

    async def remove(self, name: str) -> None:
        self._step()
        if name not in self.files:
            raise FileNotFoundError(name)
        del self.files[name]
        self.durable.pop(name, None)

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.cut_before:
            raise PowerCut

    def _use(self, wanted: int, fits: int) -> None:
        if self.room is not None:
            self.room -= fits
            if fits < wanted:
                raise OSError(errno.ENOSPC, "No space left on device")
