"""`exchange backup` on a real S3-compatible server, told of it as a person would: by the environment."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from services.adapters.backup_target import BackupTarget
from services.backup.create import MARK
from services.backup.manifest import MANIFEST, backup_name
from services.backup.prune import ABANDONED_AFTER
from services.domain.errors import BackupError, ConfigError
from services.runtime.verification import verify_folder
from tests.real.s3 import S3, SECRET_KEY
from tests.real.server import free_ports
from tests.support.exchanges import running
from tests.support.processes import run

_BUCKETS = itertools.count(1)
_LONG_AGO_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    server = S3(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def exchange_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a local exchange that has traded, and stands still."""
    folder = tmp_path_factory.mktemp("exchange") / "data"

    async def trade() -> None:
        async with running(folder) as venue:
            await venue.trade_a_little()

    asyncio.run(trade())
    return folder


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty one, of this test alone; this process knows the server, too."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    # A connection belongs to the environment that it was made in.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    name = f"bucket-{next(_BUCKETS)}"
    fsspec.filesystem("s3").mkdir(name)
    return name


def backup(*arguments: str | Path, **environment: str) -> str:
    done = run("backup", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refused(*arguments: str | Path, **environment: str) -> str:
    """The one sentence on stderr."""
    done = run("backup", *arguments, **environment)
    assert done.returncode != 0
    (sentence,) = done.stderr.splitlines()
    assert SECRET_KEY not in done.stdout + done.stderr
    return sentence


def test_backup_on_s3_is_listed_verified_and_restored_and_goes_on(
    tmp_path: Path, s3: S3, bucket: str, exchange_folder: Path
) -> None:
    target, after = f"s3://{bucket}/some/where", tmp_path / "after"
    made = backup("create", "--local-dir", exchange_folder, "--target", target)
    (folder,) = (s3.root / bucket / "some" / "where").iterdir()
    assert f"Made {folder.name} in {target}" in made
    assert MANIFEST in os.listdir(folder)
    assert MARK not in os.listdir(folder)
    assert folder.name in backup("list", "--target", target)
    assert f"{folder.name} is whole" in backup("verify", "--target", target)
    assert "Restored" in backup("restore", folder.name, "--local-dir", after, "--target", target)
    for file in ("secret.key", "credentials.json"):
        shutil.copy(exchange_folder / file, after / file)

    async def go_on() -> list[str]:
        async with running(after) as venue:
            await venue.trade_a_little()
        return [check.name async for check in verify_folder(after) if not check.ok]

    assert asyncio.run(go_on()) == []


def test_backup_on_s3_damaged_or_missing_object_is_named(s3: S3, bucket: str, exchange_folder: Path) -> None:
    target = f"s3://{bucket}/exchange"
    backup("create", "--local-dir", exchange_folder, "--target", target)
    (folder,) = (s3.root / bucket / "exchange").iterdir()
    name = "core-ubscore-0.bin"
    files, path = fsspec.filesystem("s3"), f"{bucket}/exchange/{folder.name}/{name}"
    whole = files.cat_file(path)
    files.pipe_file(path, whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"{folder.name}/{name} is damaged" in refused("verify", "--target", target)
    assert f"{folder.name}/{name} is damaged" in refused(
        "restore", "--local-dir", exchange_folder.parent / "after", "--target", target
    )
    files.rm_file(path)
    assert f"{folder.name}/{name} is missing" in refused("verify", "--target", target)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "another-one"}, "the secret key (AWS_SECRET_ACCESS_KEY) is wrong"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "the access key (AWS_ACCESS_KEY_ID) is not known there"),
    ],
    ids=["secret", "key"],
)
def test_backup_on_s3_wrong_credentials_say_which(
    bucket: str, exchange_folder: Path, change: dict[str, str], said: str
) -> None:
    target = f"s3://{bucket}/exchange"
    for command in (["create", "--local-dir", exchange_folder], ["list"], ["verify", "backup-x"]):
        sentence = refused(*command, "--target", target, **change)
        assert sentence.startswith(f"exchange: backup target {target}: {said}")
        assert "another-one" not in sentence


def test_backup_on_s3_without_credentials_says_what_to_set(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # Nor any of this machine's.
    nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(tmp_path / "none"))
    said = refused("list", "--target", f"s3://{bucket}", AWS_EC2_METADATA_DISABLED="true", **nowhere)
    assert "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said


def test_backup_on_s3_missing_bucket_says_so_and_makes_none(s3: S3, bucket: str, exchange_folder: Path) -> None:
    target = "s3://no-such-bucket/exchange"
    for command in (["create", "--local-dir", exchange_folder], ["verify", "backup-x"]):
        assert f"backup target {target}: there is no such bucket" in refused(*command, "--target", target)
    with pytest.raises(BackupError, match="there is no such bucket"), BackupTarget(target).create("a", "b") as file:
        file.write(b"x")
    assert not (s3.root / "no-such-bucket").exists()


def test_backup_on_s3_nobody_listens_is_one_sentence(bucket: str) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert f'Could not connect to the endpoint URL: "{url}' in refused(
        "list", "--target", f"s3://{bucket}", AWS_ENDPOINT_URL=url
    )


def test_target_on_s3_without_a_bucket_is_a_wrong_setting(bucket: str) -> None:
    with pytest.raises(ConfigError, match="it names no bucket"):
        BackupTarget("s3://")


def test_backup_on_s3_keep_removes_the_oldest_and_the_abandoned(s3: S3, bucket: str, exchange_folder: Path) -> None:
    target = f"s3://{bucket}"
    abandoned, fresh = backup_name(_LONG_AGO_MS), backup_name(_LONG_AGO_MS + 1)
    for name in (abandoned, fresh):
        with BackupTarget(target).create(name, "core-ubscore-0.bin") as file:
            file.write(b"x")
    _age(s3.root / bucket / abandoned / "core-ubscore-0.bin")
    made = [backup("create", "--local-dir", exchange_folder, "--target", target) for _ in range(2)]
    said = backup("create", "--local-dir", exchange_folder, "--target", target, "--keep", "2")
    assert said.count("Removed ") == 2
    assert f"Removed {abandoned}." in said
    left = BackupTarget(target).folders()
    assert len(left) == 3
    assert fresh in left
    assert made[0].split()[1] not in left


def _age(path: Path) -> None:
    """Have it written long ago, by the server's own clock: its files' times."""
    then = path.stat().st_mtime - ABANDONED_AFTER.total_seconds() - 60
    os.utime(path, (then, then))


def test_target_on_s3_file_of_many_parts_comes_back_and_a_given_up_one_leaves_nothing(s3: S3, bucket: str) -> None:
    target, block = BackupTarget(f"s3://{bucket}/exchange"), os.urandom(1024 * 1024)
    with target.create("folder", "large") as file:
        for _ in range(110):
            file.write(block)
    assert target.sizes("folder") == {"large": 110 * len(block)}
    assert all(read == block for read in target.blocks("folder", "large"))

    def give_up() -> None:
        with target.create("folder", "given-up") as file:
            for _ in range(60):
                file.write(block)
            raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        give_up()
    assert list(target.sizes("folder")) == ["large"]
    uploads = fsspec.filesystem("s3").list_multipart_uploads(bucket)
    assert uploads == [], json.dumps(uploads, default=str)
    target.remove("folder", "large")
    assert target.folders() == []
