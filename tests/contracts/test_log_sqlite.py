import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from services.adapters.log_waiting import LoopSide
from services.adapters.ports import Append, Log, StoredFrame
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.log_table import Bounds, FrameTable, NewFrame, open_connection
from services.domain.errors import LogError
from services.domain.topics import TopicPartition
from tests.contracts.log_contract import PATIENCE_S, LogContract, P, Q, read_all


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.sqlite3"


class TestSqliteLog(LogContract):
    async def open_log(self, place: Path) -> Log:
        return SqliteLog(place)


class TestSqliteLogWithoutRoom(LogContract):
    """Tiny limits: every transaction is small, the queue is nearly always full, and the tail in memory is short."""

    async def open_log(self, place: Path) -> Log:
        return SqliteLog(place, max_batch_bytes=20, max_queued_bytes=30, tail_bytes=2_000)


def run(test: object) -> None:
    async def main() -> None:
        await asyncio.wait_for(test, PATIENCE_S)  # type: ignore[arg-type]

    asyncio.run(main())


def test_append_queue_full_waits_and_keeps_the_order(place: Path) -> None:
    async def test() -> None:
        log = SqliteLog(place, max_queued_bytes=100)
        tasks = [asyncio.create_task(log.append([Append(P, b"%050d" % n)])) for n in range(60)]
        await asyncio.sleep(0)
        tasks[30].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(30), asyncio.CancelledError)
        stored = await read_all(log, P)
        assert [frame.data for frame in stored] == [b"%050d" % n for n in range(60) if n != 30]
        assert results == [[n] for n in range(59)]
        await log.close()

    run(test())


def test_append_admitted_and_cancelled_at_once_gives_its_room_back() -> None:
    async def test() -> None:
        side = LoopSide(asyncio.get_running_loop(), 10)
        await side.admit(10)
        tasks = [asyncio.create_task(side.admit(10)) for _ in range(2)]
        await asyncio.sleep(0)
        side.release(10)
        tasks[0].cancel()
        await tasks[1]
        assert tasks[0].cancelled()

    run(test())


def test_bounds_of_a_long_partition_are_found_without_walking_through_it(place: Path) -> None:
    # Every start asks, and every look of a reader that has come to the end: the log is never cut.
    place.parent.mkdir()
    table = FrameTable(place)
    table.insert([NewFrame(P, offset, b"x") for offset in range(5_000)])
    steps = []
    table._connection.set_progress_handler(lambda: steps.append(1), 1)
    assert table.bounds_of(P) == Bounds(0, 5_000)
    assert len(steps) < 200
    table.close()


def test_read_frames_of_the_file_that_are_beyond_the_end_are_not_given(place: Path) -> None:
    # A transaction is in the file a moment before the log knows of it. A reader that was given its frames would ask
    # for the next ones, which are not on the log yet.
    async def test() -> None:
        log = SqliteLog(place, tail_bytes=0)
        await log.append([Append(P, b"%d" % n) for n in range(3)])
        transaction = FrameTable(place)
        transaction.insert([NewFrame(P, offset, b"early") for offset in (3, 4)])
        transaction.close()
        assert await log.end(P) == 3
        assert await log.read(P, 0) == [StoredFrame(0, b"0"), StoredFrame(1, b"1"), StoredFrame(2, b"2")]
        assert await log.read(P, 2, 2) == [StoredFrame(2, b"2")]
        assert await log.read(P, 3) == []
        with pytest.raises(LogError, match="not on the log"):
            await log.read(P, 4)
        await log.close()

    run(test())


def test_open_for_writing_syncs_every_commit(place: Path) -> None:
    # No kill of a process shows this, only a power cut does.
    place.parent.mkdir()
    connection = open_connection(place, read_only=False)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_append_from_two_event_loops_both_get_answers(place: Path) -> None:
    log = SqliteLog(place)

    async def client(name: bytes) -> list[int]:
        return [(await log.append([Append(P, name)]))[0] for _ in range(50)]

    async def both() -> None:
        other = asyncio.to_thread(asyncio.run, client(b"b"))
        first, second = await asyncio.gather(client(b"a"), other)
        assert sorted(first + second) == list(range(100))

    run(both())
    run(client(b"c"))
    run(log.close())


def test_append_transaction_fails_this_and_later_ones_raise_until_reopened(place: Path) -> None:
    async def test() -> None:
        log = SqliteLog(place)
        await log.append([Append(P, b"before")])
        intruder = sqlite3.connect(place)
        intruder.execute("INSERT INTO frames (partition, offset, data) VALUES (1, 1, x'00')")
        intruder.commit()
        waiter = asyncio.create_task(log.wait(Q, 0))
        results = await asyncio.gather(
            log.append([Append(P, b"a")]), log.append([Append(Q, b"b")]), return_exceptions=True
        )
        assert [type(result) for result in results] == [LogError, LogError]
        assert isinstance(results[0].__cause__, sqlite3.IntegrityError)  # type: ignore[union-attr]
        with pytest.raises(LogError):
            await waiter
        with pytest.raises(LogError, match="no more frames"):
            await log.append([Append(Q, b"c")])
        assert await log.read(P, 0) == [StoredFrame(0, b"before")]
        await log.close()
        intruder.execute("DELETE FROM frames WHERE offset = 1")
        intruder.commit()
        intruder.close()
        log = SqliteLog(place)
        assert (await log.end(P), await log.end(Q)) == (1, 0)
        assert await log.append([Append(P, b"again")]) == [1]
        await log.close()

    run(test())


def test_wait_log_closes_raises_log_error(place: Path) -> None:
    async def test() -> None:
        log = SqliteLog(place)
        waiter = asyncio.create_task(log.wait(P, 0))
        await asyncio.sleep(0)
        await log.close()
        with pytest.raises(LogError):
            await waiter

    run(test())


