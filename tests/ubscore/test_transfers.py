"""Deposits and withdrawals, each once."""

from typing import Any

import msgspec
import pytest

from services.domain.messages import (
    CreateUser,
    SetUserStatus,
    TransferCompleted,
    TransferIn,
    TransferOut,
    TransferRejected,
    TransferRepeated,
)
from services.domain.rejects import Reject
from tests.support.balance_shard import (
    T0,
    essence,
    venue,
)

FUNDS = 10**12


def test_transfers_move_available_alone() -> None:
    shard = venue(1)
    said = shard.send(TransferIn(7, T0 + 1, "in", 1, "BTC", 5), TransferOut(8, T0 + 2, "out", 1, "BTC", 7))
    came, went = said.events
    assert isinstance(came, TransferCompleted)
    assert (came.request_id, came.time_ms, came.transfer_id) == (7, T0 + 1, "in")
    assert (came.change.available_delta, came.change.available, came.change.event_id) == (
        5,
        FUNDS + 5,
        "deposit_1_BTC_2",
    )
    assert (went.change.available_delta, went.change.available, went.change.version) == (-7, FUNDS - 2, 3)
    assert went.change.event_id == "withdrawal_1_BTC_3"
    assert shard.core.state.supply["BTC"] == FUNDS - 2


@pytest.mark.parametrize("transfer", [TransferIn(7, T0, "t", 1, "BTC", 5), TransferOut(7, T0, "t", 1, "BTC", FUNDS)])
def test_transfer_again_gets_the_first_answer_as_it_was(transfer: Any) -> None:
    shard = venue(1)
    first = shard.send(transfer).event
    shard.send(TransferIn(1, T0, "other", 1, "BTC", 77))
    untouched = essence(shard)
    again = shard.send(msgspec.structs.replace(transfer, request_id=8, time_ms=T0 + 9)).event
    assert again == TransferRepeated(8, T0 + 9, "t", 1, Reject.NONE, first.change)
    assert essence(shard) == untouched


def test_transfer_refused_stays_refused_under_its_id() -> None:
    shard = venue(1)
    too_much = TransferOut(7, T0, "t", 1, "BTC", FUNDS + 1)
    assert isinstance(shard.send(too_much).event, TransferRejected)
    shard.send(TransferIn(1, T0, "more", 1, "BTC", 1))
    assert shard.send(too_much).event == TransferRepeated(7, T0, "t", 1, Reject.INSUFFICIENT_BALANCE, None)
    assert shard.balance(1, "BTC") == (FUNDS + 1, 0)


def test_transfer_of_a_user_who_is_created_later_is_not_a_repeat() -> None:
    shard = venue(1)
    transfer = TransferIn(7, T0, "t", 2, "BTC", 5)
    assert shard.send(transfer).event.code == Reject.UNKNOWN_USER
    shard.send(CreateUser(1, T0, 2))
    assert shard.send(transfer).event.change.available == 5


def test_transfer_in_to_a_suspended_user_passes() -> None:
    shard = venue(1)
    shard.send(SetUserStatus(1, T0, 1, True))
    assert isinstance(shard.send(TransferIn(7, T0, "t", 1, "BTC", 5)).event, TransferCompleted)
