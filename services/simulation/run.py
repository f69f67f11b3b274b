"""One seed from start to verdict."""

import asyncio
import random
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from services.domain.errors import InvariantError
from services.simulation.administrators import Administrator
from services.simulation.audit.accounts import Contradiction
from services.simulation.audit.auditor import Auditor, Promise
from services.simulation.clients import FIRST_USER
from services.simulation.faults import Counts
from services.simulation.loop import SimulatedLoop
from services.simulation.process import adopt, held
from services.simulation.programs import Parts, Shape
from services.simulation.users import User
from services.simulation.world import PATIENCE_S, World

_CHECK_EVERY_S: Final = 0.5
"""Virtual seconds between two looks at the log."""
_PRODUCTION: Final = Parts()


class Verdict(NamedTuple):
    """What became of a seed. sentence: what is wrong; empty when nothing is. digest: of the whole world at its end."""

    seed: int
    sentence: str
    counts: Counts
    shape: Shape
    virtual_seconds: float
    digest: str


def simulate(seed: int, steps: int, parts: Parts = _PRODUCTION) -> Verdict:
    """Run the world of `seed` for at least `steps` port operations, then let it come to rest and audit it."""
    dice = random.Random(seed)  # noqa: S311 - reproducible, not secret
    loop = SimulatedLoop(adopt, held)
    world = World(loop, dice, parts, steps)
    digest, sentence = "", ""
    try:
        digest = loop.run_until_complete(_Play(world).run())
    except (Contradiction, InvariantError) as error:
        sentence = f"{type(error).__name__}: {error}"
    finally:
        _bury(loop, world)
    return Verdict(seed, sentence, world.faults.counts, world.shape, loop.time(), digest)


def _bury(loop: SimulatedLoop, world: World) -> None:
    """End what still runs, so that nothing of this world is left to the garbage collector."""
    world.faults.on = False
    world.kill_all()
    for _ in range(2):
        loop.broken = None
        for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
            task.cancel()
        try:
            loop.run_until_complete(asyncio.sleep(0.001))
        except InvariantError:
            continue
    loop.close()


class _Play:
    """The story that every world plays: prepare, trade amid faults, come to rest, be audited."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._promises: list[Promise] = []
        shape = world.shape
        self._auditor = Auditor(world.broker.partitions, shape.account_shards, shape.matcher_shards)

    async def run(self) -> str:
        """The digest of the world. Raises Contradiction or InvariantError when something is wrong."""
        world = self._world
        for node in world.nodes:
            node.start()
        world.later(_CHECK_EVERY_S, self._look)
        administrator = Administrator(world, self._promises)
        await administrator.prepare()
        clients = asyncio.gather(administrator.run(), *(user.run() for user in self._users()))
        await asyncio.wait([world.enough], timeout=PATIENCE_S)
        world.closing = True
        world.end_faults()
        await self._within_patience(clients)
        await world.come_to_rest()
        return self._judge()

    def _users(self) -> list[User]:
        users = range(FIRST_USER, FIRST_USER + self._world.shape.users)
        return [User(self._world, self._promises, user, f"{user}{part}") for user in users for part in "ab"]

    async def _within_patience(self, clients: "asyncio.Future[Any]") -> None:
        try:
            await asyncio.wait_for(clients, PATIENCE_S)
        except TimeoutError as error:
            behind = self._world.behind() or "everybody is up and has read everything"
            raise Contradiction(f"clients still wait {PATIENCE_S} s after the last fault: {behind}") from error

    def _look(self) -> None:
        self._auditor.follow()
        self._world.later(_CHECK_EVERY_S, self._look)

    def _judge(self) -> str:
        world = self._world
        self._auditor.finish(world.database.tables.contents(), world.live_balances(), self._promises)
        digests = world.check_digests()
        world.faults.counts.trades = self._auditor.trades
        whole = blake2b(digest_size=16)
        for partition in sorted(world.broker.partitions):
            whole.update(f"{partition} {len(world.broker.partitions[partition])}".encode())
            for data in world.broker.partitions[partition]:
                whole.update(data)
        for digest in digests:
            whole.update(digest)
        whole.update(msgspec.msgpack.encode(world.database.tables.contents()))
        whole.update(repr((world.faults.counts, world.loop.time())).encode())
        return whole.hexdigest()
