"""An ubscore process in its shell on a real journal, as tests on a log in memory start, break and restart it."""

import asyncio
from pathlib import Path
from typing import Any

from services.adapters.clock import SystemClock
from services.adapters.files import FileDirectory
from services.adapters.journal.journal import Journal
from services.adapters.ports import Append
from services.domain.core import SourceSequences
from services.domain.errors import LogError
from services.domain.instruments import SymbolSettings
from services.domain.messages import CreateUser, PlaceOrder, SetAsset, SetSymbol, TransferIn, encode_frame
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ORDERS, TopicPartition
from services.shell.core_shell import CoreShell
from services.ubscore.core import UbsCore
from tests.support.memory_log import MemoryLog

OPERATIONS = TopicPartition(BALANCE_OPERATIONS, 0)
EVENTS = TopicPartition(BALANCE_EVENTS, 0)
ACCEPTED = TopicPartition(ORDERS, 0)


def _settings() -> list[Any]:
    symbol = SymbolSettings("BTC_USDT", "BTC", "USDT", "0.01", "0.00001", "5", 1_000, 1_000)
    return [
        SetAsset(1, 1, "BTC", 8),
        SetAsset(2, 1, "USDT", 8),
        SetSymbol(3, 1, symbol),
        CreateUser(4, 1, 7),
        TransferIn(5, 1, "t-1", 7, "USDT", 10**15),
    ]


def order(n: int) -> PlaceOrder:
    return PlaceOrder(
        100 + n,
        1_000 + n,
        7,
        f"order-{n}",
        "BTC_USDT",
        Side.Buy,
        OrderType.Limit,
        TimeInForce.GTC,
        SelfTradePrevention.ExpireTaker,
        5_000_000 + n,
        1_000,
    )


async def fill(log: MemoryLog, orders: int) -> None:
    await log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, _settings()))])
    for n in range(orders):
        await log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, [order(n)]))])


class UbscoreProcess:
    """One life of an ubscore process on a folder."""

    def __init__(self, log: Any, folder: Path, **options: Any) -> None:
        self.directory = FileDirectory(folder)
        journal = Journal(self.directory, "ubscore-0")
        self.shell = CoreShell(
            lambda: UbsCore(0, 1), UbsCore.restore, log, journal, SystemClock(), (EVENTS, ACCEPTED), **options
        )

    async def run_until(self, offset: int, log: Any) -> None:
        """Recover, follow the input to `offset`, and stop in order."""
        await self.shell.recover()
        running = asyncio.create_task(self.shell.run())
        async with asyncio.timeout(60):
            while self.shell.core.next_offset < offset and not running.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
            self.shell.stop()
            await running
        await self.directory.close()

    async def crash_while_running(self) -> BaseException | None:
        """Recover and run until something breaks; the journal is left as it is."""
        try:
            await self.shell.recover()
            async with asyncio.timeout(60):
                await self.shell.run()
        except LogError as error:
            return error
        finally:
            await self.directory.close()
        return None


def said(log: MemoryLog, partition: TopicPartition) -> list[Any]:
    """The records of a partition as a reader takes them; raises GapError on a hole."""
    sequences, records = SourceSequences(), []
    for frame in log.decoded(partition):
        repeats = sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
        records += frame.records[repeats:]
    return records


def raw(log: MemoryLog, partition: TopicPartition) -> int:
    return sum(len(frame.records) for frame in log.decoded(partition))


async def undisturbed(folder: Path, orders: int) -> tuple[MemoryLog, bytes]:
    log = MemoryLog()
    await fill(log, orders)
    process = UbscoreProcess(log, folder)
    await process.run_until(orders + 1, log)
    return log, process.shell.core.digest()
