import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.files import FileDirectory
from services.adapters.journal.format import decode_snapshot, encode_snapshot, segment_name, snapshot_name, state_digest
from services.adapters.journal.journal import Journal
from services.adapters.ports import StoredFrame
from services.domain.errors import GapError, JournalError
from tests.support.aio import run_async
from tests.support.memory_directory import MemoryDirectory, PowerCut

SOURCE = "ubscore-0"


def frames(first: int, count: int) -> list[StoredFrame]:
    """Payloads of different lengths, among them an empty one."""
    return [StoredFrame(offset, b"frame %d " % offset * (offset % 4)) for offset in range(first, first + count)]


class Opened(NamedTuple):
    journal: Journal
    snapshot: bytes | None
    snapshot_offset: int
    frames: list[StoredFrame]
    torn: str | None
    warnings: tuple[str, ...]


async def reopen(directory: MemoryDirectory, **options: Any) -> Opened:
    journal = Journal(directory, SOURCE, **options)
    found = await journal.open()
    read = [frame async for frame in found.frames]
    return Opened(journal, found.snapshot, found.snapshot_offset, read, found.torn, found.warnings)


async def write(journal: Journal, count: int) -> None:
    """Append and flush so many frames, in batches of up to three."""
    end = journal.next_offset + count
    while journal.next_offset < end:
        await journal.append(frames(journal.next_offset, min(3, end - journal.next_offset)))
        await journal.flush()


async def write_slowly(journal: Journal) -> None:
    """For ever, giving timers their turn."""
    while True:
        await write(journal, 1)
        await asyncio.sleep(0.0005)


async def take_snapshot(journal: Journal) -> bytes:
    data = b"state at %d" % journal.next_offset
    await journal.snapshot(data, state_digest(data), journal.next_offset)
    return data


async def filled(count: int, **options: Any) -> MemoryDirectory:
    directory = MemoryDirectory()
    await write((await reopen(directory, **options)).journal, count)
    return directory


def copy_of(directory: MemoryDirectory) -> MemoryDirectory:
    return directory.after_power_cut(1.0)


@run_async
async def test_open_new_directory_is_empty() -> None:
    opened = await reopen(MemoryDirectory())
    assert opened[1:] == (None, 0, [], None, ())
    assert opened.journal.next_offset == 0


@run_async
async def test_open_after_flush_gives_every_frame_and_continues() -> None:
    directory = await filled(10)
    opened = await reopen(directory.after_power_cut(0.0))
    assert opened.frames == frames(0, 10)
    await write(opened.journal, 5)
    assert (await reopen(directory)).torn is None


@run_async
async def test_reopen_real_files_gives_snapshot_and_frames(tmp_path: Path) -> None:
    directory = FileDirectory(tmp_path / SOURCE)
    flushes: list[float] = []
    journal = Journal(directory, SOURCE, segment_bytes=400, on_flush=flushes.append)
    await journal.open()
    await write(journal, 25)
    data = await take_snapshot(journal)
    await write(journal, 25)
    size = journal.bytes_on_disk
    assert min(flushes) > 0
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        await journal.append(frames(50, 1))
    await directory.close()
    assert size == sum(path.stat().st_size for path in (tmp_path / SOURCE).iterdir())

    directory = FileDirectory(tmp_path / SOURCE)
    journal = Journal(directory, SOURCE, segment_bytes=400)
    found = await journal.open()
    assert (found.snapshot, found.snapshot_offset) == (data, 25)
    assert [frame async for frame in found.frames] == frames(25, 25)
    await write(journal, 1)
    await directory.close()


@run_async
async def test_append_not_the_next_offset_raises_gap_error_and_adds_nothing() -> None:
    directory = await filled(3)
    journal = (await reopen(directory)).journal
    for wrong in ([*frames(4, 1)], [*frames(2, 1)], [*frames(3, 2), *frames(6, 1)]):
        with pytest.raises(GapError, match="ubscore-0"):
            await journal.append(wrong)
    assert journal.next_offset == 3
    await journal.append(frames(3, 1))
    await journal.flush()
    assert (await reopen(directory)).frames == frames(0, 4)


