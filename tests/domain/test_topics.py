"""Who owns which user, order and fee account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.money import MAX_AMOUNT
from services.domain.topics import (
    ORDER_SHARD_SHIFT,
    TopicPartition,
    account_shard,
    fee_account,
    matcher_source,
    order_account_shard,
    ubscore_source,
)


@given(st.integers(1, MAX_AMOUNT), st.integers(1, 512))
def test_account_shard_of_a_user_is_the_remainder(user_id: int, shards: int) -> None:
    assert account_shard(user_id, shards) == user_id % shards


@given(st.integers(0, 511))
def test_account_shard_of_a_fee_account_is_its_own(shard: int) -> None:
    assert fee_account(shard) < 0
    assert account_shard(fee_account(shard), 512) == shard


@pytest.mark.parametrize("shards", [1, 2, 512])
def test_account_shard_of_nobody_is_no_shard(shards: int) -> None:
    assert account_shard(0, shards) == -1


@given(st.integers(0, 511), st.integers(1, 2**ORDER_SHARD_SHIFT - 1))
def test_order_account_shard_is_in_the_order_id(shard: int, counter: int) -> None:
    order_id = shard << ORDER_SHARD_SHIFT | counter
    assert order_account_shard(order_id) == shard
    assert order_id < 2**53, "a JavaScript client can hold it"


def test_names_are_what_logs_and_frames_hold() -> None:
    assert str(TopicPartition("orders", 3)) == "orders/3"
    assert (ubscore_source(1), matcher_source(2)) == ("ubscore-1", "matcher-2")
