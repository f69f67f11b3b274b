"""The distributed form under steady load while everything that it consists of is killed, frozen and cut off.

After every round all that was acknowledged is there once, nothing lags behind, and `exchange verify` agrees.
"""

import os
import random
import resource
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from services.adapters.log_ends import LOOK_EVERY_SECONDS
from services.demo.client import USERS, Api, Refusal
from tests.real.stack import BROKER, DATABASE, Stack
from tests.support.acknowledged import (
    check_active,
    check_orders,
    check_trades,
    check_transfers,
    eventually,
    until_stored,
    wait_for_answers,
)
from tests.support.namespaces import Network
from tests.support.processes import run
from tests.support.service_process import ServiceProcess
from tests.support.stubborn_client import Intent, StubbornClient

SEED = 20_261_120
ROUNDS_AT_LEAST = 40
SESSION_SECONDS = 6.0
"""A member of a group that is silent for so long is taken for dead."""
FROZEN_SECONDS = SESSION_SECONDS + 2.0
SYMBOLS = ("BTC_USDT", "ETH_USDT")
SETTINGS = {
    # Long tokens, frequent snapshots, and so few lines in the logs that a limit on the size of files meets the journal.
    "auth": {"tokenLifetime": "3h"},
    "journal": {"snapshotInterval": "5s"},
    "log": {"level": "warning", "events": False},
    # One symbol a matcher.
    "symbols": [
        {
            "name": name,
            "base": name.partition("_")[0],
            "quote": "USDT",
            "tickSize": "0.01",
            "lotSize": "0.0001",
            "minNotional": "5",
            "makerFee": "0.001",
            "takerFee": "0.001",
            "band": "0.5",
            "matcherShard": shard,
        }
        for shard, name in enumerate(SYMBOLS)
    ],
    "assets": [{"name": name, "scale": 8} for name in ("BTC", "ETH", "USDT")],
}


class Load:
    """Clients that never give up. `rest` has them finish what is under way, and begin nothing new until `go`."""

    def __init__(self, stack: Stack, api: Api) -> None:
        self._stop, self._go = threading.Event(), threading.Event()
        self.clients = [
            StubbornClient(stack.url, api.token(who), who, SEED + who, self._stop, symbols=SYMBOLS, go=self._go)
            for who in (0, *USERS)
        ]
        for client in self.clients:
            client.start()

    def go(self) -> None:
        self._go.set()

    def rest(self) -> None:
        self._go.clear()
        eventually(lambda: all(client.resting or client.error for client in self.clients))
        assert [client.error for client in self.clients] == [None] * len(self.clients)

    def end(self) -> None:
        self._stop.set()
        self._go.set()
        for client in self.clients:
            client.join(60)
            assert client.error is None
            assert not client.is_alive()

    @property
    def done(self) -> list[Intent]:
        return [intent for client in self.clients for intent in client.done]

    @property
    def counts(self) -> list[int]:
        """How much each client has done."""
        return [len(client.done) for client in self.clients]

    def since(self, counts: Sequence[int]) -> list[Intent]:
        """What was done since."""
        return [intent for client, count in zip(self.clients, counts, strict=True) for intent in client.done[count:]]


class Fault(NamedTuple):
    """What is done to the exchange in one round; it is mended when `strike` returns."""

    name: str
    strike: Callable[[Stack, random.Random], None]


def kill(*names: str) -> Fault:
    return Fault(f"kill -9 {', '.join(names)}", lambda stack, _: stack.kill(*names))


def kill_twice(name: str) -> Fault:
    """The second time while it starts."""

    def strike(stack: Stack, chance: random.Random) -> None:
        starts = stack.processes[name].starts
        stack.kill(name)
        eventually(lambda: stack.processes[name].starts > starts and stack.processes[name].is_running)
        # Modules, recovery, joining its group: the moment itself is what is random.
        time.sleep(chance.uniform(0.3, 3.0))
        stack.kill(name)

    return Fault(f"kill -9 {name}, again while it starts", strike)


def freeze(*names: str) -> Fault:
    def strike(stack: Stack, _: random.Random) -> None:
        stack.freeze(*names)
        time.sleep(FROZEN_SECONDS)
        stack.thaw(*names)

    return Fault(f"SIGSTOP {', '.join(names)} for {FROZEN_SECONDS:.0f} s", strike)


