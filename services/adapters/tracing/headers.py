"""Which records of a frame belong to a trace, as headers of the frame.

A context is a W3C traceparent, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01. A frame's bytes are the
same whoever says them and whether anybody traces them, so contexts travel beside them, in two headers: `traceparent`,
of the whole frame, for whatever tool looks; and ours, of each record that belongs to a trace.
"""

import re
from typing import Final, NamedTuple

import msgspec

from services.adapters.ports import Headers

TRACEPARENT: Final = "traceparent"
RECORD_TRACES: Final = "exchange-traces"
MAX_RECORDS: Final = 512
"""Of one frame; further ones are left out, so that headers never make a frame too big for the log."""

_WHOLE: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CONTEXT_BYTES: Final = 25
_Packed = list[tuple[list[int], bytes]]
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Packed)


class FrameTraces(NamedTuple):
    """whole: the context of the frame. records: by index, the context of each record that has one."""

    whole: str
    records: dict[int, str]


def is_traceparent(text: str) -> bool:
    """Whether it is a context as version 00 of W3C Trace Context writes it."""
    return _WHOLE.fullmatch(text) is not None


def trace_id_of(traceparent: str) -> str:
    """The id of the trace that a context belongs to, in hex."""
    return traceparent[3:35]


def is_sampled(traceparent: str) -> bool:
    """Whether a context's trace is recorded; `traceparent` is one, or empty."""
    return traceparent != "" and int(traceparent[-2:], 16) & 1 == 1


def encode_traces(traces: FrameTraces) -> Headers:
    """The headers that say it."""
    indices: dict[str, list[int]] = {}
    for index, traceparent in list(traces.records.items())[:MAX_RECORDS]:
        indices.setdefault(traceparent, []).append(index)
    packed = [(at, _pack(traceparent)) for traceparent, at in indices.items()]
    return ((TRACEPARENT, traces.whole.encode()), (RECORD_TRACES, _ENCODER.encode(packed)))


def decode_traces(headers: Headers) -> FrameTraces | None:
    """What `encode_traces` said; None when the headers say nothing, or nothing that can be read.

    Who reads a log must never stop at what only an observer needs.
    """
    found = dict(headers)
    whole = found.get(TRACEPARENT, b"").decode("ascii", "replace")
    if RECORD_TRACES not in found or not is_traceparent(whole):
        return None
    try:
        packed = _DECODER.decode(found[RECORD_TRACES])
    except msgspec.DecodeError:
        return None
    records = {index: _unpack(context) for at, context in packed if len(context) == _CONTEXT_BYTES for index in at}
    return FrameTraces(whole, records)


def _pack(traceparent: str) -> bytes:
    return bytes.fromhex(traceparent[3:35] + traceparent[36:52] + traceparent[53:55])


def _unpack(context: bytes) -> str:
    text = context.hex()
    return f"00-{text[:32]}-{text[32:48]}-{text[48:]}"