@run_async
async def test_append_before_open_raises_journal_error() -> None:
    with pytest.raises(JournalError, match="not opened"):
        await Journal(MemoryDirectory(), SOURCE).append(frames(0, 1))


@run_async
async def test_append_segment_is_full_starts_the_next_one() -> None:
    directory = await filled(60, segment_bytes=500)
    names = await directory.names()
    assert len(names) > 3
    assert all(len(data) < 800 for data in directory.files.values())
    assert (await reopen(directory)).frames == frames(0, 60)


@run_async
async def test_flush_batch_of_appends_syncs_once() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory)).journal
    await journal.flush()
    assert directory.syncs == 0
    for first in (0, 3, 6):
        await journal.append(frames(first, 3))
    await journal.flush()
    await journal.flush()
    assert directory.syncs == 1


@run_async
async def test_flush_interval_has_not_passed_returns_without_a_sync() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory, flush="interval", flush_interval_s=3600)).journal
    await write(journal, 1)
    first = directory.syncs
    await write(journal, 30)
    assert directory.syncs == first
    await journal.close()
    assert (await reopen(directory.after_power_cut(0.0))).frames == frames(0, 31)


@run_async
async def test_flush_interval_passes_syncs_by_itself() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory, flush="interval", flush_interval_s=0.01)).journal
    await write(journal, 1)
    await write(journal, 3)
    while directory.durable[segment_name(0)] < len(directory.files[segment_name(0)]):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert (await reopen(directory.after_power_cut(0.0))).frames == frames(0, 4)


@run_async
async def test_flush_interval_sync_fails_next_call_raises() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory, flush="interval", flush_interval_s=0.001)).journal
    await write(journal, 1)
    directory.fail_sync = True
    with pytest.raises(JournalError, match="Input/output"):
        await write_slowly(journal)


@run_async
async def test_open_truncated_at_any_byte_of_the_last_segment_keeps_the_whole_records_before() -> None:
    directory = await filled(40, segment_bytes=700)
    last = (await directory.names())[-1]
    whole = directory.files[last]
    before = int(last[8:28])
    kept_counts = set()
    for size in range(len(whole)):
        cut = copy_of(directory)
        cut.files[last] = whole[:size]
        opened = await reopen(cut)
        kept = len(opened.frames)
        kept_counts.add(kept)
        assert opened.frames == frames(0, kept)
        assert opened.torn is None or last in opened.torn
        await write(opened.journal, 2)
        again = await reopen(cut)
        assert (again.frames, again.torn) == (frames(0, kept + 2), None)
    assert kept_counts == set(range(before, 40))


@run_async
async def test_open_truncated_within_an_earlier_segment_raises_with_the_position() -> None:
    directory = await filled(40, segment_bytes=700)
    name = (await directory.names())[0]
    size = len(directory.files[name])
    for cut_bytes in (1, 100, size):
        cut = copy_of(directory)
        cut.files[name] = cut.files[name][: size - cut_bytes]
        with pytest.raises(JournalError, match=rf"{name} is broken at byte \d+: .*exchange journal"):
            await reopen(cut)


@run_async
async def test_open_segment_is_missing_raises() -> None:
    directory = await filled(40, segment_bytes=700)
    for name in (await directory.names())[:-1]:
        cut = copy_of(directory)
        await cut.remove(name)
        with pytest.raises(JournalError, match="should follow"):
            await reopen(cut)


@run_async
async def test_open_journal_of_another_core_raises() -> None:
    directory = await filled(3)
    with pytest.raises(JournalError, match="belongs to ubscore-0, not to matcher-0"):
        await Journal(directory, "matcher-0").open()
    await take_snapshot((await reopen(directory)).journal)
    with pytest.raises(JournalError, match="belongs to ubscore-0, not to matcher-0"):
        await Journal(directory, "matcher-0").open()