def kill_server(name: str) -> Fault:
    def strike(stack: Stack, chance: random.Random) -> None:
        stack.kill(name)
        time.sleep(chance.uniform(0, 3))
        stack.restart(name)

    return Fault(f"kill -9 the {name}, start it again", strike)


def kill_server_and(name: str, *names: str) -> Fault:
    def strike(stack: Stack, _: random.Random) -> None:
        stack.kill(name, *names)
        stack.restart(name)

    return Fault(f"kill -9 the {name}, {', '.join(names)}", strike)


def cut(*names: str) -> Fault:
    """Their cables are pulled: connections fall silent, nobody is told."""

    def strike(stack: Stack, _: random.Random) -> None:
        for name in names:
            stack.cut(name)
        time.sleep(FROZEN_SECONDS)
        for name in names:
            stack.mend(name)

    return Fault(f"network of {', '.join(names)} cut for {FROZEN_SECONDS:.0f} s", strike)


def set_back_database() -> Fault:
    """The database is put back to what it was some time ago; settlement and history rewind by themselves."""

    def strike(stack: Stack, chance: random.Random) -> None:
        data, old = stack.folder / DATABASE / "data", stack.folder / "old"
        stack.kill(DATABASE)
        shutil.copytree(data, old)
        stack.restart(DATABASE)
        # The clients go on meanwhile: there is something to rewind over.
        time.sleep(chance.uniform(3, 5))
        stack.kill(DATABASE)
        shutil.rmtree(data)
        old.rename(data)
        stack.restart(DATABASE)

    return Fault("database set back to an older state", strike)


def fill_disk(name: str) -> Fault:
    """No file of this core may grow any more."""

    def strike(stack: Stack, _: random.Random) -> None:
        ended = stack.ended[name]
        most = newest_segment(stack, name).stat().st_size + 500
        resource.prlimit(stack.processes[name].process.pid, resource.RLIMIT_FSIZE, (most, most))
        eventually(lambda: stack.ended[name] > ended)
        assert "JournalError" in stack.processes[name].output

    return Fault(f"disk full for the journal of {name}", strike)


def lose_disk(name: str) -> Fault:
    """The process dies, and its journal and snapshots with it."""

    def strike(stack: Stack, _: random.Random) -> None:
        stack.processes[name].freeze()
        for path in journal(stack, name):
            path.unlink()
        stack.kill(name)

    return Fault(f"disk of {name} lost", strike)


def tear_journal(name: str) -> Fault:
    """The process dies, and the end of what it wrote last is not all on disk."""

    def strike(stack: Stack, chance: random.Random) -> None:
        stack.processes[name].freeze()
        newest = newest_segment(stack, name)
        with newest.open("r+b") as file:
            file.truncate(max(1, newest.stat().st_size - chance.randint(1, 200)))
        stack.kill(name)

    return Fault(f"journal of {name} torn", strike)


def journal(stack: Stack, name: str) -> list[Path]:
    """Segments and snapshots of a core."""
    return [path for path in (stack.folder / "data" / name).rglob("*") if path.is_file() and path.name != "LOCK"]


def newest_segment(stack: Stack, name: str) -> Path:
    return max(path for path in journal(stack, name) if path.name.startswith("journal-"))


CORES = ("ubscore-0", "ubscore-1", "matcher-0", "matcher-1")
PROJECTIONS = ("settlement-0", "order-history-0")
PROCESSES = ("gateway-0", *CORES, *PROJECTIONS)
PAIRS = (
    ("ubscore-0", "ubscore-1"),
    ("ubscore-0", "matcher-0"),
    ("ubscore-1", "matcher-0"),
    ("matcher-0", "matcher-1"),
    ("matcher-1", "order-history-0"),
    ("ubscore-1", "settlement-0"),
    ("gateway-0", "ubscore-0"),
    ("settlement-0", "order-history-0"),
)
APART = ("ubscore-0", "matcher-1", "settlement-0", "order-history-0", "gateway-0")
"""Each on a host of its own."""
CUTS = (*(cut(name) for name in APART), cut("ubscore-0", "settlement-0"))
FAULTS = (
    *(kill(name) for name in PROCESSES),
    *(kill_twice(name) for name in PROCESSES),
    *(kill(*pair) for pair in PAIRS),
    kill(*PROCESSES),
    kill(*PROCESSES),
    *(freeze(name) for name in PROCESSES),
    freeze(*PROJECTIONS),
    freeze(BROKER),
    freeze(DATABASE),
    *(kill_server(name) for name in (BROKER, DATABASE) * 2),
    kill_server_and(BROKER, *CORES),
    kill_server_and(DATABASE, *PROJECTIONS),
    set_back_database(),
    set_back_database(),
    fill_disk("ubscore-0"),
    fill_disk("matcher-1"),
    lose_disk("ubscore-1"),
    lose_disk("matcher-0"),
    tear_journal("ubscore-0"),
    tear_journal("matcher-1"),
)