def test_open_not_a_database_raises_log_error(place: Path) -> None:
    place.parent.mkdir()
    place.write_bytes(b"this is no database at all, is it? " * 100)
    with pytest.raises(LogError):
        SqliteLog(place)


def test_open_another_version_raises_log_error(place: Path) -> None:
    place.parent.mkdir()
    with sqlite3.connect(place) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogError, match="version 99"):
        SqliteLog(place)


def write_first_version(place: Path) -> None:
    """A log as the program wrote it before frames had headers."""
    place.parent.mkdir()
    with sqlite3.connect(place) as connection:
        connection.executescript(
            """
            CREATE TABLE partitions (
                id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL, UNIQUE (topic, number)
            ) STRICT;
            CREATE TABLE frames (
                partition INTEGER NOT NULL, offset INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (partition, offset)
            ) STRICT, WITHOUT ROWID;
            PRAGMA user_version = 1;
            """
        )
        connection.execute("INSERT INTO partitions VALUES (1, ?, ?)", P)
        connection.execute("INSERT INTO frames VALUES (1, 0, x'61')")
    connection.close()


def test_open_first_version_goes_on_with_headers(place: Path) -> None:
    async def test() -> None:
        write_first_version(place)
        for _ in range(2):
            log = SqliteLog(place)
            await log.append([Append(P, b"b", (("k", b"v"),))])
            await log.close()
        log = SqliteLog(place)
        assert await read_all(log, P) == [
            StoredFrame(0, b"a"),
            StoredFrame(1, b"b", (("k", b"v"),)),
            StoredFrame(2, b"b", (("k", b"v"),)),
        ]
        await log.close()

    run(test())


def test_read_only_first_version_is_read_as_it_is(place: Path) -> None:
    async def test() -> None:
        write_first_version(place)
        reader = SqliteLog.open_read_only(place)
        assert await reader.read(P, 0) == [StoredFrame(0, b"a")]
        await reader.close()

    run(test())


def test_read_only_no_log_raises_log_error(place: Path) -> None:
    with pytest.raises(LogError):
        SqliteLog.open_read_only(place)


def test_read_only_beside_a_writer_follows_it(place: Path) -> None:
    async def test() -> None:
        log = SqliteLog(place)
        reader = SqliteLog.open_read_only(place, poll_interval_s=0.001)
        assert await reader.read(P, 0) == []
        waiting = asyncio.create_task(reader.wait(P, 1))
        await log.append([Append(P, b"a"), Append(Q, b"b"), Append(P, b"c")])
        await waiting
        assert await reader.read(P, 0) == [StoredFrame(0, b"a"), StoredFrame(1, b"c")]
        assert (await reader.start(P), await reader.end(P)) == (0, 2)
        assert await reader.partitions() == [P, Q]
        for offset in (-1, 3):
            with pytest.raises(LogError):
                await reader.read(P, offset)
        with pytest.raises(LogError, match="reading only"):
            await reader.append([Append(P, b"x")])
        await log.close()
        assert await reader.end(P) == 2
        await reader.close()

    run(test())


CHILD = """
import asyncio, sys
from pathlib import Path
from services.adapters.sqlite.log import SqliteLog
from services.adapters.sqlite.log_table import Bounds, FrameTable, NewFrame, open_connection
from services.adapters.log_waiting import LoopSide
from services.adapters.ports import Append
from services.domain.topics import TopicPartition

async def client(log, n):
    partition = TopicPartition("orders", n % 3)
    while True:
        (offset,) = await log.append([Append(partition, b"%d" % n * 200)])
        # One write call a line, unbuffered: a line that is seen was acknowledged before.
        sys.stdout.buffer.raw.write(b"%d %d %d\\n" % (n % 3, offset, n))

async def main():
    log = SqliteLog(Path(sys.argv[1]))
    await asyncio.gather(*[client(log, n) for n in range(12)])

asyncio.run(main())
"""


def test_kill_9_everything_acknowledged_is_there(place: Path) -> None:
    acknowledged: dict[tuple[int, int], bytes] = {}
    for lines in (200, 900, 50):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(place)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            seen = [child.stdout.readline() for _ in range(lines)]
            child.send_signal(signal.SIGKILL)
            seen += child.stdout.readlines()
        for line in seen:
            if line.endswith(b"\n"):
                partition, offset, n = map(int, line.split())
                assert (partition, offset) not in acknowledged
                acknowledged[partition, offset] = b"%d" % n * 200

    async def test() -> None:
        log = SqliteLog(place)
        stored = {}
        for partition in range(3):
            for offset, data, _ in await read_all(log, TopicPartition("orders", partition)):
                stored[partition, offset] = data
        assert acknowledged.items() <= stored.items()
        await log.close()

    run(test())


@pytest.mark.parametrize("name", ["log.sqlite3", "log.sqlite3-wal"])
def test_append_after_a_file_was_deleted_or_replaced_is_refused(place: Path, name: str) -> None:
    """SQLite would go on with the file that has no name any more, and what was acknowledged would be gone."""

    async def test(replace: bool) -> None:
        log = SqliteLog(place)
        await log.append([Append(P, b"before")])
        (place.parent / name).unlink()
        if replace:
            (place.parent / name).touch()
        with pytest.raises(LogError, match=name if not replace else "other files in the place of"):
            await log.append([Append(P, b"after")])
        with pytest.raises(LogError, match="takes no more frames"):
            await log.append([Append(P, b"later")])
        await log.close()
        for path in place.parent.iterdir():
            path.unlink()

    run(test(replace=False))
    run(test(replace=True))
