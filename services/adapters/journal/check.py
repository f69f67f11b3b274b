"""Looking at journals from outside, and setting aside what is broken in them. Blocking; for the command line."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from services.adapters.files import list_files, replace_file, sync_folder
from services.adapters.journal.chain import Chain, broken_name, segments_from
from services.adapters.journal.format import (
    NotValidError,
    Segment,
    Snapshot,
    decode_snapshot,
    scan_segment,
    segment_offset,
    snapshot_offset,
)


class FileState(StrEnum):
    OK = "ok"
    TORN = "torn"
    """An unfinished write at the very end, as a crash leaves it: the next start cuts it."""
    BROKEN = "broken"
    UNREACHABLE = "unreachable"
    """Valid, but behind something broken or missing."""


class FileReport(NamedTuple):
    """One segment or snapshot. Offsets are None where a file has none."""

    name: str
    size: int
    records: int | None
    first_offset: int | None
    last_offset: int | None
    """A snapshot's is the last one in it."""
    state: FileState
    position: int | None
    """Of the first fault, in bytes."""
    why: str
    valid_bytes: int
    """What can be kept of it: header and valid records."""

    @property
    def must_go(self) -> bool:
        return self.state in (FileState.BROKEN, FileState.UNREACHABLE)


def journal_folders(data_dir: Path) -> list[Path]:
    """The folder itself and those directly in it, where they hold segments or snapshots."""
    folders = [data_dir, *sorted(path for path in data_dir.iterdir() if path.is_dir())]
    return [folder for folder in folders if any(_is_journal(name) for name in list_files(folder))]


def inspect_folder(folder: Path) -> list[FileReport]:
    """Every snapshot and segment of one journal, verified, in the order of their names."""
    names = [name for name in list_files(folder) if _is_journal(name)]
    snapshots = {name: _read_snapshot(folder, name) for name in names if snapshot_offset(name) is not None}
    newest = max((s for s in snapshots.values() if isinstance(s, Snapshot)), default=None, key=lambda s: s.next_offset)
    reports = [_report_snapshot(folder, name, found) for name, found in snapshots.items()]
    reports += _inspect_segments(folder, [name for name in names if name not in snapshots], newest)
    return sorted(reports)


def set_aside(folder: Path, reports: list[FileReport]) -> list[str]:
    """Rename every file that must go, and keep the valid start of a broken segment under its old name.

    Nothing is deleted. Returns what was done, in sentences.
    """
    done = []
    # From the end, so that after a crash what is left is still a journal with something wrong behind its start.
    for report in reversed([report for report in reports if report.must_go]):
        path = folder / report.name
        aside = path.with_name(broken_name(report.name, list_files(folder)))
        path.rename(aside)
        sync_folder(folder)
        done.append(f"{path} set aside as {aside.name}")
        if report.state is FileState.BROKEN and report.records:
            replace_file(path, aside.read_bytes()[: report.valid_bytes])
            done.append(f"{path} keeps its first {report.records} records ({report.valid_bytes} bytes)")
    return done


def _is_journal(name: str) -> bool:
    return segment_offset(name) is not None or snapshot_offset(name) is not None


def _read_snapshot(folder: Path, name: str) -> Snapshot | NotValidError:
    try:
        return decode_snapshot((folder / name).read_bytes(), name)
    except NotValidError as error:
        return error


def _report_snapshot(folder: Path, name: str, found: Snapshot | NotValidError) -> FileReport:
    size = (folder / name).stat().st_size
    if isinstance(found, NotValidError):
        return FileReport(name, size, None, None, None, FileState.BROKEN, 0, str(found), 0)
    return FileReport(name, size, None, 0, found.next_offset - 1, FileState.OK, None, "", size)


def _inspect_segments(folder: Path, names: list[str], newest: Snapshot | None) -> list[FileReport]:
    """Segments before the newest valid snapshot stand for themselves; from there on each continues the one before."""
    needed = segments_from(names, 0 if newest is None else newest.next_offset)
    chain: Chain | None = None
    reports, cut_off = [], False
    for name in names:
        data = (folder / name).read_bytes()
        segment = scan_segment(data, name)
        report = _report_segment(name, len(data), segment, is_last=name == names[-1])
        if name in needed:
            if cut_off:
                report = report if report.state is FileState.BROKEN else report._replace(state=FileState.UNREACHABLE)
            elif segment.header is not None:
                chain = chain or Chain(segment.header.source if newest is None else newest.source, newest)
                why = chain.follow(data, segment)
                if why is not None:
                    report = report._replace(state=FileState.UNREACHABLE, position=0, why=why)
            cut_off = cut_off or report.must_go
        reports.append(report)
    return reports


def _report_segment(name: str, size: int, segment: Segment, *, is_last: bool) -> FileReport:
    first = last = None
    if segment.header is not None and segment.records:
        first, last = segment.header.first_offset, segment.next_offset - 1
    state, position, why = FileState.OK, None, ""
    if segment.fault is not None:
        state = FileState.TORN if segment.fault.torn and is_last else FileState.BROKEN
        position, why = segment.fault.position, segment.fault.why
    return FileReport(name, size, segment.records, first, last, state, position, why, segment.valid_bytes)
