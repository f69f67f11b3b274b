import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.adapters.files import FileDirectory, FolderLock
from services.adapters.journal.format import segment_name, snapshot_name, state_digest
from services.adapters.journal.journal import Journal
from services.adapters.ports import StoredFrame
from services.cli.journal import app
from services.domain.errors import ConfigError

SOURCE = "ubscore-0"
RECORD_BYTES = 32 + 10
HEADER_BYTES = 36 + len(SOURCE) + 4


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Segments 0..9, 10..19, 20..24 and a snapshot at 10."""

    async def fill() -> None:
        directory = FileDirectory(tmp_path / SOURCE)
        journal = Journal(directory, SOURCE, segment_bytes=HEADER_BYTES + 10 * RECORD_BYTES)
        await journal.open()
        for offset in range(25):
            await journal.append([StoredFrame(offset, b"%010d" % offset)])
            if offset == 9:
                await journal.snapshot(b"state", state_digest(b"state"), 10)
        await journal.close()
        await directory.close()

    asyncio.run(fill())
    return tmp_path


def call(command: str, data_dir: Path, *options: str) -> Result:
    return CliRunner().invoke(app, [command, "--data-dir", str(data_dir), *options])


def damage(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def reopen(data_dir: Path) -> tuple[int, list[int]]:
    """The snapshot's offset and those of the frames behind it."""

    async def main() -> tuple[int, list[int]]:
        directory = FileDirectory(data_dir / SOURCE)
        found = await Journal(directory, SOURCE).open()
        offsets = [frame.offset async for frame in found.frames]
        await directory.close()
        return found.snapshot_offset, offsets

    return asyncio.run(main())


def names(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / SOURCE).iterdir())


def test_verify_valid_journal_prints_every_file_and_succeeds(data_dir: Path) -> None:
    result = call("verify", data_dir)
    assert result.exit_code == 0
    for name in (segment_name(0), segment_name(10), segment_name(20), snapshot_name(10)):
        assert name in result.output
    assert "All journals are valid" in result.output


def test_verify_broken_middle_prints_the_position_and_fails(data_dir: Path) -> None:
    position = HEADER_BYTES + 3 * RECORD_BYTES
    damage(data_dir / SOURCE / segment_name(10), position + 40)
    result = call("verify", data_dir)
    assert result.exit_code == 1
    assert f"{segment_name(10)}: broken at byte {position}: record's CRC does not match" in result.output
    assert f"{segment_name(20)}: unreachable" in result.output


def test_verify_torn_tail_prints_the_position_and_succeeds(data_dir: Path) -> None:
    path = data_dir / SOURCE / segment_name(20)
    path.write_bytes(path.read_bytes()[:-1])
    before = names(data_dir)
    result = call("verify", data_dir)
    assert result.exit_code == 0
    assert f"torn at byte {HEADER_BYTES + 4 * RECORD_BYTES}: record is incomplete" in result.output
    assert names(data_dir) == before


def test_verify_broken_snapshot_fails(data_dir: Path) -> None:
    damage(data_dir / SOURCE / snapshot_name(10), 70)
    result = call("verify", data_dir)
    assert result.exit_code == 1
    assert f"{snapshot_name(10)}: broken at byte 0: snapshot's CRC does not match" in result.output


def test_verify_no_journal_is_a_wrong_setting(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        result = call("verify", folder)
        assert isinstance(result.exception, ConfigError)
        assert not (tmp_path / "missing").exists()


def test_repair_broken_middle_keeps_the_prefix_and_deletes_nothing(data_dir: Path) -> None:
    path = data_dir / SOURCE / segment_name(10)
    damage(path, HEADER_BYTES + 3 * RECORD_BYTES + 40)
    damaged = path.read_bytes()
    result = call("repair", data_dir, "--yes")
    assert result.exit_code == 0, result.output
    assert names(data_dir) == [
        segment_name(0),
        segment_name(10),
        f"{segment_name(10)}.broken-1",
        f"{segment_name(20)}.broken-1",
        snapshot_name(10),
    ]
    assert path.with_name(f"{path.name}.broken-1").read_bytes() == damaged
    assert call("verify", data_dir).exit_code == 0
    assert reopen(data_dir) == (10, [10, 11, 12])


def test_repair_broken_snapshot_falls_back_to_the_journal(data_dir: Path) -> None:
    damage(data_dir / SOURCE / snapshot_name(10), 70)
    assert call("repair", data_dir, "--yes").exit_code == 0
    assert f"{snapshot_name(10)}.broken-1" in names(data_dir)
    assert reopen(data_dir) == (0, list(range(25)))


def test_repair_segment_before_the_snapshot_keeps_what_a_start_needs(data_dir: Path) -> None:
    damage(data_dir / SOURCE / segment_name(0), HEADER_BYTES + 5)
    assert call("verify", data_dir).exit_code == 1
    assert reopen(data_dir) == (10, list(range(10, 25)))
    assert call("repair", data_dir, "--yes").exit_code == 0
    assert call("verify", data_dir).exit_code == 0
    assert reopen(data_dir) == (10, list(range(10, 25)))


def test_repair_segment_missing_sets_aside_what_is_behind(data_dir: Path) -> None:
    (data_dir / SOURCE / segment_name(10)).unlink()
    assert "starts at offset 20 where 10 should follow" in call("verify", data_dir).output
    assert call("repair", data_dir, "--yes").exit_code == 0
    assert reopen(data_dir) == (10, [])


def test_repair_torn_tail_behind_a_broken_segment_goes_too(data_dir: Path) -> None:
    damage(data_dir / SOURCE / segment_name(10), HEADER_BYTES + 5)
    path = data_dir / SOURCE / segment_name(20)
    path.write_bytes(path.read_bytes()[:-1])
    assert call("repair", data_dir, "--yes").exit_code == 0
    assert reopen(data_dir) == (10, [])


def test_repair_again_finds_a_free_name(data_dir: Path) -> None:
    for record in (4, 1):
        damage(data_dir / SOURCE / segment_name(10), HEADER_BYTES + record * RECORD_BYTES + 40)
        assert call("repair", data_dir, "--yes").exit_code == 0
    assert f"{segment_name(10)}.broken-2" in names(data_dir)
    assert reopen(data_dir) == (10, [10])


def test_repair_not_confirmed_changes_nothing(data_dir: Path) -> None:
    damage(data_dir / SOURCE / segment_name(10), HEADER_BYTES + 5)
    before = names(data_dir)
    result = CliRunner().invoke(app, ["repair", "--data-dir", str(data_dir)], input="n\n")
    assert result.exit_code == 1
    assert [name for name in names(data_dir) if name != "LOCK"] == before


def test_repair_valid_journal_does_nothing(data_dir: Path) -> None:
    before = names(data_dir)
    assert "nothing to repair" in call("repair", data_dir).output
    assert names(data_dir) == before


def test_repair_exchange_is_running_is_refused(data_dir: Path) -> None:
    lock = FolderLock(data_dir)
    assert isinstance(call("repair", data_dir, "--yes").exception, ConfigError)
    lock.release()
