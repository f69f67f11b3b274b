"""Whatever happens between two steps, the store ends with the same tables; and what is missing stops the shell."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.ports import Append
from services.domain.errors import GapError, InvariantError, LogError, StoreError, StoreUnavailable
from services.domain.messages import encode_frame
from services.domain.orders import OrderStatus
from services.domain.rows import ProgressRow
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition
from services.order_history.service import order_history_shell
from services.settlement.reconciliation import PAUSE_SECONDS
from services.settlement.service import settlement_shell
from services.shell import projection_shell
from services.shell.projection_shell import LINGER_SECONDS, RUNNING, WAITING, ProjectionShell
from tests.contracts.store_contract import tables_of
from tests.support.aio import run_async
from tests.support.clock import ManualClock, settle
from tests.support.memory_log import MemoryLog
from tests.support.memory_store import MemoryStore
from tests.support.streams import Balances, frames, match_result, rejected, update

EVENTS = TopicPartition(BALANCE_EVENTS, 0)
OUTPUTS = TopicPartition(ENGINE_OUTPUTS, 0)


class HastyClock(ManualClock):
    """Sleeps no longer than a turn of the loop, and remembers how long it should have been."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def shells_of(log: MemoryLog, store: MemoryStore, clock: ManualClock) -> list[ProjectionShell[Any]]:
    return [
        settlement_shell(0, log, store, clock),
        order_history_shell(EVENTS, log, store, clock),
        order_history_shell(OUTPUTS, log, store, clock),
    ]


async def run_past_the_first_frame(shell: ProjectionShell[Any]) -> asyncio.Task[None]:
    """Run the shell; return once the store has the effects of its first frame."""
    task = asyncio.create_task(shell.run())
    while shell.next_offset < 1:
        await settle(1)
    return task


async def run_to_end(shells: list[ProjectionShell[Any]], log: MemoryLog) -> None:
    """Run the shells until they have written all of the log, then stop them."""
    tasks = [asyncio.create_task(shell.run()) for shell in shells]
    for shell, task in zip(shells, tasks, strict=True):
        while shell.next_offset < await log.end(shell.partition) and not task.done():
            await settle(1)
        shell.stop()
    await asyncio.gather(*tasks)


# A stream that has every event and every life of an order, and what must become of it.

LIVES = (
    (OrderStatus.New,),
    (OrderStatus.New, OrderStatus.PartiallyFilled),
    (OrderStatus.New, OrderStatus.PartiallyFilled, OrderStatus.PartiallyFilled, OrderStatus.Filled),
    (OrderStatus.New, OrderStatus.Cancelled),
    (OrderStatus.New, OrderStatus.PartiallyFilled, OrderStatus.Expired),
    (OrderStatus.Rejected,),
)


def balance_events(choices: list[int]) -> list[Any]:
    balances = Balances()
    makers = (
        balances.deposit,
        lambda: balances.deposit(1002, "USDT"),
        balances.accept,
        balances.trade,
        balances.close,
        lambda: rejected(900 + len(events)),
    )
    events: list[Any] = []
    for choice in choices:
        events.append(makers[choice % len(makers)]())
    return events


def match_results(choices: list[int]) -> list[Any]:
    """Each choice goes on with one of up to eight orders at a time, or begins a new one in its place."""
    running: dict[int, list[Any]] = {}
    results = []
    for i, choice in enumerate(choices):
        slot = choice % 8
        if not running.get(slot):
            running[slot] = [(i + 1, status) for status in LIVES[choice % len(LIVES)]]
        order_id, status = running[slot].pop(0)
        results.append(match_result(i + 1, [update(status, order_id, 1001 + slot % 3)]))
    return results


def expected_tables(events: list[Any], results: list[Any]) -> dict[str, Any]:
    """The simplest account of what the tables must hold."""
    changes = [
        change
        for event in events
        for change in getattr(event, "changes", [getattr(event, "change", None)])
        if change is not None
    ]
    bodies = [(result.sequence, result.decode_body()) for result in results]
    updates = [(sequence, body, item) for sequence, body in bodies for item in body.updates]
    newest = {item.order_id: item.status for _, _, item in updates}
    refused = [event for event in events if hasattr(event, "code")]
    counted = Counter((item.user_id, 0, item.status.name) for _, _, item in updates)
    counted.update((event.user_id, -1, "Rejected") for event in refused)
    return {
        "settled_trades": sorted(event.trade.trade_id for event in events if hasattr(event, "trade")),
        "user_balances": {(c.user_id, c.asset): (c.available, c.reserved, c.version) for c in changes},
        "balance_ledger": sorted(change.event_id for change in changes),
        "active_orders": sorted(order_id for order_id, status in newest.items() if status.is_open),
        "order_history": newest | {event.order_id: OrderStatus.Rejected for event in refused},
        "order_updates_stream": [item.status for _, _, item in updates] + [OrderStatus.Rejected] * len(refused),
        "order_statistics": {key: n for key, n in counted.items() if key[2] != "PartiallyFilled"},
    }


