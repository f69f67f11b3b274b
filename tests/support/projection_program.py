"""Settlement as a process of its own, on a real log and a SQLite store: for tests that kill it, freeze it, or stop it.

python -m tests.support.projection_program SERVERS PREFIX MEMBER STORE
"""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from services.adapters.clock import SystemClock
from services.adapters.kafka.faust_frames import FaustFrames
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import ProjectionStore
from services.adapters.sqlite.store import SqliteStore
from services.domain.topics import BALANCE_EVENTS
from services.settlement.service import READER, settlement_shell
from services.shell.projection_member import ProjectionMember, stored_position


def settlement_member(
    settings: KafkaSettings, member: str, store: ProjectionStore, position_store: ProjectionStore | None = None
) -> ProjectionMember:
    """One member of settlement's group, as a process has it. position_store: which tells the frames where to go on."""
    position = stored_position(position_store or store, READER)
    frames = FaustFrames(settings, READER, member, [BALANCE_EVENTS], position)
    clock = SystemClock()
    return ProjectionMember(
        frames, lambda partition: settlement_shell(partition.partition, frames, store, clock, done=frames.done)
    )


async def run(servers: str, prefix: str, member: str, path: str) -> None:
    settings = KafkaSettings(bootstrap_servers=(servers,), topic_prefix=prefix)
    store = SqliteStore(Path(path))
    projection = settlement_member(settings, member, store)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, projection.stop)
    await projection.run()
    await store.close()


if __name__ == "__main__":
    uvloop.run(run(*sys.argv[1:]))
