"""`exchange backup`: make, list, verify and restore backups of either form."""

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from services.cli.bars import bars
from services.cli.options import DistributedConfig
from services.config import Settings, load_settings
from services.domain.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Make, list, verify and restore backups.")

LocalDir = Annotated[Path | None, typer.Option(help="Folder of the local form, instead of --config.")]
Target = Annotated[
    str, typer.Option(envvar="BACKUP_TARGET", help="A folder or an fsspec URL; the settings' `backup.target` without.")
]
Name = Annotated[str, typer.Argument(help="Which one; the newest without.")]


@app.callback()
def _group() -> None:
    """Backups: snapshots of the cores, the store's tables and the tails of the log, in a folder or on S3.

    For S3 install `exchange-platform[s3]`, make a bucket, and give a target such as `s3://bucket/exchange` and, in the
    environment, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and, where it is not Amazon's,
    AWS_ENDPOINT_URL (`https://s3.example.com`); or what else Amazon's own programs take, such as AWS_PROFILE.
    """
    # The client complains at every attempt; what came of all of them is said at the end.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())


@app.command()
def create(
    config: DistributedConfig = None,
    local_dir: LocalDir = None,
    target: Target = "",
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Remove older ones, and abandoned ones, afterwards; else the settings' `backup.keep`."
        ),
    ] = None,
) -> None:
    """Make a backup of an exchange, running or not; of the distributed form its cores must run.

    API keys are in it, sealed. The secret key that opens them is not: keep `secret.key` somewhere else.
    """
    from services import __version__
    from services.backup.create import create_backup
    from services.backup.prune import prune_backups
    from services.runtime.backups import distributed_source, local_source

    settings = _settings(config)
    at = _target(target, settings)
    source = distributed_source(settings) if local_dir is None else local_source(local_dir)

    async def run(watch: Any) -> Any:
        async with source as opened:
            return await create_backup(opened, at, __version__, time.time_ns() // 1_000_000, watch)

    with bars() as watch:
        manifest = asyncio.run(run(watch))
    print(f"Made {manifest.name} in {at.url}: {len(manifest.files)} files, {_size(manifest.bytes)}.")
    print("The API keys in it are sealed with the exchange's secret key, which is not in it: keep that elsewhere.")
    if keep is not None or local_dir is None:
        for name in prune_backups(at, keep or settings.backup.keep):
            print(f"Removed {name}.")


@app.command("list")
def list_command(config: DistributedConfig = None, target: Target = "") -> None:
    """List backups, oldest first."""
    from services.backup.check import list_backups

    at = _target(target, _settings(config))
    # Names hold the time, and are there to be copied.
    name_column = Column("name", no_wrap=True)
    table = Table(name_column, "shards", "rows", "frames", "size", "version", title=at.url, title_justify="left")
    for name, manifest, why, _ in list_backups(at):
        if manifest is None:
            table.add_row(name, "", "", "", "", f"[red]{why}[/]")
            continue
        rows, frames = (sum(e.file.records for e in part) for part in (manifest.tables, manifest.partitions))
        shards, version = f"{manifest.account_shards} × {manifest.matcher_shards}", manifest.exchange_version
        table.add_row(name, shards, f"{rows:,}", f"{frames:,}", _size(manifest.bytes), version)
    Console().print(table)


@app.command()
def verify(name: Name = "", config: DistributedConfig = None, target: Target = "") -> None:
    """Read a whole backup: every checksum, and whether cores, tables and log hold together."""
    backup = _open(name, _target(target, _settings(config)))
    with bars() as watch:
        backup.check_files(watch)
        held = backup.hold_together(watch)
    print(f"{backup.manifest.name} is whole: {len(backup.manifest.files)} files, {_size(backup.manifest.bytes)}.")
    for core in held.cores:
        print(f"{core.source}: {core.digest().hex()} at offset {core.next_offset:,}")
    print(f"Frames that came while it was made, and are left out: {held.cut.dropped:,}.")


@app.command()
def restore(
    name: Name = "",
    config: DistributedConfig = None,
    local_dir: LocalDir = None,
    target: Target = "",
    core: Annotated[
        str, typer.Option(help="Only the journal of this core, such as ubscore-0, into --data-dir of its volume.")
    ] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Folder for the journals of the cores.")] = None,
) -> None:
    """Put a backup back into an environment that is empty and in which nothing runs.

    Topics are made when missing; `exchange schema apply` has made the tables. Journals go to --data-dir, or, where each
    core has a volume of its own, there: `exchange backup restore --core ubscore-0 --data-dir …`, once for each core.
    Whoever was interrupted does it again.
    """
    from services.backup.restore import find_core, restore_backup, restore_journal
    from services.runtime.backups import distributed_destination, journal_folders, local_destination

    settings = _settings(config)
    backup = _open(name, _target(target, settings))
    if core:
        if data_dir is None:
            raise ConfigError("--core wants --data-dir, the folder of that core's process")
        folders = journal_folders(data_dir)

        async def seed() -> None:
            async with folders as journals:
                await restore_journal(backup, find_core(backup, core), journals(core))

        asyncio.run(seed())
        print(f"The journal of {core} begins with its snapshot of {backup.manifest.name}.")
        return
    destination = distributed_destination(settings, data_dir) if local_dir is None else local_destination(local_dir)

    async def run(watch: Any) -> Any:
        async with destination as to:
            return await restore_backup(backup, to, watch)

    with bars() as watch:
        restored = asyncio.run(run(watch))
    print(f"Restored {backup.manifest.name}: {restored.frames:,} frames, {restored.rows:,} rows.")
    print(f"Frames that came while it was made, and are left out: {restored.dropped:,}.")
    for source, (offset, digest) in restored.digests.items():
        print(f"{source}: will be {digest.hex()} at offset {offset:,}")
    if local_dir is None and data_dir is None:
        print(f"Now restore the journals: exchange backup restore {backup.manifest.name} --core … --data-dir …")
    print("The secret key and the credentials are not in a backup: bring back your own, or no API key can be used.")


def _settings(config: Path | None) -> Settings:
    return load_settings(config, os.environ)


def _target(url: str, settings: Settings) -> Any:
    from services.adapters.backup_target import BackupTarget

    if not url and not settings.backup.target:
        raise ConfigError("no backup target: give --target, or `backup.target` in the settings")
    return BackupTarget(url or settings.backup.target)


def _open(name: str, target: Any) -> Any:
    from services.backup.check import newest_backup, open_backup

    return open_backup(target, name) if name else newest_backup(target)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