@run_async
async def test_open_record_written_twice_raises() -> None:
    # Its CRC is right, so no crash explains it: cutting it would hide that two processes wrote here.
    directory = await filled(3)
    one = await filled(2)
    record = directory.files[segment_name(0)][len(one.files[segment_name(0)]) :]
    directory.files[segment_name(0)] += record
    with pytest.raises(JournalError, match="offset 2 instead of 3"):
        await reopen(directory)


@run_async
async def test_open_record_exchanged_for_another_raises_though_its_crc_is_right() -> None:
    directory, other = MemoryDirectory(), MemoryDirectory()
    for target, payload in ((directory, b"true"), (other, b"fake")):
        journal = (await reopen(target)).journal
        await journal.append([StoredFrame(0, payload), StoredFrame(1, b"same")])
    whole, fake = directory.files[segment_name(0)], other.files[segment_name(0)]
    half = len(whole) - 36
    directory.files[segment_name(0)] = fake[:half] + whole[half:]
    with pytest.raises(JournalError, match="running hash"):
        await reopen(directory)


DAMAGED = asyncio.run(filled(30, segment_bytes=500))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_open_any_byte_changed_is_cut_or_refused_never_accepted(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(DAMAGED.files)))
    position = data.draw(st.integers(0, len(DAMAGED.files[name]) - 1))
    flip = data.draw(st.integers(1, 255))
    asyncio.run(change_a_byte(name, position, flip))


async def change_a_byte(name: str, position: int, flip: int) -> None:
    directory = copy_of(DAMAGED)
    whole = bytearray(directory.files[name])
    whole[position] ^= flip
    directory.files[name] = bytes(whole)
    opened, refusal = None, ""
    try:
        opened = await reopen(directory)
    except JournalError as error:
        refusal = str(error)
    if opened is None:
        assert name in refusal
        assert " at byte " in refusal
        return
    assert name == max(DAMAGED.files), "damage before the last segment was accepted"
    assert opened.torn is not None
    assert name in opened.torn
    # Only the last record can pass for torn: behind any other one a valid record follows.
    assert opened.frames == frames(0, 29)


@run_async
async def test_open_every_byte_of_the_last_segment_changed_is_cut_or_refused() -> None:
    last = max(DAMAGED.files)
    for position in range(len(DAMAGED.files[last])):
        await change_a_byte(last, position, 0x40)


@run_async
async def test_snapshot_then_open_gives_it_and_the_frames_behind_it() -> None:
    directory = await filled(7)
    journal = (await reopen(directory)).journal
    data = await take_snapshot(journal)
    await write(journal, 5)
    opened = await reopen(directory.after_power_cut(0.0))
    assert (opened.snapshot, opened.snapshot_offset) == (data, 7)
    assert opened.frames == frames(7, 5)
    assert segment_name(7) in directory.files


@run_async
async def test_snapshot_wrong_offset_or_digest_raises_and_writes_nothing() -> None:
    directory = await filled(3)
    journal = (await reopen(directory)).journal
    with pytest.raises(JournalError, match="stands at 3"):
        await journal.snapshot(b"x", state_digest(b"x"), 2)
    with pytest.raises(JournalError, match="digest"):
        await journal.snapshot(b"x", state_digest(b"y"), 3)
    assert await directory.names() == [segment_name(0)]
    await write(journal, 1)


@run_async
async def test_snapshot_frames_appended_while_it_is_written_follow_it() -> None:
    directory = await filled(3)
    journal = (await reopen(directory)).journal
    await asyncio.gather(take_snapshot(journal), write(journal, 4))
    await write(journal, 4)
    opened = await reopen(directory)
    assert (opened.snapshot_offset, opened.frames) == (3, frames(3, 8))


@run_async
async def test_snapshot_retention_keeps_so_many_and_the_segments_behind_the_oldest() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory, keep_snapshots=2)).journal
    for _ in range(5):
        await write(journal, 4)
        await take_snapshot(journal)
    await write(journal, 1)
    assert await directory.names() == [
        *(segment_name(offset) for offset in (16, 20)),
        *(snapshot_name(offset) for offset in (16, 20)),
    ]
    assert journal.bytes_on_disk == sum(map(len, directory.files.values()))