async def found_tables(store: MemoryStore) -> dict[str, Any]:
    tables = await tables_of(store)
    words = ("New", "Filled", "Cancelled", "Rejected", "Expired")
    counted = {
        (row.user_id, row.shard, word): getattr(row, word.lower())
        for row in tables["order_statistics"]
        for word in words
    }
    return {
        "settled_trades": sorted(row.trade_id for row in tables["settled_trades"]),
        "user_balances": {
            (row.user_id, row.asset_id): (row.available, row.reserved, row.version) for row in tables["user_balances"]
        },
        "balance_ledger": sorted(row.event_id for row in tables["balance_ledger"]),
        "active_orders": sorted(row.order_id for row in tables["active_orders"]),
        "order_history": {row.order_id: row.status for row in tables["order_history"]},
        "order_updates_stream": [row.status for row in tables["order_updates_stream"]],
        "order_statistics": {key: n for key, n in counted.items() if n},
    }


async def log_of(events: list[Any], results: list[Any], sizes: list[int]) -> MemoryLog:
    log = MemoryLog()
    await log.append(frames(EVENTS, "ubscore-0", events, sizes) + frames(OUTPUTS, "matcher-0", results, sizes))
    return log


STORY = [3, 0, 5, 2, 4, 1, 3, 2, 8, 11, 14, 17, 4, 5, 6, 7, 0, 2, 9, 15, 21, 10, 13, 12, 3, 3, 2, 10, 18, 26, 1, 9]

choices = st.lists(st.integers(0, 47), max_size=60)
sizes = st.lists(st.integers(1, 7), max_size=12)


