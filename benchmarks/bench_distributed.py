"""The durable pipeline through a real broker: ubscore and matcher as processes of their own, as `exchange` starts them.

This process is the load: it writes frames of commands to balance.operations as a gateway would, and reads
balance.events. Measured are commands a second until ubscore has settled all of them, and beside it what the broker
alone does with the same frames on the same four topics; and how long an order's answer takes at a low rate, beside
three hops over the broker alone. All in one run, on one machine.

Run it with `python -m benchmarks.bench_distributed [--seconds 60]`. It prints, and judges nothing.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.bare_broker import Sample, bare_hops, bare_rate
from benchmarks.bench_pipeline import FRAME_RECORDS, MIXES, USERS, Mix, make_frames
from benchmarks.distributed_load import PARTITIONS, Load
from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.kafka.topics import TopicSettings, apply_topics
from services.domain.topics import TOPICS, TopicPartition
from services.runtime.credentials import KEY_FILE, load_secrets
from services.runtime.process import tune_process
from tests.real.broker import Broker
from tests.support.exchange_process import free_port
from tests.support.service_process import ServiceProcess

MOST_COMMANDS_A_SECOND: Final = 60_000
"""So many are made before the clock starts."""
ANSWERS: Final = 300
PAUSE_S: Final = 0.02
SAMPLE_FRAMES: Final = 100
"""Frames of commands, and what was said because of them, that the bare broker moves again and again."""


class Measured(NamedTuple):
    """commands, seconds: of the pipeline. bare: commands a second whose bytes the broker alone moves."""

    mix: Mix
    commands: int
    seconds: float
    bare: float
    bytes_a_command: float
    cpu: dict[str, float]
    """CPU seconds by process, over the same time."""
    answers: list[float]
    hops: list[float]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    tune_process()
    mix = MIXES[0]
    frames = make_frames(round(seconds * MOST_COMMANDS_A_SECOND), mix)
    with tempfile.TemporaryDirectory(prefix="bench-distributed-") as name:
        folder = Path(name)
        with _broker(folder / "broker") as broker:
            show(uvloop.run(_measure(broker, folder, frames, mix, seconds)))


@contextmanager
def _broker(folder: Path) -> Iterator[Broker]:
    broker = Broker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


async def _measure(broker: Broker, folder: Path, frames: list[bytes], mix: Mix, seconds: float) -> Measured:
    settings = KafkaSettings(bootstrap_servers=(broker.address,), topic_prefix="bench.")
    for prefix in ("bench.", "bare.", "hops."):
        await apply_topics(_with(settings, prefix), dict.fromkeys(TOPICS, 1), TopicSettings())
    last_ids = [(number + 1) * FRAME_RECORDS for number in range(len(frames))]
    cores = _cores(folder, broker.address)
    try:
        for core in cores:
            core.start()
        for core in cores:
            core.wait_ready()
        async with Load(settings) as load:
            await load.prepare(USERS)
            answers = await load.answers(ANSWERS, PAUSE_S)
            before, clock = await load.ends(), _Cpu(broker, cores)
            written, elapsed = await load.run(frames, last_ids, seconds)
            cpu = clock.read()
            after = await load.ends()
            sample, size = await _sample(load.log, before, after, SAMPLE_FRAMES / written)
    finally:
        for core in cores:
            core.end()
    hops = await bare_hops(broker.address, "hops.", frames[0][:100], ANSWERS, PAUSE_S)
    rounds = await bare_rate(broker.address, "bare.", sample, folder, seconds / 3)
    commands = written * FRAME_RECORDS
    of_sample = SAMPLE_FRAMES * FRAME_RECORDS
    return Measured(mix, commands, elapsed, rounds * of_sample, size / of_sample, cpu, answers, hops)


def _with(settings: KafkaSettings, prefix: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=settings.bootstrap_servers, topic_prefix=prefix)


def _cores(folder: Path, address: str) -> list[ServiceProcess]:
    """`exchange ubscore` and `exchange matcher`, each with its journal, without a line of log for every event."""
    load_secrets(folder)
    config = folder / "exchange.yaml"
    settings = {
        "broker": {"bootstrapServers": [address], "topicPrefix": "bench."},
        "auth": {"secretKeyFile": str(folder / KEY_FILE)},
        "log": {"events": False},
    }
    config.write_text(json.dumps(settings))
    data = ["--config", str(config), "--data-dir", str(folder / "data")]
    return [ServiceProcess(kind, [kind, *data], free_port(), folder) for kind in ("ubscore", "matcher")]


async def _sample(
    log: KafkaLog, before: dict[TopicPartition, int], after: dict[TopicPartition, int], share: float
) -> tuple[Sample, int]:
    """The first frames of the run on each topic, and their bytes. share: of all frames."""
    sample: Sample = {}
    for partition in PARTITIONS:
        offset = before[partition]
        count = max(1, round((after[partition] - offset) * min(1.0, share)))
        frames: list[bytes] = []
        while len(frames) < count:
            got = await log.read(partition, offset + len(frames), count - len(frames))
            frames += [stored.data for stored in got]
        sample[partition.topic] = frames
    return sample, sum(len(frame) for frames in sample.values() for frame in frames)


class _Cpu:
    """CPU seconds of every process since this was made."""

    def __init__(self, broker: Broker, cores: Sequence[ServiceProcess]) -> None:
        self._pids = {"broker": broker.process.pid} | {core.name: core.process.pid for core in cores}
        self._pids["load"] = os.getpid()
        self._begin = self._now()

    def _now(self) -> dict[str, float]:
        return {name: _cpu_seconds(pid) for name, pid in self._pids.items()}

    def read(self) -> dict[str, float]:
        return {name: seconds - self._begin[name] for name, seconds in self._now().items()}


def _cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    # The name of the program, in brackets, may hold spaces; times are the 14th and 15th field.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def show(measured: Measured) -> None:
    """Print it all."""
    console = Console()
    rate = measured.commands / measured.seconds
    console.rule(f"distributed pipeline: {measured.commands:,} commands, {measured.mix.name}")
    table = _table("throughput", "what", "commands/s", "MB/s", "of the bare broker")
    for what, value in (("settled in ubscore", rate), ("the broker alone, same frames, same topics", measured.bare)):
        megabytes = value * measured.bytes_a_command / 1e6
        table.add_row(what, f"{value:,.0f}", f"{megabytes:.1f}", f"{value / measured.bare:.0%}")
    table.caption = f"{measured.seconds:.1f} s; every frame durable on the broker and in the journals"
    console.print(table)
    table = _table("CPU of the pipeline", "process", "CPU seconds", "cores", "µs a command")
    for name, seconds in measured.cpu.items():
        share, micros = seconds / measured.seconds, seconds / measured.commands * 1e6
        table.add_row(name, f"{seconds:.1f}", f"{share:.2f}", f"{micros:.1f}")
    console.print(table)
    table = _table("an order's answer at a low rate, milliseconds", "what", "p50", "p90", "p99", "highest")
    for what, taken in (
        ("command on the log until its trade's event is read", measured.answers),
        ("three hops over the broker alone", measured.hops),
    ):
        ordered = sorted(taken)
        places = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99, 1.0)]
        table.add_row(what, *(f"{seconds * 1000:.2f}" for seconds in places))
    console.print(table)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


if __name__ == "__main__":
    main()
