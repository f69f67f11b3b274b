"""A frame comes back as it was sent; bytes that are no frame stop their reader with a LogError, whatever they are."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import LogError
from services.domain.messages import (
    BalanceChange,
    CancelAccepted,
    CancelAll,
    ChangeKind,
    CommandRejected,
    Frame,
    MatchResult,
    OrderRejected,
    TransferCompleted,
    TransferIn,
    UserUpdated,
    decode_frame,
    decode_kind,
    encode_frame,
)
from services.domain.messages.frame import FRAME_VERSION
from services.domain.money import MAX_AMOUNT
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_OPERATIONS, ENGINE_OUTPUTS, TOPICS

pack = msgspec.msgpack.encode

_REFUSED = OrderRejected(
    1, 2, 3, 4, "c", "BTC_USDT", Side.Buy, OrderType.Limit, TimeInForce.GTC, 5, 6, 0, Reject.MIN_NOTIONAL
)
_EVENTS = [
    _REFUSED,
    CancelAccepted(1, 2, 3, list(range(40))),
    CommandRejected(1, 2, 3, Reject.UNKNOWN_ORDER),
    TransferCompleted(1, 2, "t-1", BalanceChange(3, "BTC", ChangeKind.Deposit, 4, 0, 4, 0, 1)),
    UserUpdated(1, 2, 3, True),
]


def test_frame_encoded_then_decoded_is_the_same() -> None:
    records = [CancelAll(1, 2, 3, "BTC_USDT"), TransferIn(4, 5, "t-1", 6, "BTC", MAX_AMOUNT)]
    frame = decode_frame(BALANCE_OPERATIONS, encode_frame("gateway-1", 7, records))
    assert frame == Frame(FRAME_VERSION, "gateway-1", 7, records)


@pytest.mark.parametrize("topic", TOPICS)
def test_frame_without_records_decodes_on_every_topic(topic: str) -> None:
    assert decode_frame(topic, encode_frame("s", 0, [])).records == []


def test_decode_frame_of_a_later_minor_version_ignores_new_fields_at_the_end() -> None:
    data = pack([FRAME_VERSION, "s", 0, [[3, 1, 2, 3, "", "new field"]], "new frame field"])
    assert decode_frame(BALANCE_OPERATIONS, data).records == [CancelAll(1, 2, 3, "")]


def test_decode_frame_of_another_version_raises_log_error() -> None:
    with pytest.raises(LogError, match=r"balance\.operations: frame version 2, this program reads 1"):
        decode_frame(BALANCE_OPERATIONS, pack([2, "s", 0, []]))


@pytest.mark.parametrize(
    ("topic", "data"),
    [
        (BALANCE_OPERATIONS, b""),
        (BALANCE_OPERATIONS, b"\xc1"),
        (BALANCE_OPERATIONS, pack({"version": 1})),
        (BALANCE_OPERATIONS, pack([1, "s", 0])),
        (BALANCE_OPERATIONS, pack([1, "s", "0", []])),
        (BALANCE_OPERATIONS, pack([1, "s", 0, [[99, 1, 2, 3]]])),
        (BALANCE_OPERATIONS, pack([1, "s", 0, [[3, 1, 2]]])),
        (BALANCE_OPERATIONS, pack([1, "s", 0, [[1, 1, 2, 3, "c", "S", 9, 1, 1, 1, 1, 1]]])),
        (BALANCE_OPERATIONS, pack([1, "s", 0, []])[:-1]),
        (BALANCE_OPERATIONS, pack([1, "s", 0, []]) + b"\x00"),
        (BALANCE_OPERATIONS, pack([1, "TEXT", 0, []]).replace(b"TEXT", b"\xff\xfe\xff\xff")),
        pytest.param(BALANCE_OPERATIONS, b"\x91" * 100_000, id="nested"),
        pytest.param(
            ENGINE_OUTPUTS,
            pack([1, "s", 0, [[1, 2, b"", b"", msgspec.Raw(b"\x91" * 100_000 + b"\x00")]]]),
            id="nested in a body",
        ),
    ],
)
def test_decode_frame_bytes_that_are_no_frame_raise_log_error(topic: str, data: bytes) -> None:
    with pytest.raises(LogError, match=f"{topic}: not a frame"):
        decode_frame(topic, data)


@given(st.sampled_from(TOPICS), st.binary(max_size=60))
def test_decode_frame_any_bytes_are_a_frame_or_a_log_error(topic: str, noise: bytes) -> None:
    for data in (noise, pack([1, "s", 0, [msgspec.Raw(noise)]]), pack([1, "s", 0, []]) + noise):
        try:
            frame: Frame[Any] = decode_frame(topic, data)
        except LogError:
            continue
        assert frame.version == FRAME_VERSION


def test_match_result_body_is_decoded_apart_from_its_frame() -> None:
    result = MatchResult(1, 2, b"previous", b"hash", msgspec.Raw(pack([1, 2, "S", 3, 4, 0, [], [], []])))
    (again,) = decode_frame(ENGINE_OUTPUTS, encode_frame("matcher-0", 1, [result])).records
    assert bytes(again.body) == bytes(result.body)
    assert again.decode_body().symbol == "S"


def test_decode_kind_opens_that_kind_alone_and_keeps_places() -> None:
    other = CancelAccepted(1, 2, 3, [4])
    frame = decode_kind(encode_frame("ubscore-0", 7, [other, _REFUSED, other]), OrderRejected)
    assert (frame.source, frame.first_sequence, frame.records) == ("ubscore-0", 7, [None, _REFUSED, None])


def test_decode_kind_with_many_new_fields_still_finds_it() -> None:
    """A record of more than 15 members is encoded with another head."""
    wide = [2, *msgspec.structs.astuple(_REFUSED), *["new"] * 10]
    assert decode_kind(encode_frame("ubscore-0", 1, [wide, "no record"]), OrderRejected).records == [_REFUSED, None]


@given(st.lists(st.sampled_from(_EVENTS), max_size=8))
def test_decode_kind_finds_what_decode_frame_finds(records: list[Any]) -> None:
    data = encode_frame("ubscore-0", 1, records)
    for kind in {type(record) for record in _EVENTS}:
        expected = [record if type(record) is kind else None for record in records]
        assert decode_kind(data, kind).records == expected


def test_decode_kind_of_damaged_record_is_refused() -> None:
    data = encode_frame("ubscore-0", 1, [[2, "not", "a", "refusal"]])
    with pytest.raises(LogError, match="not a OrderRejected"):
        decode_kind(data, OrderRejected)
