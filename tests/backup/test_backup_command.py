"""`exchange backup` on the local form: made while it runs, restored into an empty folder, and it goes on there."""

import asyncio
import shutil
from pathlib import Path

from typer.testing import CliRunner

from services.cli import app
from services.domain.core import Core
from services.domain.errors import ExchangeError
from services.runtime.verification import verify_folder
from tests.support.exchanges import Venue, running

RUN = CliRunner()


def _command(*arguments: object) -> str:
    result = RUN.invoke(app, ["backup", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def _refused(*arguments: object) -> str:
    result = RUN.invoke(app, ["backup", *map(str, arguments)])
    assert isinstance(result.exception, ExchangeError), result.output
    return str(result.exception)


def _digests(venue: Venue) -> list[tuple[str, int, bytes]]:
    cores: list[Core] = [venue.exchange.ubscore.core, venue.exchange.matcher.core]
    return [(core.source, core.next_offset, core.digest()) for core in cores]


async def _back_up_while_it_runs(before: Path, target: Path) -> tuple[str, list[tuple[str, int, bytes]]]:
    async with running(before) as venue:
        await venue.trade_a_little()
        said = await asyncio.to_thread(_command, "create", "--local-dir", before, "--target", target)
        digests = _digests(venue)
        await venue.trade_a_little()
    return said, digests


async def _go_on(after: Path) -> list[tuple[str, int, bytes]]:
    async with running(after) as venue:
        digests = _digests(venue)
        await venue.trade_a_little()
    failed = [check async for check in verify_folder(after) if not check.ok]
    assert failed == []
    return digests


def test_backup_of_a_running_local_exchange_is_restored_and_goes_on(tmp_path: Path) -> None:
    before, after, target = tmp_path / "before", tmp_path / "after", tmp_path / "backups"
    said, digests = asyncio.run(_back_up_while_it_runs(before, target))
    assert "API keys in it are sealed with the exchange's secret key, which is not in it" in said
    (name,) = [path.name for path in target.iterdir()]
    assert name in _command("list", "--target", target)
    whole = _command("verify", "--target", target)
    restored = _command("restore", name, "--local-dir", after, "--target", target)
    for source, offset, digest in digests:
        assert f"{source}: {digest.hex()} at offset {offset}" in whole
        assert f"{source}: will be {digest.hex()} at offset {offset}" in restored
    for file in ("secret.key", "credentials.json"):
        assert not (after / file).exists()
        shutil.copy(before / file, after / file)
    assert asyncio.run(_go_on(after)) == digests


def test_backup_create_keep_removes_the_oldest(tmp_path: Path) -> None:
    async def make() -> None:
        async with running(tmp_path / "data"):
            pass

    asyncio.run(make())
    target = tmp_path / "backups"
    for _ in range(3):
        _command("create", "--local-dir", tmp_path / "data", "--target", target)
    said = _command("create", "--local-dir", tmp_path / "data", "--target", target, "--keep", 2)
    assert said.count("Removed backup-") == 2
    assert len(list(target.iterdir())) == 2


def test_backup_commands_with_nothing_to_work_on_say_so(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    assert "no backup target" in _refused("create", "--local-dir", tmp_path)
    assert "holds no exchange" in _refused("create", "--local-dir", tmp_path, "--target", nowhere)
    assert "holds no backup" in _refused("verify", "--target", nowhere)
    assert "is no backup" in _refused("restore", "backup-x", "--local-dir", tmp_path, "--target", nowhere)
