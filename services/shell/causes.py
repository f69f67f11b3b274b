"""Which record caused which. Cores know nothing of traces, but everything that they say names what it answers.

A command is named by its request id, on every way; what a matcher did, by its shard and sequence, as soon as it comes
back to an account shard.
"""

from typing import Any, Final

import msgspec

from services.domain.messages import MatchReport, MatchResult, OrderClosed, TradeSettled

Cause = int | tuple[int, int]
"""A request id, or a matcher's shard and sequence."""


class _BodyStart(msgspec.Struct, array_like=True, gc=False):
    request_id: int


_BODY_START: Final = msgspec.msgpack.Decoder(_BodyStart)


def cause_in(record: Any) -> Cause:
    """The name under which a core's outputs refer to this input record."""
    if isinstance(record, MatchReport):
        return record.matcher_shard, record.engine_sequence
    request_id: int = record.request_id
    return request_id


def cause_out(record: Any) -> Cause:
    """The name of the input record that a core's output record answers."""
    if isinstance(record, TradeSettled | OrderClosed):
        return record.matcher_shard, record.engine_sequence
    if isinstance(record, MatchResult):
        return _BODY_START.decode(record.body).request_id
    request_id: int = record.request_id
    return request_id