def test_chaos_of_every_kind_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    assert len(FAULTS) >= ROUNDS_AT_LEAST
    chance = random.Random(SEED)
    with ExitStack() as held:
        # Only root may make networks. In CI it is.
        network = held.enter_context(Network()) if os.geteuid() == 0 else None
        faults = chance.sample(FAULTS + CUTS if network else FAULTS, len(FAULTS) + len(CUTS if network else ()))
        layout: dict[str, Any] = {"account_shards": 2, "matcher_shards": 2, "network": network, "apart": APART}
        stack = held.enter_context(Stack(tmp_path, **layout, supervised=True, settings=SETTINGS))
        api = Api(stack.url, tmp_path)
        load = Load(stack, api)
        for number, fault in enumerate(faults, 1):
            print(f"{number:2d}  {fault.name:50s} ", end="", flush=True)
            print(one_round(stack, api, load, fault, chance), flush=True)
        load.end()
        check_everything(api, load.done, len(faults))
        statuses = stack.stop()
    assert set(statuses.values()) == {0}


def one_round(stack: Stack, api: Api, load: Load, fault: Fault, chance: random.Random) -> str:
    """Returns how long its parts took."""
    before = load.counts
    load.go()
    wait_for_answers(load.clients, chance.randint(20, 120))
    began = time.monotonic()
    fault.strike(stack, chance)
    struck = time.monotonic()
    wait_for_answers(load.clients, 40)
    answered = time.monotonic()
    load.rest()
    check_round(stack, api, load.since(before))
    times = (struck - began, answered - struck, time.monotonic() - answered)
    return "struck {:.1f} s, answers after {:.1f} s, checked in {:.1f} s".format(*times)


def check_round(stack: Stack, api: Api, done: Sequence[Intent]) -> None:
    """What was answered in this round is there; nobody lags; the log, the cores and the database agree."""
    stack.wait_ready()
    # The ends of the log that a process holds its positions against may be so old.
    time.sleep(LOOK_EVERY_SECONDS)
    eventually(lambda: lags(stack) == {})
    for intent in done:
        if intent.kind == "order" and intent.answer is not None:
            eventually(partial(is_shown, api, intent))
    verified = run("verify", "--config", stack.config)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def is_shown(api: Api, intent: Intent) -> bool:
    """Whether an acknowledged order is there; one that is closed as soon as order history has it."""
    assert intent.answer is not None
    try:
        found = api.get("/api/orders", intent.user, cid=intent.id, user_id=intent.user)
    except Refusal:
        return False
    assert found["order_id"] == intent.answer["order_id"], intent
    return True


def lags(stack: Stack) -> dict[str, list[str]]:
    """Of every core and projection that has not read all there is, or does not know, the lines that say so."""
    readers = {name: process for name, process in stack.processes.items() if name != "gateway-0"}
    found = {name: lag_lines(process) for name, process in readers.items()}
    behind = {name: [line for line in lines if not line.endswith(" 0.0")] for name, lines in found.items()}
    return {name: lines for name, lines in behind.items() if lines or not found[name]}


def lag_lines(process: ServiceProcess) -> list[str]:
    """None when it does not answer: it may be starting again."""
    try:
        return process.metrics("exchange_lag_frames")
    except httpx.HTTPError:
        return []


def check_everything(api: Api, done: Sequence[Intent], rounds: int) -> None:
    repeated = sum(intent.attempts > 1 for intent in done)
    print(f"{rounds} rounds, {len(done)} commands, {repeated} of them repeated")
    # Without answers that were lost on the way, and commands sent again for it, little was tried.
    assert repeated >= rounds // 2
    until_stored(api, done)
    check_orders(api, done)
    check_transfers(api, done)
    check_trades(api)
    check_active(api)
    api.close()
