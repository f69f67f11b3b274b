"""A simulated disk: what was synced survives, the rest is lost or torn at any byte, and at times it is full or broken.

Many appended pieces may be unsynced at once; a crash keeps a prefix of them. `replace` leaves the old file or the new
one. An append or sync that fails has done any part of its work.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import Final

from services.simulation.faults import Faults
from services.simulation.process import Process

_APPEND_MS: Final = (0.005, 0.1)
_SYNC_MS: Final = (0.1, 2.0)

Step = Callable[[Process], None]


class _File:
    """durable: None while the file's existence was never synced. unsynced: appended since."""

    __slots__ = ("durable", "unsynced")

    def __init__(self) -> None:
        self.durable: bytes | None = None
        self.unsynced = bytearray()

    @property
    def data(self) -> bytes:
        return (self.durable or b"") + self.unsynced

    def sync(self) -> None:
        self.durable = self.data
        self.unsynced.clear()


class Disk:
    """The files of one process, which outlive it."""

    def __init__(self, faults: Faults) -> None:
        self.files: dict[str, _File] = {}
        self.full = False
        self.power_cuts = 0
        self._faults = faults

    def crash(self) -> None:
        """The machine lost power: of everything unsynced only some prefix is there, or nothing, or zeros follow it."""
        dice = self._faults.dice
        self.power_cuts += 1
        for name in sorted(self.files):
            file = self.files[name]
            if file.unsynced:
                kept = dice.choice((0, len(file.unsynced), dice.randint(0, len(file.unsynced))))
                self._faults.counts.torn_tails += kept < len(file.unsynced)
                zeros = dice.randint(0, len(file.unsynced) - kept) if dice.random() < 0.3 else 0
                file.unsynced[kept:] = bytes(zeros)
            if file.durable is None and not file.unsynced and dice.random() < 0.5:
                del self.files[name]
            else:
                file.sync()

    def copy(self) -> "Disk":
        """What a copy of the folder holds, taken while its owner goes on writing."""
        other = Disk(self._faults)
        for name in sorted(self.files):
            file = other.files[name] = _File()
            data = self.files[name].data
            file.durable = data if self.files[name].unsynced == b"" else data[: len(data) - self._torn(name)]
        return other

    def _torn(self, name: str) -> int:
        return self._faults.dice.randint(0, len(self.files[name].unsynced))


class SimulatedDirectory:
    """`ports.Directory` as one process sees its disk."""

    def __init__(self, disk: Disk, process: Process, faults: Faults, step: Step) -> None:
        self._disk = disk
        self._process = process
        self._faults = faults
        self._step = step

    async def names(self) -> list[str]:
        await self._work(_APPEND_MS)
        return sorted(self._disk.files)

    async def read(self, name: str) -> bytes:
        await self._work(_APPEND_MS)
        if name not in self._disk.files:
            raise FileNotFoundError(name)
        return self._disk.files[name].data

    async def append(self, name: str, data: bytes) -> None:
        self._process.require_alive()
        power_cuts = self._disk.power_cuts
        try:
            await self._work(_APPEND_MS)
            self._fail_at_times()
        except (asyncio.CancelledError, OSError):
            # Killed in the middle of the write; after a power cut nothing more is written.
            if self._disk.power_cuts == power_cuts:
                self._file(name).unsynced += data[: self._faults.dice.randint(0, len(data))]
            raise
        self._file(name).unsynced += data

    async def sync(self, name: str) -> None:
        await self._work(_SYNC_MS)
        if self._faults.strikes(self._faults.rates.disk_error):
            # After a failed sync the pages are gone or there, and a second one would not tell.
            file = self._file(name)
            del file.unsynced[self._faults.dice.randint(0, len(file.unsynced)) :]
            self._fail(errno.EIO)
        self._file(name).sync()

    async def replace(self, name: str, data: bytes) -> None:
        await self._work(_SYNC_MS)
        self._fail_at_times()
        file = self._disk.files[name] = _File()
        file.durable = data
        await self._work(_APPEND_MS)

    async def truncate(self, name: str, size: int) -> None:
        await self._work(_SYNC_MS)
        file = self._file(name)
        file.durable = file.data[:size]
        file.unsynced.clear()
        await self._work(_APPEND_MS)

    async def remove(self, name: str) -> None:
        await self._work(_SYNC_MS)
        if self._disk.files.pop(name, None) is None:
            raise FileNotFoundError(name)
        await self._work(_APPEND_MS)

    def _file(self, name: str) -> _File:
        return self._disk.files.setdefault(name, _File())

    async def _work(self, milliseconds: tuple[float, float]) -> None:
        self._process.require_alive()
        self._step(self._process)
        await asyncio.sleep(self._faults.delay_s(*milliseconds))
        self._process.require_alive()

    def _fail_at_times(self) -> None:
        if self._faults.strikes(self._faults.rates.disk_full):
            self._disk.full = True
        if self._disk.full:
            self._fail(errno.ENOSPC)
        if self._faults.strikes(self._faults.rates.disk_error):
            self._fail(errno.EIO)

    def _fail(self, number: int) -> None:
        self._faults.counts.disk_faults += 1
        raise OSError(number, "simulated: the disk failed")
