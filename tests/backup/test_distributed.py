"""A backup of the five processes on a real broker and database, by the commands that an operator uses."""

import asyncio
import shutil
import threading
import time
from pathlib import Path

from rich.console import Console

from services.adapters.ports import CoreState
from services.config import load_settings
from services.demo.story import tell
from services.domain.errors import CoreUnavailable
from services.runtime.backups import remote_cores
from services.runtime.credentials import CREDENTIALS_FILE, KEY_FILE
from tests.e2e.test_distributed_story import ETH_ON_THE_SECOND_MATCHER
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.processes import run

PATIENCE_S = 120.0


def _done(*arguments: object) -> str:
    """Run a command to its end."""
    ended = run(*map(str, arguments))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return str(ended.stdout)


async def _ask(stack: Stack) -> dict[str, CoreState]:
    states = {}
    for source, opened in remote_cores(load_settings(stack.config)).items():
        async with opened as core:
            states[source] = await core.state()
    return states


def _states_at_rest(stack: Stack) -> dict[str, tuple[int, bytes]]:
    """By source, where each core stands and its digest, once that no longer changes."""
    deadline, before = time.monotonic() + PATIENCE_S, dict[str, tuple[int, bytes]]()
    while time.monotonic() < deadline:
        try:
            states = {name: (state.next_offset, state.digest) for name, state in asyncio.run(_ask(stack)).items()}
        except CoreUnavailable:
            continue
        if states == before:
            return states
        before = states
        time.sleep(0.3)
    raise AssertionError("the cores do not come to rest")


def _tell(stack: Stack) -> None:
    with (stack.folder / "story.txt").open("a") as file:
        tell(stack.url, stack.folder, stack.log_dir, Console(file=file, width=120))


def test_backup_distributed_restored_elsewhere_has_the_same_digests_verifies_and_goes_on(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    target = tmp_path / "backups"
    shards = {"account_shards": 2, "matcher_shards": 2, "broker": broker, "database": database}
    settings = ETH_ON_THE_SECOND_MATCHER | {"backup": {"target": str(target)}}
    with Stack(tmp_path / "before", prefix="backup-before", settings=settings, **shards) as before:
        telling = threading.Thread(target=_tell, args=(before,))
        telling.start()
        _done("backup", "create", "--config", before.config)
        telling.join()
        assert "is whole" in _done("backup", "verify", "--config", before.config)
        states = _states_at_rest(before)
        said = _done("backup", "create", "--config", before.config)
        assert "checks passed" in _done("verify", "--config", before.config)
        assert before.stop() == dict.fromkeys(before.processes, 0)
    name = said.split()[1]
    folder = tmp_path / "after"
    folder.mkdir()
    for file in (KEY_FILE, CREDENTIALS_FILE):
        shutil.copy(before.folder / file, folder / file)
    after = Stack(folder, prefix="backup-after", settings=settings, **shards)
    try:
        _done("schema", "apply", "--config", after.config)
        restored = _done("backup", "restore", name, "--config", after.config)
        for source, (offset, digest) in states.items():
            assert f"{source}: will be {digest.hex()} at offset {offset:,}" in restored
            volume = folder / "data" / source
            _done("backup", "restore", name, "--config", after.config, "--core", source, "--data-dir", volume)
        after.start()
        assert _states_at_rest(after) == states
        checks = _done("verify", "--config", after.config)
        assert "older than the log" in checks
        _tell(after)
        assert "checks passed" in _done("verify", "--config", after.config)
        assert after.stop() == dict.fromkeys(after.processes, 0)
        stopped = _done("verify", "--config", after.config, "--stopped")
        assert "open orders: ubscore and the matcher agree" in stopped
    except BaseException:
        print(after.output())
        raise
    finally:
        after.end()
