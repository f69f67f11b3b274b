"""The state machine that owns every balance of one account shard: a pure fold over balance.operations.

Commands come in, their events go out. Time is what gateways stamped on commands; nothing else enters. Each kind of
command has one handler, which reads and changes the `State`.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, Self

from services.domain.core import Output
from services.domain.errors import GapError
from services.domain.messages import (
    CancelAll,
    CancelOrder,
    CreateUser,
    Frame,
    MatchReport,
    PlaceOrder,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    TransferIn,
    TransferOut,
)
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ORDERS, TopicPartition, ubscore_source
from services.ubscore import administration, orders, settling, transfers
from services.ubscore.memory import OrderAnswer, TransferAnswer
from services.ubscore.snapshot import decode_state, encode_state
from services.ubscore.state import State

_HANDLERS: Final[dict[type[Any], Callable[[State, Any], None]]] = {
    PlaceOrder: orders.place,
    CancelOrder: orders.cancel,
    CancelAll: orders.cancel_all,
    MatchReport: settling.settle,
    TransferIn: transfers.transfer_in,
    TransferOut: transfers.transfer_out,
    CreateUser: administration.create_user,
    SetUserStatus: administration.set_user_status,
    SetAsset: administration.set_asset,
    SetSymbol: administration.set_symbol,
    SetPolicy: administration.set_policy,
}


class UbsCore:
    """The core (see `services.domain.core.Core`) of account shard `shard` of `shards`."""

    def __init__(self, shard: int, shards: int) -> None:
        self._start_from(State(shard, shards))

    def _start_from(self, state: State) -> None:
        self.state = state
        self.source = ubscore_source(state.shard)
        self.input = TopicPartition(BALANCE_OPERATIONS, state.shard)

    @property
    def layout(self) -> str:
        """See `Core.layout`."""
        return f"account shard {self.state.shard} of {self.state.shards}"

    @property
    def next_offset(self) -> int:
        """See `Core.next_offset`."""
        return self.state.next_offset

    @property
    def said(self) -> dict[TopicPartition, int]:
        """See `Core.said`."""
        return dict(self.state.said)

    @property
    def heard(self) -> dict[str, int]:
        """See `Core.heard`."""
        return dict(self.state.sequences.last)

    def apply(self, frame: Frame[Any], offset: int) -> list[Output]:
        """See `Core.apply`."""
        state = self.state
        if offset != state.next_offset:
            raise GapError(f"{self.input}: expected offset {state.next_offset}, got {offset}")
        records = frame.records
        repeats = state.sequences.repeats(frame.source, frame.first_sequence, len(records))
        state.events, state.forwards = [], {}
        for op in records[repeats:] if repeats else records:
            if op.time_ms > state.now_ms:
                state.now_ms = op.time_ms
            _HANDLERS[type(op)](state, op)
        _forget(state)
        state.next_offset = offset + 1
        return _number_outputs(state)

    def snapshot(self) -> bytes:
        """See `Core.snapshot`."""
        return encode_state(self.state)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """See `Core.restore`. Raises InvariantError when the state in `data` does not add up."""
        core = cls.__new__(cls)
        core._start_from(decode_state(data))
        core.state.check()
        return core

    def digest(self) -> bytes:
        """See `Core.digest`."""
        return blake2b(self.snapshot(), digest_size=32).digest()


def _forget(state: State) -> None:
    """Let go of first answers whose span is over, unless their order is still open."""

    def is_open(answer: OrderAnswer) -> bool:
        account = state.accounts.get(answer.user_id)
        return account is not None and answer.order_id in account.orders

    now = state.now_ms
    state.order_answers.forget_before(now - state.policy.order_window_ms, now, is_open)
    state.transfer_answers.forget_before(now - state.policy.transfer_window_ms, now, _never_in_use)


def _never_in_use(_answer: TransferAnswer) -> bool:
    return False


def _number_outputs(state: State) -> list[Output]:
    """What was said, partition by partition, each with its first sequence."""
    said: list[tuple[TopicPartition, list[Any]]] = []
    if state.events:
        said.append((TopicPartition(BALANCE_EVENTS, state.shard), state.events))
    said += [(TopicPartition(ORDERS, shard), state.forwards[shard]) for shard in sorted(state.forwards)]
    outputs = []
    for partition, records in said:
        last = state.said.get(partition, 0)
        state.said[partition] = last + len(records)
        outputs.append(Output(partition, last + 1, records))
    return outputs
