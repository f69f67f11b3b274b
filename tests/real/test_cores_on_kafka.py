"""A real core on the log of a real broker says and becomes what it does on the local log, whatever the broker does."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.adapters.clock import SystemClock
from services.adapters.files import FileDirectory
from services.adapters.journal.journal import Journal
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Append, Log
from services.adapters.sqlite.log import SqliteLog
from services.domain.core import SourceSequences
from services.domain.messages import decode_frame, encode_frame
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ORDERS, TopicPartition
from services.shell.core_shell import CoreShell
from services.ubscore.core import UbsCore
from tests.contracts.log_contract import read_all
from tests.real.broker import Broker
from tests.support.aio import run_async
from tests.support.balance_shard import buy, funded, instruments
from tests.support.kafka import make_partitions

INPUT = TopicPartition(BALANCE_OPERATIONS, 0)
OUTPUTS = (TopicPartition(BALANCE_EVENTS, 0), TopicPartition(ORDERS, 0))
FRAMES = 400
PATIENCE_S = 120.0
_NUMBERS = itertools.count(1)


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    made = KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"cores-{next(_NUMBERS)}.")
    asyncio.run(make_partitions(made, (INPUT, *OUTPUTS)))
    return made


class _Life:
    """One life of an ubscore process, with its journal in a folder."""

    def __init__(self, log: Log, folder: Path) -> None:
        self.log = log
        self.directory = FileDirectory(folder)
        journal = Journal(self.directory, "ubscore-0")
        self.shell = CoreShell(lambda: UbsCore(0, 1), UbsCore.restore, log, journal, SystemClock(), OUTPUTS)

    async def reach(self, offset: int) -> None:
        """Return once the core has applied everything before `offset`; raise what stopped it earlier."""
        async with asyncio.timeout(PATIENCE_S):
            while self.shell.core.next_offset < offset:
                if self.running.done():
                    self.running.result()
                await asyncio.sleep(0.002)

    @asynccontextmanager
    async def following(self) -> AsyncIterator["_Life"]:
        """It recovers and follows its input, and stops in order at the end."""
        await self.shell.recover()
        self.running = asyncio.create_task(self.shell.run())
        try:
            yield self
        finally:
            self.shell.stop()
            await asyncio.wait_for(self.running, PATIENCE_S)
            await self.directory.close()


def _commands() -> list[bytes]:
    """The input's frames: first the venue, then orders, some of which are refused."""
    orders = [[buy(7 + n % 3, 1_000 + n % 50, 10, f"order-{n % 390}")] for n in range(FRAMES - 1)]
    return [encode_frame("gateway-1", 0, records) for records in ([*instruments(), *funded(7, 8)], *orders)]


async def _feed(log: Log, frames: list[bytes]) -> None:
    for data in frames:
        await log.append([Append(INPUT, data)])


async def _said(log: Log) -> list[list[Any]]:
    """Every record of every output as a reader takes it; raises GapError on a hole."""
    said = []
    for partition in OUTPUTS:
        sequences, records = SourceSequences(), []
        for stored in await read_all(log, partition):
            frame = decode_frame(partition.topic, stored.data)
            repeats = sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
            records += frame.records[repeats:]
        said.append(records)
    return said


async def _on_local_log(folder: Path) -> tuple[bytes, list[list[Any]]]:
    """The digest and the outputs of a life that nothing disturbed."""
    log = SqliteLog(folder / "log.sqlite3")
    await _feed(log, _commands())
    async with _Life(log, folder / "ubscore").following() as life:
        await life.reach(FRAMES)
    said = await _said(log)
    await log.close()
    return life.shell.core.digest(), said


@run_async
async def test_core_broker_killed_and_restarted_while_it_works_same_digest_and_outputs(
    broker: Broker, settings: KafkaSettings, tmp_path: Path
) -> None:
    digest, said = await _on_local_log(tmp_path / "local")
    gateway, log = KafkaLog(settings), KafkaLog(settings)
    async with asyncio.timeout(2 * PATIENCE_S), _Life(log, tmp_path / "ubscore").following() as life:
        feeding = asyncio.create_task(_feed(gateway, _commands()))
        for offset in (FRAMES // 4, FRAMES // 2):
            await life.reach(offset)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
        await feeding
        await life.reach(FRAMES)
    assert life.shell.core.digest() == digest
    assert await _said(log) == said
    await gateway.close()
    await log.close()


@run_async
async def test_core_restarted_with_and_without_its_journal_says_nothing_twice(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    digest, said = await _on_local_log(tmp_path / "local")
    log = KafkaLog(settings)
    frames = _commands()
    for folder, fed in (("first", frames[:150]), ("first", frames[150:300]), ("lost", frames[300:])):
        await _feed(log, fed)
        async with asyncio.timeout(PATIENCE_S), _Life(log, tmp_path / folder).following() as life:
            await life.reach(await log.end(INPUT))
    assert life.shell.core.digest() == digest
    assert await _said(log) == said
    raw = [decode_frame(p.topic, stored.data).records for p in OUTPUTS for stored in await read_all(log, p)]
    assert sum(map(len, raw)) == sum(map(len, said))
    await log.close()


@run_async
async def test_core_two_instances_at_once_readers_take_everything_once(settings: KafkaSettings, tmp_path: Path) -> None:
    digest, said = await _on_local_log(tmp_path / "local")
    logs = [KafkaLog(settings) for _ in range(3)]
    active, zombie = (_Life(log, tmp_path / name) for name, log in zip(("active", "zombie"), logs, strict=False))
    async with asyncio.timeout(PATIENCE_S), active.following(), zombie.following():
        await _feed(logs[2], _commands())
        for life in (active, zombie):
            await life.reach(FRAMES)
    assert active.shell.core.digest() == zombie.shell.core.digest() == digest
    assert await _said(logs[2]) == said
    for log in logs:
        await log.close()