@run_async
async def test_open_newest_snapshots_broken_uses_an_older_one_and_sets_them_aside() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory)).journal
    for _ in range(3):
        await write(journal, 4)
        await take_snapshot(journal)
    await write(journal, 2)
    for broken, expected in (([12], 8), ([12, 8], 4)):
        damaged = copy_of(directory)
        for offset in broken:
            name = snapshot_name(offset)
            damaged.files[name] = damaged.files[name][:-9] + b"?" + damaged.files[name][-8:]
        opened = await reopen(damaged)
        assert opened.snapshot_offset == expected
        assert opened.frames == frames(expected, 14 - expected)
        assert len(opened.warnings) == len(broken)
        for offset in broken:
            assert f"{snapshot_name(offset)}.broken-1" in damaged.files
            assert snapshot_name(offset) not in damaged.files
        assert (await reopen(damaged)).warnings == ()


@run_async
async def test_open_first_snapshots_all_broken_uses_the_journal_alone() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory)).journal
    for _ in range(2):
        await write(journal, 4)
        await take_snapshot(journal)
    for offset in (4, 8):
        directory.files[snapshot_name(offset)] = b""
    opened = await reopen(directory)
    assert (opened.snapshot, opened.frames) == (None, frames(0, 8))


@run_async
async def test_open_any_byte_of_a_snapshot_changed_uses_the_older_one() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory)).journal
    for _ in range(2):
        await write(journal, 4)
        await take_snapshot(journal)
    name = snapshot_name(8)
    for position in range(len(directory.files[name])):
        damaged = copy_of(directory)
        whole = bytearray(damaged.files[name])
        whole[position] ^= 0x11
        damaged.files[name] = bytes(whole)
        assert (await reopen(damaged)).snapshot == b"state at 4"


@run_async
async def test_open_journal_ends_before_the_snapshot_warns_and_continues_behind_it() -> None:
    directory = await filled(6)
    await take_snapshot((await reopen(directory)).journal)
    directory.files[segment_name(0)] = directory.files[segment_name(0)][:-10]
    opened = await reopen(directory)
    assert (opened.snapshot_offset, opened.frames) == (6, [])
    assert "before the snapshot" in opened.warnings[0]
    await write(opened.journal, 3)
    opened = await reopen(directory)
    assert (opened.snapshot_offset, opened.frames, opened.warnings) == (6, frames(6, 3), ())


@run_async
async def test_append_disk_full_at_any_byte_refuses_further_work_and_leaves_a_recoverable_file() -> None:
    batch = len((await filled(3)).files[segment_name(0)])
    for room in range(batch):
        directory = MemoryDirectory()
        journal = (await reopen(directory)).journal
        directory.room = room
        with pytest.raises(JournalError, match="No space left"):
            await journal.append(frames(0, 3))
        directory.room = None
        for refused in (journal.append(frames(0, 1)), journal.flush(), take_snapshot(journal)):
            with pytest.raises(JournalError, match=r"takes no work: .*No space left"):
                await refused
        opened = await reopen(directory)
        assert opened.frames == frames(0, len(opened.frames))
        await write(opened.journal, 3)
        assert (await reopen(directory)).frames == frames(0, len(opened.frames) + 3)


@run_async
async def test_flush_sync_fails_is_never_tried_again() -> None:
    directory = MemoryDirectory()
    journal = (await reopen(directory)).journal
    await journal.append(frames(0, 1))
    directory.fail_sync = True
    with pytest.raises(JournalError, match="Input/output"):
        await journal.flush()
    directory.fail_sync = False
    with pytest.raises(JournalError, match="takes no work"):
        await journal.flush()
    assert directory.syncs == 1


@run_async
async def test_snapshot_disk_full_refuses_further_work_and_the_journal_is_whole() -> None:
    directory = await filled(3)
    journal = (await reopen(directory)).journal
    directory.room = 5
    with pytest.raises(JournalError, match="No space left"):
        await take_snapshot(journal)
    with pytest.raises(JournalError, match="takes no work"):
        await journal.append(frames(3, 1))
    assert (await reopen(directory)).frames == frames(0, 3)


