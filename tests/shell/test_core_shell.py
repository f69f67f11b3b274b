"""The core shell on a real journal and a log that a test can break: whatever fails, the log says everything once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.adapters.clock import SystemClock
from services.adapters.files import FileDirectory
from services.adapters.journal import Journal
from services.adapters.ports import Append
from services.domain.core import SourceSequences
from services.domain.errors import GapError, InvariantError, LogError
from services.domain.instruments import SymbolSettings
from services.domain.messages import CreateUser, PlaceOrder, SetAsset, SetSymbol, TransferIn, encode_frame
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ORDERS, TopicPartition
from services.shell.core_shell import CoreShell
from services.ubscore.core import UbsCore
from tests.support.aio import run_async
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


def _order(n: int) -> PlaceOrder:
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


async def _fill(log: MemoryLog, orders: int) -> None:
    await log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, _settings()))])
    for n in range(orders):
        await log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, [_order(n)]))])


class _Process:
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
        async with asyncio.timeout(20):
            while self.shell.core.next_offset < offset and not running.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
            self.shell.stop()
            await running
        await self.directory.close()

    async def crash_while_running(self) -> BaseException | None:
        """Recover and run until something breaks; the journal is left as it is."""
        try:
            await self.shell.recover()
            async with asyncio.timeout(20):
                await self.shell.run()
        except LogError as error:
            return error
        finally:
            await self.directory.close()
        return None


def _said(log: MemoryLog, partition: TopicPartition) -> list[Any]:
    """The records of a partition as a reader takes them; raises GapError on a hole."""
    sequences, records = SourceSequences(), []
    for frame in log.decoded(partition):
        repeats = sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
        records += frame.records[repeats:]
    return records


def _raw(log: MemoryLog, partition: TopicPartition) -> int:
    return sum(len(frame.records) for frame in log.decoded(partition))


async def _undisturbed(folder: Path, orders: int) -> tuple[MemoryLog, bytes]:
    log = MemoryLog()
    await _fill(log, orders)
    process = _Process(log, folder)
    await process.run_until(orders + 1, log)
    return log, process.shell.core.digest()


@pytest.mark.parametrize("written", [False, True], ids=["append lost", "append written, answer lost"])
@run_async
async def test_core_shell_append_fails_next_life_says_the_rest_once(tmp_path: Path, written: bool) -> None:
    expected, digest = await _undisturbed(tmp_path / "a", 50)
    log = MemoryLog()
    await _fill(log, 50)
    log.failures, log.fail_written = [LogError("the connection broke")], written
    assert isinstance(await _Process(log, tmp_path / "b").crash_while_running(), LogError)
    process = _Process(log, tmp_path / "b")
    await process.run_until(51, log)
    assert process.shell.replayed_frames > 0
    assert process.shell.core.digest() == digest
    for partition in (EVENTS, ACCEPTED):
        assert _said(log, partition) == _said(expected, partition)
        assert _raw(log, partition) == _raw(expected, partition), "nothing was said twice"


@run_async
async def test_core_shell_journal_lost_rebuilds_from_the_log_and_says_nothing_twice(tmp_path: Path) -> None:
    log, digest = await _undisturbed(tmp_path / "a", 40)
    before = _raw(log, EVENTS)
    process = _Process(log, tmp_path / "empty")
    await process.run_until(41, log)
    assert process.shell.core.digest() == digest
    assert _raw(log, EVENTS) == before


@run_async
async def test_core_shell_restart_after_snapshot_replays_nothing(tmp_path: Path) -> None:
    log, digest = await _undisturbed(tmp_path, 30)
    process = _Process(log, tmp_path)
    await process.run_until(31, log)
    assert process.shell.replayed_frames == 0
    assert process.shell.core.digest() == digest


@run_async
async def test_core_shell_snapshot_interval_zero_snapshots_every_batch_and_restarts(tmp_path: Path) -> None:
    expected, digest = await _undisturbed(tmp_path / "a", 20)
    log = MemoryLog()
    await _fill(log, 20)
    process = _Process(log, tmp_path / "b", snapshot_interval_ms=0)
    await process.run_until(21, log)
    assert sorted(path.suffix for path in (tmp_path / "b").iterdir()).count(".snap") >= 1
    again = _Process(log, tmp_path / "b")
    await again.run_until(21, log)
    assert again.shell.core.digest() == digest
    assert _said(log, EVENTS) == _said(expected, EVENTS)


@run_async
async def test_core_shell_two_instances_at_once_say_the_same(tmp_path: Path) -> None:
    """A zombie beside its successor: both write, readers drop the second copy."""
    expected, digest = await _undisturbed(tmp_path / "a", 60)
    log = MemoryLog()
    await _fill(log, 60)
    first, second = _Process(log, tmp_path / "b"), _Process(log, tmp_path / "c")
    await asyncio.gather(first.run_until(61, log), second.run_until(61, log))
    assert first.shell.core.digest() == second.shell.core.digest() == digest
    assert _said(log, EVENTS) == _said(expected, EVENTS)
    assert _said(log, ACCEPTED) == _said(expected, ACCEPTED)


@run_async
async def test_core_shell_log_ends_before_journal_stops(tmp_path: Path) -> None:
    await _undisturbed(tmp_path, 10)
    with pytest.raises(InvariantError, match="this is not the log that it followed"):
        await _Process(MemoryLog(), tmp_path).shell.recover()


class _TrimmedLog(MemoryLog):
    """A log whose retention removed its first frames."""

    async def start(self, partition: TopicPartition) -> int:
        return min(5, await self.end(partition))


@run_async
async def test_core_shell_log_starts_behind_position_stops_with_both_positions(tmp_path: Path) -> None:
    log = _TrimmedLog()
    await _fill(log, 10)
    with pytest.raises(GapError, match="from offset 0, but the log starts at 5"):
        await _Process(log, tmp_path).shell.recover()


@run_async
async def test_core_shell_stop_while_idle_returns(tmp_path: Path) -> None:
    log = MemoryLog()
    process = _Process(log, tmp_path)
    await process.shell.recover()
    running = asyncio.create_task(process.shell.run())
    for _ in range(20):
        await asyncio.sleep(0)
    process.shell.stop()
    async with asyncio.timeout(20):
        await running
    await process.directory.close()


class _SlowLog(MemoryLog):
    """A log on which finding nothing takes a while, as it does over a network."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def read(self, partition: TopicPartition, offset: int, max_frames: int = 256) -> Any:
        frames = await super().read(partition, offset, max_frames)
        self.asked.set()
        for _ in range(10):
            await asyncio.sleep(0)
        return frames


@run_async
async def test_core_shell_stop_while_it_looks_for_frames_returns(tmp_path: Path) -> None:
    log = _SlowLog()
    process = _Process(log, tmp_path)
    await process.shell.recover()
    log.asked.clear()
    running = asyncio.create_task(process.shell.run())
    await log.asked.wait()
    process.shell.stop()
    # Not `timeout`: it would cancel the shell, which takes that for the end of its wait.
    done, _ = await asyncio.wait([running], timeout=5)
    running.cancel()
    assert done
    await process.directory.close()


@run_async
async def test_core_shell_idle_takes_the_snapshot_that_falls_due(tmp_path: Path) -> None:
    log = MemoryLog()
    await _fill(log, 3)
    process = _Process(log, tmp_path, snapshot_interval_ms=20)
    await process.shell.recover()
    running = asyncio.create_task(process.shell.run())
    async with asyncio.timeout(20):
        while process.shell.core.next_offset < 4 or process.shell.has_news:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert list(tmp_path.glob("snapshot-*4.snap")), "nothing more came, and yet there is a snapshot of all of it"
    process.shell.stop()
    await running
    await process.directory.close()
