"""A partition's buffer is in order, without a hole, and never above its bounds."""

import asyncio

import pytest

from services.adapters.kafka.faust_buffer import PartitionBuffer
from services.adapters.ports import StoredFrame
from services.domain.errors import GapError
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from tests.support.aio import run_async
from tests.support.clock import settle

P = TopicPartition(BALANCE_EVENTS, 0)


class _Event:
    def __init__(self) -> None:
        self.acks = 0

    def ack(self) -> None:
        self.acks += 1


async def _put(buffer: PartitionBuffer, *offsets: int) -> list[_Event]:
    events = [_Event() for _ in offsets]
    for offset, event in zip(offsets, events, strict=True):
        await buffer.put(offset, b"%d" % offset, event)
    return events


@run_async
async def test_read_gives_each_frame_once_in_order_up_to_the_number_asked_for() -> None:
    buffer = PartitionBuffer(P, 5)
    await _put(buffer, 5, 6, 7)
    assert buffer.read(5, 2) == [StoredFrame(5, b"5"), StoredFrame(6, b"6")]
    assert buffer.read(7, 2) == [StoredFrame(7, b"7")]
    assert buffer.read(8, 2) == []


@run_async
async def test_put_frame_beyond_the_next_raises_gap_error_with_both_positions() -> None:
    buffer = PartitionBuffer(P, 5)
    with pytest.raises(GapError, match=r"balance.events/0: expected offset 5, the stream goes on at 6"):
        await _put(buffer, 6)


@run_async
async def test_put_frame_that_was_there_is_acknowledged_and_not_read_again() -> None:
    buffer = PartitionBuffer(P, 5)
    first, again = await _put(buffer, 5, 5)
    assert (first.acks, again.acks) == (0, 1)
    assert buffer.read(5, 9) == [StoredFrame(5, b"5")]


@run_async
async def test_read_begun_further_on_skips_and_begun_before_raises_gap_error() -> None:
    buffer = PartitionBuffer(P, 5)
    await _put(buffer, 5, 6, 7)
    assert buffer.read(6, 1) == [StoredFrame(6, b"6")]
    for offset in (4, 6):
        with pytest.raises(GapError, match=f"expected offset {offset}, the stream goes on at 7"):
            buffer.read(offset, 1)


@run_async
async def test_done_acknowledges_what_is_stored_and_nothing_beyond() -> None:
    buffer = PartitionBuffer(P, 5)
    events = await _put(buffer, 5, 6, 7)
    buffer.read(5, 3)
    buffer.done(7)
    assert [event.acks for event in events] == [1, 1, 0]
    buffer.done(7)
    assert [event.acks for event in events] == [1, 1, 0]


@pytest.mark.parametrize("bounds", [{"max_frames": 3}, {"max_bytes": 3}])
@run_async
async def test_put_full_waits_until_enough_is_stored(bounds: dict[str, int]) -> None:
    """Reading makes no room: what was read and is not stored is still here, to be acknowledged."""
    buffer = PartitionBuffer(P, 0, **bounds)
    filling = asyncio.create_task(_put(buffer, *range(9)))
    read = 0
    for done in range(1, 7):
        await settle()
        assert buffer.frames == 3
        read += len(buffer.read(read, 9))
        await settle()
        assert not filling.done()
        buffer.done(done)
    await settle()
    buffer.done(8)
    await filling
    assert buffer.next_offset == 9


@run_async
async def test_wait_nothing_there_returns_once_there_is() -> None:
    buffer = PartitionBuffer(P, 0)
    waiting = asyncio.create_task(buffer.wait())
    await settle()
    assert not waiting.done()
    await _put(buffer, 0)
    await waiting
    buffer.read(0, 9)
    waiting = asyncio.create_task(buffer.wait())
    await settle()
    assert not waiting.done()
    waiting.cancel()


@run_async
async def test_close_lets_go_who_waits_for_room_and_acknowledges_nothing() -> None:
    buffer = PartitionBuffer(P, 0, max_frames=1)
    events = [_Event(), _Event()]
    filling = asyncio.create_task(buffer.put(0, b"0", events[0]))
    await settle()
    assert not filling.done()
    buffer.close()
    await filling
    await buffer.put(1, b"1", events[1])
    buffer.done(9)
    assert (buffer.read(0, 9), [event.acks for event in events]) == ([], [0, 0])
