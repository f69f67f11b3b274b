"""`exchange journal`: verify the journals of a data folder, and set aside what is broken in them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.adapters.files import FolderLock
from services.adapters.journal.check import FileReport, FileState, inspect_folder, journal_folders, set_aside
from services.domain.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Verify or repair the journals of the cores.")

DataDir = Annotated[Path, typer.Option(envvar="DATA_DIR", help="The exchange's data folder.")]

_STYLES = {
    FileState.OK: "green",
    FileState.TORN: "yellow",
    FileState.BROKEN: "bold red",
    FileState.UNREACHABLE: "red",
}


@app.callback()
def _group() -> None:
    """Verify or repair the journals of the cores."""


@app.command()
def verify(data_dir: DataDir = Path("data")) -> None:
    """Check every record and snapshot: CRC, running hash, offsets, digest. Changes nothing.

    The exit status is 1 when a file is broken. A torn tail is no fault: a crash leaves one, and the next start cuts it.
    """
    console = _console()
    broken = 0
    for folder in _folders(data_dir):
        reports = inspect_folder(folder)
        _print(console, folder, reports)
        broken += sum(report.must_go for report in reports)
    if broken:
        advice = f"Set them aside with: exchange journal repair --data-dir {data_dir}"
        console.print(f"[bold red]{broken} files cannot be used.[/] {advice}")
        raise typer.Exit(1)
    console.print("[bold green]All journals are valid.[/]")


@app.command()
def repair(
    data_dir: DataDir = Path("data"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Set aside what is broken (as NAME.broken-1, never deleted), so that the exchange starts again.

    The next start takes the newest snapshot and the journal that are left, and the rest from the log. The exchange must
    be stopped.
    """
    console = _console()
    folders = _folders(data_dir)
    lock = FolderLock(data_dir)
    try:
        found = {folder: inspect_folder(folder) for folder in folders}
        broken = [report for reports in found.values() for report in reports if report.must_go]
        if not broken:
            console.print("[bold green]All journals are valid: nothing to repair.[/]")
            return
        for folder, reports in found.items():
            _print(console, folder, reports)
        if not yes:
            typer.confirm(f"Set {len(broken)} files aside?", abort=True)
        for folder, reports in found.items():
            for sentence in set_aside(folder, reports):
                console.print(sentence)
    finally:
        lock.release()


def _folders(data_dir: Path) -> list[Path]:
    folders = journal_folders(data_dir) if data_dir.is_dir() else []
    if not folders:
        raise ConfigError(f"{data_dir} holds no journal; name the exchange's folder with --data-dir")
    return folders


def _console() -> Console:
    # Never narrower than the table: a name or position that is cut off would be worse than a line that wraps.
    return Console(width=max(Console().width, 110), soft_wrap=True, highlight=False)


def _print(console: Console, folder: Path, reports: list[FileReport]) -> None:
    table = Table(title=str(folder), title_justify="left")
    table.add_column("file", no_wrap=True)
    for heading in ("records", "first", "last", "bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("fault at byte", justify="right", no_wrap=True)
    for report in reports:
        numbers = (report.records, report.first_offset, report.last_offset, report.size)
        style = _STYLES[report.state]
        table.add_row(
            report.name,
            *("" if number is None else f"{number:,}" for number in numbers),
            f"[{style}]{report.state}[/]",
            "" if report.position is None else str(report.position),
        )
    console.print(table)
    for report in reports:
        if report.state is not FileState.OK:
            console.print(f"{folder / report.name}: {_fault(report)}")


def _fault(report: FileReport) -> str:
    if report.why:
        return f"{report.state} at byte {report.position}: {report.why}"
    return f"{report.state}: it comes behind a file that is broken"
