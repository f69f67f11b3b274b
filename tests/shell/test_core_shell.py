"""The core shell on a real journal and a log that a test can break: whatever fails, the log says everything once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.domain.errors import GapError, InvariantError, LogError
from services.domain.topics import TopicPartition
from tests.support.aio import run_async
from tests.support.memory_log import MemoryLog
from tests.support.ubscore_process import ACCEPTED, EVENTS, UbscoreProcess, fill, raw, said, undisturbed


@pytest.mark.parametrize("written", [False, True], ids=["append lost", "append written, answer lost"])
@run_async
async def test_core_shell_append_fails_next_life_says_the_rest_once(tmp_path: Path, written: bool) -> None:
    expected, digest = await undisturbed(tmp_path / "a", 50)
    log = MemoryLog()
    await fill(log, 50)
    log.failures, log.fail_written = [LogError("the connection broke")], written
    assert isinstance(await UbscoreProcess(log, tmp_path / "b").crash_while_running(), LogError)
    process = UbscoreProcess(log, tmp_path / "b")
    await process.run_until(51, log)
    assert process.shell.replayed_frames > 0
    assert process.shell.core.digest() == digest
    for partition in (EVENTS, ACCEPTED):
        assert said(log, partition) == said(expected, partition)
        assert raw(log, partition) == raw(expected, partition), "nothing was said twice"


@run_async
async def test_core_shell_journal_lost_rebuilds_from_the_log_and_says_nothing_twice(tmp_path: Path) -> None:
    log, digest = await undisturbed(tmp_path / "a", 40)
    before = raw(log, EVENTS)
    process = UbscoreProcess(log, tmp_path / "empty")
    await process.run_until(41, log)
    assert process.shell.core.digest() == digest
    assert raw(log, EVENTS) == before


@run_async
async def test_core_shell_restart_after_snapshot_replays_nothing(tmp_path: Path) -> None:
    log, digest = await undisturbed(tmp_path, 30)
    process = UbscoreProcess(log, tmp_path)
    await process.run_until(31, log)
    assert process.shell.replayed_frames == 0
    assert process.shell.core.digest() == digest


@run_async
async def test_core_shell_snapshot_interval_zero_snapshots_every_batch_and_restarts(tmp_path: Path) -> None:
    expected, digest = await undisturbed(tmp_path / "a", 20)
    log = MemoryLog()
    await fill(log, 20)
    process = UbscoreProcess(log, tmp_path / "b", snapshot_interval_ms=0)
    await process.run_until(21, log)
    assert sorted(path.suffix for path in (tmp_path / "b").iterdir()).count(".snap") >= 1
    again = UbscoreProcess(log, tmp_path / "b")
    await again.run_until(21, log)
    assert again.shell.core.digest() == digest
    assert said(log, EVENTS) == said(expected, EVENTS)


@run_async
async def test_core_shell_two_instances_at_once_say_the_same(tmp_path: Path) -> None:
    """A zombie beside its successor: both write, readers drop the second copy."""
    expected, digest = await undisturbed(tmp_path / "a", 60)
    log = MemoryLog()
    await fill(log, 60)
    first, second = UbscoreProcess(log, tmp_path / "b"), UbscoreProcess(log, tmp_path / "c")
    await asyncio.gather(first.run_until(61, log), second.run_until(61, log))
    assert first.shell.core.digest() == second.shell.core.digest() == digest
    assert said(log, EVENTS) == said(expected, EVENTS)
    assert said(log, ACCEPTED) == said(expected, ACCEPTED)


@run_async
async def test_core_shell_log_ends_before_journal_stops(tmp_path: Path) -> None:
    await undisturbed(tmp_path, 10)
    with pytest.raises(InvariantError, match="this is not the log that it followed"):
        await UbscoreProcess(MemoryLog(), tmp_path).shell.recover()


class _TrimmedLog(MemoryLog):
    """A log whose retention removed its first frames."""

    async def start(self, partition: TopicPartition) -> int:
        return min(5, await self.end(partition))


@run_async
async def test_core_shell_log_starts_behind_position_stops_with_both_positions(tmp_path: Path) -> None:
    log = _TrimmedLog()
    await fill(log, 10)
    with pytest.raises(GapError, match="from offset 0, but the log starts at 5"):
        await UbscoreProcess(log, tmp_path).shell.recover()


@run_async
async def test_core_shell_stop_while_idle_returns(tmp_path: Path) -> None:
    log = MemoryLog()
    process = UbscoreProcess(log, tmp_path)
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
    process = UbscoreProcess(log, tmp_path)
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
    await fill(log, 3)
    process = UbscoreProcess(log, tmp_path, snapshot_interval_ms=20)
    await process.shell.recover()
    running = asyncio.create_task(process.shell.run())
    async with asyncio.timeout(20):
        while process.shell.core.next_offset < 4 or process.shell.has_news:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert list(tmp_path.glob("snapshot-*4.snap")), "nothing more came, and yet there is a snapshot of all of it"
    process.shell.stop()
    await running
    await process.directory.close()
