"""The core as a fold: positions, repeats, gaps, snapshots, two shards, and the same digest anywhere."""

import os
import subprocess
import sys

import msgspec
import pytest

from services.domain.errors import GapError, InvariantError, JournalError
from services.domain.messages import (
    CreateUser,
    Frame,
    SetUserStatus,
    TransferIn,
)
from services.domain.orders import OrderStatus
from services.domain.rejects import Reject
from services.ubscore.core import UbsCore
from tests.support.balance_shard import (
    LOT,
    T0,
    TICK_LOT,
    Shard,
    buy,
    closed,
    essence,
    funded,
    instruments,
    match,
    sell,
    trade,
    venue,
)
from tests.support.ubscore_story import story_digest

FUNDS = 10**12


# Positions and sequences


def test_apply_counts_offsets_and_refuses_any_other() -> None:
    core = UbsCore(0, 1)
    core.apply(Frame(1, "g", 0, [CreateUser(1, T0, 1)]), 0)
    before = core.digest()
    for offset in (0, 2, -1):
        with pytest.raises(GapError, match=f"balance.operations/0: expected offset 1, got {offset}"):
            core.apply(Frame(1, "g", 0, [CreateUser(1, T0, 2)]), offset)
    assert core.digest() == before
    assert core.next_offset == 1


def test_apply_a_hole_in_a_matchers_sequence_raises_and_changes_nothing() -> None:
    shard = venue(1)
    order = shard.send(buy(1, 1000, 10)).forward
    before = shard.core.digest()
    report = match(closes=[closed(order, 10, OrderStatus.Cancelled)])
    with pytest.raises(GapError, match="source matcher-0: expected sequence 1, got 2"):
        shard.core.apply(Frame(1, "matcher-0", 2, [report]), shard.core.next_offset)
    assert shard.core.digest() == before


def test_apply_a_matchers_frame_again_has_no_effect() -> None:
    shard = venue(1, 2)
    maker, taker = shard.send(sell(1, 1000, 20)).forward, shard.send(buy(2, 1000, 20)).forward
    first = match([trade(maker, taker, 10)])
    second = match([trade(maker, taker, 10, trade_id=2)], [closed(maker), closed(taker)], sequence=2)
    assert len(shard.deliver("matcher-0", 1, [first]).events) == 1
    untouched = essence(shard)
    assert shard.deliver("matcher-0", 1, [first]).events == []
    assert essence(shard) == untouched
    overlap = shard.deliver("matcher-0", 1, [first, second])
    assert [event.engine_sequence for event in overlap.events] == [2, 2, 2]
    untouched = essence(shard)
    assert shard.deliver("matcher-0", 2, [second]).events == []
    assert essence(shard) == untouched


def test_apply_an_empty_frame_only_moves_on() -> None:
    shard = venue(1)
    untouched = essence(shard)
    assert shard.send().events == []
    assert essence(shard) == untouched


# Snapshots


def test_restore_of_what_is_no_snapshot_raises() -> None:
    for data in (b"", b"\x90", venue(1).core.snapshot()[:-1]):
        with pytest.raises(msgspec.DecodeError):
            UbsCore.restore(data)


def test_restore_of_another_version_raises() -> None:
    packed = msgspec.msgpack.decode(venue(1).core.snapshot())
    with pytest.raises(JournalError, match="state version 2"):
        UbsCore.restore(msgspec.msgpack.encode([2, *packed[1:]]))


def test_restore_of_a_state_that_does_not_add_up_raises() -> None:
    shard = venue(1)
    shard.core.state.accounts[1].balances["BTC"].available += 1
    with pytest.raises(InvariantError):
        UbsCore.restore(shard.core.snapshot())


def test_snapshot_of_equal_states_reached_on_different_ways_is_equal() -> None:
    one, other = Shard(), Shard()
    one.send(*instruments(), CreateUser(1, T0, 1), CreateUser(1, T0, 2))
    other.send(*instruments(), CreateUser(1, T0, 2), CreateUser(1, T0, 1))
    assert [len(said.events) for said in (one.send(), other.send())] == [0, 0]
    assert one.core.snapshot() == other.core.snapshot()


def test_digest_changes_with_the_state() -> None:
    shard = venue(1)
    before = shard.core.digest()
    shard.send(SetUserStatus(1, T0, 1, True))
    assert shard.core.digest() != before


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_digest_in_another_process_with_another_hash_seed_is_the_same(seed: str) -> None:
    code = "from tests.support.ubscore_story import story_digest; print(story_digest())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == story_digest()


# Two account shards


def test_trade_across_shards_is_settled_once_by_each_and_adds_up() -> None:
    even, odd = Shard(0, 2), Shard(1, 2)
    even.send(*instruments(), *funded(2))
    odd.send(*instruments(), *funded(1))
    maker, taker = odd.send(sell(1, 1000, 10)).forward, even.send(buy(2, 1100, 15)).forward
    report = match([trade(maker, taker, 10)], [closed(maker)])
    bought, sold = even.report(report), odd.report(report)

    assert [change.user_id for change in bought.event.changes] == [2, 2, -1]
    settled, done = sold.events
    assert [change.user_id for change in settled.changes] == [1, 1, -2]
    assert done.order_id == maker.order_id
    for name in ("trade", "base_amount", "quote_amount", "buyer_fee", "seller_fee", "engine_sequence"):
        assert getattr(bought.event, name) == getattr(settled, name)

    base, quote = 10 * LOT, 10 * 1000 * TICK_LOT
    assert even.core.state.transit == {"BTC": base, "USDT": -quote}
    assert odd.core.state.transit == {"BTC": -base, "USDT": quote}
    assert even.balance(2, "USDT") == (FUNDS - quote - 5 * 1100 * TICK_LOT, 5 * 1100 * TICK_LOT)
    assert odd.balance(1, "USDT") == (FUNDS + quote - settled.seller_fee, 0)
    assert (even.fees("BTC"), odd.fees("USDT")) == (settled.buyer_fee, settled.seller_fee)


def test_report_of_strangers_alone_changes_nothing_here() -> None:
    shard, other = Shard(0, 2), Shard(1, 2)
    shard.send(*instruments(), *funded(2))
    other.send(*instruments(), *funded(1, 3))
    maker, taker = other.send(sell(1, 1000, 10)).forward, other.send(buy(3, 1000, 10)).forward
    untouched = essence(shard)
    assert shard.report(match([trade(maker, taker, 10)], [closed(maker), closed(taker)])).events == []
    assert essence(shard) == untouched


def test_supply_of_all_shards_together_is_bounded() -> None:
    for shards in (1, 2, 7):
        shard = Shard(0, shards)
        assert 2 * shards * shard.core.state.max_supply <= 2**63 - 1
        shard.send(*instruments(), CreateUser(1, T0, shards))
        most = shard.core.state.max_supply
        assert shard.send(TransferIn(1, T0, "t1", shards, "BTC", most)).event.change.available == most
        assert shard.send(TransferIn(1, T0, "t2", shards, "BTC", 1)).event.code == Reject.BALANCE_TOO_LARGE