@settings(max_examples=150, deadline=None)
@given(choices, sizes, sizes, st.lists(st.sampled_from(["", "before", "after"]), max_size=30), st.data())
@run_async
async def test_any_frames_repeats_and_faults_give_the_same_tables(
    story: list[int], cuts: list[int], pauses: list[int], faults: list[Any], data: st.DataObject
):
    """Frames cut anywhere, sent again in other cuts, read in any batches by shells that are killed and made again."""
    events, results = balance_events(story), match_results(story)
    log, store = MemoryLog(), MemoryStore()
    store.faults.extend(faults)
    for partition, source, records in ((EVENTS, "ubscore-0", events), (OUTPUTS, "matcher-0", results)):
        sent = frames(partition, source, records, cuts)
        for i, frame in enumerate(sent):
            await log.append([frame, sent[data.draw(st.integers(0, i))]])
    for turns in pauses:
        tasks = [asyncio.create_task(shell.run()) for shell in shells_of(log, store, HastyClock())]
        await settle(turns * 5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await run_to_end(shells_of(log, store, HastyClock()), log)
    assert await found_tables(store) == expected_tables(events, results)


@run_async
async def test_killed_at_any_turn_ends_with_the_same_tables():
    events, results = balance_events(STORY), match_results(STORY)
    expected = expected_tables(events, results)
    for turns in range(80):
        log, store = await log_of(events, results, [3] * 5), MemoryStore()
        store.faults.extend(["", "after", "", "before", "after"])
        tasks = [asyncio.create_task(shell.run()) for shell in shells_of(log, store, HastyClock())]
        await settle(turns)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await run_to_end(shells_of(log, store, HastyClock()), log)
        assert await found_tables(store) == expected, turns


@run_async
async def test_frames_that_repeat_a_part_of_the_last_give_only_the_rest():
    events = balance_events(STORY)
    log, store = MemoryLog(), MemoryStore()
    await log.say(EVENTS, "ubscore-0", 1, events[:10])
    await log.say(EVENTS, "ubscore-0", 4, events[3:])
    shells = shells_of(log, store, HastyClock())
    await run_to_end(shells, log)
    assert await found_tables(store) == expected_tables(events, [])
    assert shells[0].repeated_records == 7


@run_async
async def test_frames_that_come_later_are_written_too():
    events = balance_events(STORY)
    log, store = MemoryLog(), MemoryStore()
    shell = settlement_shell(0, log, store, HastyClock())
    task = asyncio.create_task(shell.run())
    for i, event in enumerate(events):
        await log.say(EVENTS, "ubscore-0", i + 1, [event])
        await settle(3)
    await settle()
    assert (await found_tables(store))["user_balances"] == expected_tables(events, [])["user_balances"]
    assert shell.next_offset == len(events)
    shell.stop()
    await task
    assert shell.state == "stopped: as asked"


# What the store holds beside the rows


@run_async
async def test_progress_is_the_position_and_sequences_behind_the_batch():
    events = balance_events(STORY)
    log, store = await log_of(events, [], [5, 5]), MemoryStore()
    shells = shells_of(log, store, HastyClock())
    await run_to_end(shells, log)
    expected = ProgressRow("settlement", *EVENTS, 3, {"ubscore-0": len(events)})
    assert await store.progress("settlement", EVENTS) == expected
    assert await store.progress("order_history", OUTPUTS) is None


@run_async
async def test_counters_and_hook_tell_what_was_written():
    events = balance_events([0, 0, 3])
    log, store = await log_of(events, [], []), MemoryStore()
    told: list[Any] = []
    shell = settlement_shell(0, log, store, HastyClock(), on_written=told.append)
    await run_to_end([shell], log)
    assert [row.event_id for batch in told for row in batch.ledger][:2] == ["deposit_1001_BTC_1", "deposit_1001_BTC_2"]
    assert (shell.written_batches, shell.written_rows, shell.store_retries) == (1, 8 + 6 + 1, 0)


@run_async
async def test_done_is_told_only_what_the_store_has():
    events = balance_events([0, 0, 3])
    log, store = await log_of(events, [], [1]), MemoryStore()
    store.faults.extend(["", "", "before", "before"])
    told: list[Any] = []

    def done(partition: TopicPartition, next_offset: int) -> None:
        told.append((partition, next_offset, store._progress["settlement", *EVENTS].next_offset))

    await run_to_end([settlement_shell(0, log, store, HastyClock(), done=done)], log)
    assert told == [(EVENTS, 2, 2)]


# A store that does not answer


@run_async
async def test_store_that_does_not_answer_is_asked_again_ever_more_slowly():
    log, store, clock = await log_of(balance_events(STORY), [], []), MemoryStore(), HastyClock()
    store.faults.extend(["", "", *["before"] * 10])
    shell = settlement_shell(0, log, store, clock)
    await run_to_end([shell], log)
    assert [pause for pause in clock.slept if pause not in (LINGER_SECONDS, PAUSE_SECONDS)] == [
        0.05,
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        5.0,
        5.0,
        5.0,
    ]
    assert shell.store_retries == 10


@run_async
async def test_state_tells_that_the_store_does_not_answer_and_that_it_does_again():
    log, store, clock = await log_of(balance_events(STORY), [], []), MemoryStore(), ManualClock()
    store.faults.extend(["", "", "after"])
    shell = settlement_shell(0, log, store, clock)
    task = asyncio.create_task(shell.run())
    await settle()
    assert (shell.state, shell.next_offset) == (WAITING, 0)
    await clock.advance(0.1)
    assert (shell.state, shell.next_offset) == (RUNNING, 1)
    shell.stop()
    await task


@run_async
async def test_stop_while_the_store_does_not_answer_returns_and_nothing_is_lost():
    events = balance_events(STORY)
    log, store = await log_of(events, [], []), MemoryStore()
    store.faults.extend(["", "", *["before"] * 3])
    shell = settlement_shell(0, log, store, ManualClock())
    task = asyncio.create_task(shell.run())
    await settle()
    shell.stop()
    await task
    assert (await found_tables(store))["user_balances"] == {}
    await run_to_end([settlement_shell(0, log, store, HastyClock())], log)
    assert (await found_tables(store))["user_balances"] == expected_tables(events, [])["user_balances"]


# Closed when in doubt


async def stopped_by(
    kind: type[Exception], words: str, appends: list[Append], store: MemoryStore | None = None
) -> ProjectionShell[Any]:
    log = MemoryLog()
    await log.append(appends)
    shell = settlement_shell(0, log, store or MemoryStore(), HastyClock())
    with pytest.raises(kind, match=words):
        await asyncio.wait_for(shell.run(), 5)
    assert shell.state.startswith("stopped: ")
    return shell


@run_async
async def test_hole_in_the_sequences_stops_and_nothing_behind_it_is_written():
    events = balance_events([0] * 5)
    store = MemoryStore()
    first, hole = encode_frame("ubscore-0", 1, events[:2]), encode_frame("ubscore-0", 4, events[3:])
    words = r"settlement: balance.events/0 offset 1: source ubscore-0: expected sequence 3, got 4"
    await stopped_by(GapError, words, [Append(EVENTS, first), Append(EVENTS, hole)], store)
    assert (await found_tables(store))["balance_ledger"] == []


@run_async
async def test_hole_in_a_balances_versions_stops():
    events = balance_events([0] * 5)
    frame = encode_frame("ubscore-0", 1, [events[0], events[2]])
    shell = await stopped_by(GapError, "user 1001, asset BTC", [Append(EVENTS, frame)])
    assert "the next event has version 3" in shell.state


@run_async
async def test_store_behind_the_stream_stops():
    events = balance_events([0] * 5)
    store = MemoryStore()
    store._move(ProgressRow("settlement", *EVENTS, 1, {"ubscore-0": 2}))
    appends = frames(EVENTS, "ubscore-0", events, [2])
    await stopped_by(GapError, "the store has version 0, the next event has version 3", appends, store)


@run_async
async def test_frame_without_sequence_stops():
    await stopped_by(
        InvariantError, "keeps no sequence", [Append(EVENTS, encode_frame("gateway", 0, balance_events([0])))]
    )


@run_async
async def test_message_that_is_no_frame_stops():
    await stopped_by(LogError, "not a frame", [Append(EVENTS, b"\xc1")])


@run_async
async def test_store_position_beyond_the_log_stops():
    store = MemoryStore()
    store._move(ProgressRow("settlement", *EVENTS, 9, {"ubscore-0": 90}))
    await stopped_by(LogError, "no offset 9", [], store)


@run_async
async def test_store_that_was_set_back_stops_and_a_restart_fills_it_again():
    events = balance_events(STORY)
    log, store = MemoryLog(), MemoryStore()
    await log.say(EVENTS, "ubscore-0", 1, events[:4])
    task = await run_past_the_first_frame(settlement_shell(0, log, store, HastyClock()))
    # What the store had at some time before: nothing, in this case.
    store.__init__()  # type: ignore[misc]
    await log.say(EVENTS, "ubscore-0", 5, events[4:])
    with pytest.raises(InvariantError, match=r"the store has the effects of balance.events/0 up to offset 0"):
        await asyncio.wait_for(task, 5)
    assert (await found_tables(store))["balance_ledger"] == []
    await run_to_end(shells_of(log, store, HastyClock()), log)
    assert await found_tables(store) == expected_tables(events, [])


@run_async
async def test_store_that_goes_away_during_a_write_and_comes_back_older_gets_no_hole():
    """What a database does that is killed, put back, and started again: the batch that was under way is tried again."""

    class SetBack(MemoryStore):
        armed = False

        async def write_settlement(self, batch: Any) -> None:
            if self.armed:
                super().__init__()
                self.armed = False
                raise StoreUnavailable("connection lost")
            await super().write_settlement(batch)

    events = balance_events(STORY)
    log, store = MemoryLog(), SetBack()
    await log.say(EVENTS, "ubscore-0", 1, events[:4])
    task = await run_past_the_first_frame(settlement_shell(0, log, store, HastyClock()))
    store.armed = True
    await log.say(EVENTS, "ubscore-0", 5, events[4:])
    with pytest.raises(InvariantError, match="it was set back"):
        await asyncio.wait_for(task, 5)
    await run_to_end(shells_of(log, store, HastyClock()), log)
    assert await found_tables(store) == expected_tables(events, [])


@run_async
async def test_store_that_was_set_back_while_nothing_comes_stops(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(projection_shell, "LOOK_SECONDS", 0.01)
    log, store = MemoryLog(), MemoryStore()
    await log.say(OUTPUTS, "matcher-0", 1, match_results(STORY)[:4])
    task = await run_past_the_first_frame(order_history_shell(OUTPUTS, log, store, HastyClock()))
    store.__init__()  # type: ignore[misc]
    with pytest.raises(InvariantError, match="it was set back"):
        await asyncio.wait_for(task, 5)


@run_async
async def test_store_that_refuses_stops():
    class Refusing(MemoryStore):
        async def write_settlement(self, batch: Any) -> None:
            raise StoreError("no such table")

    frame = encode_frame("ubscore-0", 1, balance_events([0]))
    await stopped_by(StoreError, "no such table", [Append(EVENTS, frame)], Refusing())
