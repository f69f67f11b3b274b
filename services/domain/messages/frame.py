"""A frame: many records in one log message, because per-message cost dominates."""

from typing import Any, Final, Generic, TypeVar

import msgspec

from services.domain.errors import LogError
from services.domain.messages.engine import MatchResult
from services.domain.messages.events import Event
from services.domain.messages.operations import Operation
from services.domain.messages.orders import OrderCommand
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS

FRAME_VERSION: Final = 1

R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)

_ARRAY_15: Final = 0x90
_ARRAY_16: Final = 0xDC


class Frame(msgspec.Struct, Generic[R], array_like=True, gc=False):
    """Consecutive records of one source on one topic partition.

    first_sequence: the sequence of records[0] from this source on this partition; the next ones count up by one.
    0: the source keeps none (gateways: their commands are idempotent by client order id or transfer id).
    """

    version: int
    source: str
    first_sequence: int
    records: list[R]


_ENCODER = msgspec.msgpack.Encoder()
_DECODERS: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    BALANCE_OPERATIONS: msgspec.msgpack.Decoder(Frame[Operation]),
    BALANCE_EVENTS: msgspec.msgpack.Decoder(Frame[Event]),
    ORDERS: msgspec.msgpack.Decoder(Frame[OrderCommand]),
    ENGINE_OUTPUTS: msgspec.msgpack.Decoder(Frame[MatchResult]),
}
_RECORD_DECODERS: Final[dict[type[Any], msgspec.msgpack.Decoder[Any]]] = {}
_HEADER_DECODER: Final = msgspec.msgpack.Decoder(Frame[msgspec.Raw])


def encode_frame(source: str, first_sequence: int, records: list[Any]) -> bytes:
    """The bytes of one log message."""
    return _ENCODER.encode(Frame(FRAME_VERSION, source, first_sequence, records))


def decode_header(data: bytes) -> Frame[msgspec.Raw]:
    """A frame whose records stay encoded: who said how much, of any topic. Raises LogError as `decode_frame`."""
    return _checked("log message", _HEADER_DECODER, data)


def decode_frame(topic: str, data: bytes) -> Frame[Any]:
    """The frame in a log message of `topic`.

    Raises LogError when it is none, or of a version that this program does not know: a log that cannot be read
    must stop its reader, never be skipped.
    """
    return _checked(topic, _DECODERS[topic], data)


def decode_kind(data: bytes, kind: type[S]) -> Frame[S | None]:
    """A frame with only the records of one kind decoded, None in the place of the others; for who needs few of many.

    Raises LogError as `decode_frame`; what is not decoded is not checked.
    """
    frame = decode_header(data)
    tag = kind.__struct_config__.tag
    try:
        records = [_decode_record(raw, kind) if _tag_of(raw) == tag else None for raw in frame.records]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogError(f"log message: not a {kind.__name__}: {error}") from error
    return Frame(frame.version, frame.source, frame.first_sequence, records)


def _tag_of(raw: msgspec.Raw) -> int:
    """The tag of an encoded record, a msgpack array of at most 15 (0x9f) or at most 65,535 (0xdc) members; -1: none."""
    head = memoryview(raw)[:4]
    at = 3 if head[0] == _ARRAY_16 else 1
    return head[at] if len(head) > at and (at == 3 or head[0] & 0xF0 == _ARRAY_15) else -1


def _decode_record(raw: msgspec.Raw, kind: type[S]) -> S:
    decoder = _RECORD_DECODERS.get(kind)
    if decoder is None:
        decoder = _RECORD_DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    record: S = decoder.decode(raw)
    return record


def _checked(what: str, decoder: msgspec.msgpack.Decoder[Frame[R]], data: bytes) -> Frame[R]:
    try:
        frame = decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogError(f"{what}: not a frame: {error}") from error
    if frame.version != FRAME_VERSION:
        raise LogError(f"{what}: frame version {frame.version}, this program reads {FRAME_VERSION}")
    return frame
