"""What every log must do. An adapter's test class inherits LogContract and says how to open its log."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.adapters.ports import Append, Log, StoredFrame
from services.domain.errors import LogError
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition

P = TopicPartition(BALANCE_OPERATIONS, 0)
Q = TopicPartition(ORDERS, 1)
PATIENCE_S = 120.0
"""After that long something hangs; nothing waits for it when all is well."""


class LogContract(ABC):
    """Inherit it, and give a fixture `place`: where one test's log lives, empty at first."""

    @abstractmethod
    async def open_log(self, place: Any) -> Log:
        """The log at `place`, with what was written there before."""

    async def prepare(self, place: Any, partitions: Sequence[TopicPartition]) -> None:  # noqa: B027
        """Make partitions exist. A log that makes them when they are first written has nothing to do."""

    @asynccontextmanager
    async def log_at(self, place: Any, partitions: Sequence[TopicPartition] = (P, Q)) -> AsyncIterator[Log]:
        await self.prepare(place, partitions)
        log = await self.open_log(place)
        try:
            yield log
        finally:
            await log.close()

    def run(self, place: Any, test: Any, partitions: Sequence[TopicPartition] = (P, Q)) -> Any:
        """Run `test(log)` on an event loop of its own, with these partitions."""

        async def main() -> Any:
            async with self.log_at(place, partitions) as log:
                return await asyncio.wait_for(test(log), PATIENCE_S)

        return asyncio.run(main())

    def test_append_new_log_gives_offsets_from_zero_a_partition(self, place: Any) -> None:
        async def test(log: Log) -> None:
            assert await log.append([Append(P, b"a"), Append(Q, b"b"), Append(P, b"c")]) == [0, 0, 1]
            assert await log.append([Append(P, b"d")]) == [2]
            assert await log.read(P, 0) == [StoredFrame(0, b"a"), StoredFrame(1, b"c"), StoredFrame(2, b"d")]
            assert await log.read(Q, 0) == [StoredFrame(0, b"b")]

        self.run(place, test)

    def test_append_frames_with_headers_gives_them_back_with_their_frames(self, place: Any) -> None:
        headers = (("traceparent", b"00-1-2-01"), ("other", bytes(range(256))))
        frames = [Append(P, b"a", headers), Append(P, b"b"), Append(Q, b"", (("x", b""),)), Append(P, b"c", headers)]

        async def write(log: Log) -> None:
            await log.append(frames)
            assert [frame.headers for frame in await read_all(log, P)] == [headers, (), headers]
            # So many that a log which keeps its newest frames in memory lets go of these.
            await log.append([Append(P, b"%d" % n) for n in range(100)])

        async def read(log: Log) -> None:
            stored = await read_all(log, P)
            assert stored[:3] == [StoredFrame(0, b"a", headers), StoredFrame(1, b"b"), StoredFrame(2, b"c", headers)]
            assert not any(frame.headers for frame in stored[3:])
            assert await read_all(log, Q) == [StoredFrame(0, b"", (("x", b""),))]

        self.run(place, write)
        self.run(place, read)

    def test_append_nothing_gives_nothing(self, place: Any) -> None:
        async def test(log: Log) -> None:
            assert await log.append([]) == []
            assert await log.end(P) == 0

        self.run(place, test)

    def test_append_empty_frame_is_kept(self, place: Any) -> None:
        async def test(log: Log) -> None:
            assert await log.append([Append(P, b""), Append(P, b"x")]) == [0, 1]
            assert await log.read(P, 0) == [StoredFrame(0, b""), StoredFrame(1, b"x")]

        self.run(place, test)

    def test_append_any_bytes_come_back_equal(self, place: Any) -> None:
        frames = [bytes(range(256)), b"\0" * 1000, b"\xff" * 3, "é€".encode(), b"'; --"]

        async def test(log: Log) -> None:
            await log.append([Append(P, data) for data in frames])
            assert [frame.data for frame in await read_all(log, P)] == frames

        self.run(place, test)

    def test_append_big_frames_come_back_equal(self, place: Any) -> None:
        frames = [bytes([n]) * (900_000 + n) for n in range(8)]

        async def test(log: Log) -> None:
            await asyncio.gather(*[log.append([Append(P, data)]) for data in frames])
            assert [frame.data for frame in await read_all(log, P)] == frames

        self.run(place, test)

    def test_append_concurrent_callers_share_contiguous_offsets_in_their_order(self, place: Any) -> None:
        async def test(log: Log) -> None:
            given: list[tuple[int, bytes]] = []

            async def caller(name: int) -> None:
                for n in range(25):
                    data = [b"%d-%d-%d" % (name, n, part) for part in range(3)]
                    offsets = await log.append([Append(P, frame) for frame in data])
                    assert offsets == sorted(offsets)
                    given.extend(zip(offsets, data, strict=True))

            await asyncio.gather(*[caller(name) for name in range(20)])
            stored = await read_all(log, P)
            assert [frame.offset for frame in stored] == list(range(20 * 25 * 3))
            assert [(frame.offset, frame.data) for frame in stored] == sorted(given)
            for name in range(20):
                own = [frame.data for frame in stored if frame.data.startswith(b"%d-" % name)]
                assert own == [b"%d-%d-%d" % (name, n, part) for n in range(25) for part in range(3)]

        self.run(place, test)

    def test_append_many_partitions_are_independent(self, place: Any) -> None:
        partitions = [TopicPartition(topic, n) for topic in (BALANCE_EVENTS, ENGINE_OUTPUTS) for n in range(8)]

        async def test(log: Log) -> None:
            for round_ in range(3):
                frames = [Append(partition, b"%s %d" % (str(partition).encode(), round_)) for partition in partitions]
                assert await log.append(frames) == [round_] * len(partitions)
            for partition in partitions:
                expected = [StoredFrame(n, b"%s %d" % (str(partition).encode(), n)) for n in range(3)]
                assert await log.read(partition, 0) == expected

        self.run(place, test, partitions)

    def test_append_cancelled_was_written_or_not_and_the_log_goes_on(self, place: Any) -> None:
        async def test(log: Log) -> None:
            for n in range(30):
                task = asyncio.create_task(log.append([Append(P, b"maybe %d" % n)]))
                for _ in range(n % 3):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await log.append([Append(P, b"sure %d" % n)])
            stored = await read_all(log, P)
            assert [frame.offset for frame in stored] == list(range(len(stored)))
            assert [f.data for f in stored if f.data.startswith(b"sure")] == [b"sure %d" % n for n in range(30)]
            maybe = [frame.data for frame in stored if frame.data.startswith(b"maybe")]
            assert len(set(maybe)) == len(maybe)

        self.run(place, test)

    def test_read_partition_never_written_is_empty(self, place: Any) -> None:
        async def test(log: Log) -> None:
            assert (await log.start(P), await log.end(P)) == (0, 0)
            assert await log.read(P, 0) == []

        self.run(place, test)

    def test_read_at_most_max_frames_from_the_offset(self, place: Any) -> None:
        async def test(log: Log) -> None:
            await log.append([Append(P, b"%d" % n) for n in range(10)])
            assert [frame.offset for frame in await log.read(P, 3, 4)] == [3, 4, 5, 6]
            assert [frame.offset for frame in await log.read(P, 8, 4)] == [8, 9]
            assert await log.read(P, 10, 4) == []

        self.run(place, test)

    @pytest.mark.parametrize("offset", [-1, 4, 2**40])
    def test_read_outside_start_and_end_raises_log_error(self, place: Any, offset: int) -> None:
        async def test(log: Log) -> None:
            await log.append([Append(P, b"%d" % n) for n in range(3)])
            with pytest.raises(LogError):
                await log.read(P, offset)

        self.run(place, test)

    def test_end_after_append_is_behind_the_last_frame(self, place: Any) -> None:
        async def test(log: Log) -> None:
            (*_, last) = await log.append([Append(P, b"x")] * 5)
            assert await log.end(P) == last + 1
            assert await log.start(P) == 0

        self.run(place, test)

    def test_wait_frame_is_there_returns_at_once(self, place: Any) -> None:
        async def test(log: Log) -> None:
            await log.append([Append(P, b"x")] * 2)
            await log.wait(P, 0)
            await log.wait(P, 1)

        self.run(place, test)

    def test_wait_returns_when_its_frame_is_written_and_not_before(self, place: Any) -> None:
        async def test(log: Log) -> None:
            first, second = (asyncio.create_task(log.wait(P, offset)) for offset in (0, 1))
            await log.append([Append(Q, b"another partition")])
            assert not first.done()
            await log.append([Append(P, b"a")])
            await first
            assert await log.read(P, 0) == [StoredFrame(0, b"a")]
            assert not second.done()
            await log.append([Append(P, b"b")])
            await second

        self.run(place, test)

    def test_wait_many_waiters_all_wake(self, place: Any) -> None:
        async def test(log: Log) -> None:
            waiters = [asyncio.create_task(log.wait(partition, 0)) for partition in (P, Q) for _ in range(10)]
            await asyncio.sleep(0)
            await log.append([Append(P, b"x"), Append(Q, b"y")])
            await asyncio.gather(*waiters)

        self.run(place, test)

    def test_wait_cancelled_stops_and_others_still_wake(self, place: Any) -> None:
        async def test(log: Log) -> None:
            cancelled, kept = (asyncio.create_task(log.wait(P, 0)) for _ in range(2))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await log.append([Append(P, b"x")])
            await kept

        self.run(place, test)

    def test_tailing_reader_sees_every_frame_once_in_order(self, place: Any) -> None:
        async def tail(log: Log) -> list[StoredFrame]:
            seen: list[StoredFrame] = []
            while len(seen) < 300:
                await log.wait(P, len(seen))
                seen += await log.read(P, len(seen), 7)
            return seen

        async def test(log: Log) -> None:
            readers = [asyncio.create_task(tail(log)) for _ in range(3)]
            for n in range(100):
                await log.append([Append(P, b"%d" % (3 * n + part)) for part in range(3)])
            for seen in await asyncio.gather(*readers):
                assert seen == [StoredFrame(n, b"%d" % n) for n in range(300)]

        self.run(place, test)

    def test_reopen_keeps_what_was_written_and_continues(self, place: Any) -> None:
        async def write(log: Log) -> list[int]:
            return await log.append([Append(P, b"first"), Append(Q, b"other"), Append(P, b"second")])

        async def read(log: Log) -> None:
            assert (await log.start(P), await log.end(P), await log.end(Q)) == (0, 2, 1)
            assert await log.append([Append(P, b"third")]) == [2]
            assert [frame.data for frame in await log.read(P, 0)] == [b"first", b"second", b"third"]
            assert [frame.data for frame in await log.read(Q, 0)] == [b"other"]

        assert self.run(place, write) == [0, 0, 1]
        self.run(place, read)

    def test_close_finishes_appends_that_were_asked_for(self, place: Any) -> None:
        async def write() -> list[list[int]]:
            async with self.log_at(place) as log:
                tasks = [asyncio.create_task(log.append([Append(P, b"%d" % n)])) for n in range(50)]
                await asyncio.sleep(0)
            return await asyncio.gather(*tasks)

        async def read(log: Log) -> list[StoredFrame]:
            return await read_all(log, P)

        assert asyncio.run(write()) == [[n] for n in range(50)]
        assert self.run(place, read) == [StoredFrame(n, b"%d" % n) for n in range(50)]

    def test_append_after_close_raises_log_error(self, place: Any) -> None:
        async def main() -> None:
            async with self.log_at(place) as log:
                await log.close()
                await log.close()
                with pytest.raises(LogError):
                    await log.append([Append(P, b"x")])

        asyncio.run(main())


async def read_all(log: Log, partition: TopicPartition) -> list[StoredFrame]:
    """The whole partition, in reads of a few frames."""
    frames: list[StoredFrame] = []
    offset, end = await log.start(partition), await log.end(partition)
    while offset < end:
        part = await log.read(partition, offset, 100)
        assert part, f"nothing at {offset} of {end}"
        frames += part
        offset = part[-1].offset + 1
    return frames