@run_async
async def test_open_frames_that_were_never_flushed_are_made_durable_before_they_count() -> None:
    directory = MemoryDirectory()
    await (await reopen(directory)).journal.append(frames(0, 3))
    assert (await reopen(directory)).frames == frames(0, 3)
    assert (await reopen(directory.after_power_cut(0.0))).frames == frames(0, 3)


@run_async
async def test_open_segment_of_a_journal_with_another_past_raises() -> None:
    directory = await filled(40, segment_bytes=700)
    other = MemoryDirectory()
    journal = (await reopen(other, segment_bytes=700)).journal
    for frame in frames(0, 40):
        await journal.append([frame._replace(data=frame.data.replace(b"frame 1 ", b"other 1 "))])
    last = max(directory.files)
    assert last in other.files
    directory.files[last] = other.files[last]
    with pytest.raises(JournalError, match=f"{last} .*running hash"):
        await reopen(directory)


@run_async
async def test_open_snapshot_of_a_journal_with_another_past_raises() -> None:
    directory, other = await filled(10), MemoryDirectory()
    journal = (await reopen(other)).journal
    await journal.append([StoredFrame(offset, b"other") for offset in range(5)])
    await take_snapshot(journal)
    directory.files[snapshot_name(5)] = other.files[snapshot_name(5)]
    with pytest.raises(JournalError, match="running hash differs from the snapshot's at offset 5"):
        await reopen(directory)


@run_async
async def test_open_snapshot_whose_data_is_not_of_its_digest_is_set_aside() -> None:
    directory = await filled(3)
    await take_snapshot((await reopen(directory)).journal)
    good = decode_snapshot(directory.files[snapshot_name(3)], snapshot_name(3))
    directory.files[snapshot_name(3)] = encode_snapshot(good._replace(data=b"state at 4"))
    opened = await reopen(directory)
    assert (opened.snapshot, opened.frames) == (None, frames(0, 3))
    assert "digest" in opened.warnings[0]


@pytest.mark.parametrize("kept_share", [0.0, 0.5, 1.0])
@run_async
async def test_power_cut_before_any_step_loses_nothing_that_was_flushed(kept_share: float) -> None:
    async def work(directory: MemoryDirectory, flushed: list[int]) -> None:
        journal = (await reopen(directory, segment_bytes=150, keep_snapshots=2)).journal
        for _ in range(4):
            await write(journal, 7)
            flushed.append(journal.next_offset)
            # Unflushed frames go over the end of a segment, and are in the snapshot.
            for _ in range(6):
                await journal.append(frames(journal.next_offset, 1))
            await take_snapshot(journal)
            flushed.append(journal.next_offset)

    complete = MemoryDirectory()
    await work(complete, [])
    for step in range(1, complete.steps + 1):
        directory, flushed = MemoryDirectory(), [0]
        directory.cut_before = step
        with pytest.raises(PowerCut):
            await work(directory, flushed)
        left = directory.after_power_cut(kept_share)
        end = await check_every_snapshot(left)
        assert end >= flushed[-1]
        journal = (await reopen(left)).journal
        await write(journal, 2)
        await take_snapshot(journal)
        assert (await reopen(left)).snapshot_offset == end + 2


async def check_every_snapshot(directory: MemoryDirectory) -> int:
    """Whichever snapshot a start can use, the journal behind it is whole. Returns the journal's end."""
    ends = set()
    snapshots = sorted(name for name in directory.files if name.startswith("snapshot"))
    for newest in range(len(snapshots), 0, -1) if snapshots else [0]:
        usable = copy_of(directory)
        for name in snapshots[newest:]:
            await usable.remove(name)
        opened = await reopen(usable)
        assert opened.warnings == ()
        assert opened.snapshot in (None, b"state at %d" % opened.snapshot_offset)
        ends.add(opened.journal.next_offset)
        assert opened.frames == frames(opened.snapshot_offset, opened.journal.next_offset - opened.snapshot_offset)
    (end,) = ends
    return end
