"""Active cores and their standbys as real processes on a real broker: killed and frozen, while orders keep coming."""

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Append, Log
from services.domain.core import SourceSequences
from services.domain.messages import decode_frame, encode_frame
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from tests.contracts.log_contract import read_all
from tests.real.broker import Broker
from tests.support.aio import run_async
from tests.support.balance_shard import buy, funded, instruments, sell
from tests.support.core_program import OUTPUTS, TAKEOVER_AFTER_S, CoreProgram, fresh
from tests.support.kafka import make_partitions

OPERATIONS, EVENTS = TopicPartition(BALANCE_OPERATIONS, 0), TopicPartition(BALANCE_EVENTS, 0)
ACCEPTED, RESULTS = TopicPartition(ORDERS, 0), TopicPartition(ENGINE_OUTPUTS, 0)
PATIENCE_S = 120.0
PAUSE_S = 0.01
_NUMBERS = itertools.count(1)


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    made = KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix=f"standby-{next(_NUMBERS)}.")
    asyncio.run(make_partitions(made, (OPERATIONS, EVENTS, ACCEPTED, RESULTS)))
    return made


class _Load:
    """Orders of two users against each other, a frame every few milliseconds."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._stopping = False
        self._frames = 0
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        await self._say([*instruments(), *funded(7, 8)])
        while not self._stopping:
            n = self._frames
            make, user = (buy, 7) if n % 2 else (sell, 8)
            await self._say([make(user, 1_000 + n % 5, 10 + n % 3, f"order-{n}")])
            await asyncio.sleep(PAUSE_S)

    async def _say(self, records: list[Any]) -> None:
        await self._log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, records))])
        self._frames += 1

    async def more(self, frames: int) -> None:
        """Return once there are so many more."""
        goal = self._frames + frames
        await _until(lambda: self._frames >= goal or self._task.done())
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        self._stopping = True
        await self._task


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_S)


async def _silence_s(log: Log, partition: TopicPartition) -> float:
    """How long from now until something new was said."""
    begin, end = time.monotonic(), await log.end(partition)
    async with asyncio.timeout(PATIENCE_S):
        await log.wait(partition, end)
    return time.monotonic() - begin


async def _come_to_rest(log: Log, programs: dict[str, list[CoreProgram]]) -> None:
    """Wait until the cores have answered each other, and everybody has heard all of it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            ends = [await log.end(OPERATIONS), await log.end(ACCEPTED)]
            for kind, end in zip(("ubscore", "matcher"), ends, strict=True):
                for program in programs.get(kind, []):
                    await program.until(end, program.state().role, PATIENCE_S)
            if ends == [await log.end(OPERATIONS), await log.end(ACCEPTED)]:
                return


async def _check(log: Log, kind: str, programs: list[CoreProgram]) -> int:
    """A fresh fold of the log says what readers find there, and has every program's digest. Returns repeats."""
    core, expected = fresh(kind), dict[TopicPartition, list[Any]]()
    for stored in await read_all(log, core.input):
        for output in core.apply(decode_frame(core.input.topic, stored.data), stored.offset):
            expected.setdefault(output.partition, []).extend(output.records)
    for program in programs:
        assert program.state().digest == core.digest().hex()
    repeated = 0
    for partition in OUTPUTS[kind]:
        sequences, records = SourceSequences(), []
        for stored in await read_all(log, partition):
            frame = decode_frame(partition.topic, stored.data)
            if frame.source == core.source:
                repeats = sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
                records += frame.records[repeats:]
                repeated += repeats
        assert records == expected.get(partition, [])
    return repeated


@run_async
async def test_active_cores_killed_under_load_standbys_answer_within_seconds(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    log = KafkaLog(settings)
    with (
        CoreProgram(settings, "ubscore", tmp_path / "ubscore", "active") as ubscore,
        CoreProgram(settings, "ubscore", tmp_path / "ubscore-standby", "standby") as ubscore_standby,
        CoreProgram(settings, "matcher", tmp_path / "matcher", "active") as matcher,
        CoreProgram(settings, "matcher", tmp_path / "matcher-standby", "standby") as matcher_standby,
    ):
        load = _Load(log)
        for program in (ubscore, matcher):
            await program.until(20, "active", PATIENCE_S)
        for program in (ubscore_standby, matcher_standby):
            await program.until(20, "standby", PATIENCE_S)
        for victim, partition in ((ubscore, EVENTS), (matcher, RESULTS)):
            await load.more(50)
            victim.send(signal.SIGKILL)
            silence_s = await _silence_s(log, partition)
            print(f"\n{partition.topic}: killed; its standby speaks after {silence_s:.2f} s (takeover after 1 s)")
        await load.more(50)
        await load.stop()
        await _come_to_rest(log, {"ubscore": [ubscore_standby], "matcher": [matcher_standby]})
        assert (ubscore_standby.state().role, matcher_standby.state().role) == ("active", "active")
        for kind, program in (("ubscore", ubscore_standby), ("matcher", matcher_standby)):
            await _check(log, kind, [program])
    await log.close()


@run_async
async def test_active_core_frozen_and_thawed_both_speak_and_the_standby_steps_back(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    log = KafkaLog(settings)
    with (
        CoreProgram(settings, "ubscore", tmp_path / "active", "active") as active,
        CoreProgram(settings, "ubscore", tmp_path / "standby", "standby") as standby,
    ):
        load = _Load(log)
        await active.until(20, "active", PATIENCE_S)
        await standby.until(20, "standby", PATIENCE_S)
        active.send(signal.SIGSTOP)
        await standby.until(0, "active", PATIENCE_S)
        # It says all of it, far beyond what the frozen one will find when it wakes up.
        await load.more(round(2 * TAKEOVER_AFTER_S / PAUSE_S))
        active.send(signal.SIGCONT)
        await standby.until(0, "standby", PATIENCE_S)
        await load.more(50)
        await load.stop()
        programs = [active, standby]
        await _come_to_rest(log, {"ubscore": programs})
        assert (active.state().role, standby.state().role) == ("active", "standby")
        repeats = await _check(log, "ubscore", programs)
        assert repeats > 0, "both have spoken"
        print(f"\nboth spoke for a while: {repeats} records are there twice, and readers take them once")
    await log.close()
