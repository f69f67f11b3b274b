import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.tracing.headers import (
    MAX_RECORDS,
    FrameTraces,
    decode_traces,
    encode_traces,
    is_sampled,
    is_traceparent,
)

A = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
B = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"

HEADERS = st.tuples(st.sampled_from(["traceparent", "exchange-traces", "x"]), st.binary(max_size=40))


def test_encode_traces_decoded_gives_the_same() -> None:
    traces = FrameTraces(A, {0: A, 3: B, 70_000: A})
    assert decode_traces(encode_traces(traces)) == traces


def test_encode_traces_plain_header_is_what_other_tools_read() -> None:
    assert encode_traces(FrameTraces(A, {0: B}))[0] == ("traceparent", A.encode())


def test_encode_traces_too_many_records_leaves_out_the_last() -> None:
    contexts = {index: f"00-{index + 1:032x}-{index + 1:016x}-01" for index in range(10_000)}
    headers = encode_traces(FrameTraces(A, contexts))
    assert sum(len(value) for _, value in headers) < 20_000
    decoded = decode_traces(headers)
    assert decoded is not None
    assert decoded.records == {index: contexts[index] for index in range(MAX_RECORDS)}


@settings(deadline=None)
@given(st.lists(HEADERS).map(tuple))
def test_decode_traces_anything_from_outside_never_raises(headers: tuple[tuple[str, bytes], ...]) -> None:
    decoded = decode_traces((("traceparent", A.encode()), *headers))
    assert decoded is None or isinstance(decoded.records, dict)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        f"{A}\n",
    ],
)
def test_is_traceparent_malformed_is_none(text: str) -> None:
    assert not is_traceparent(text)


def test_is_sampled_looks_at_the_lowest_flag() -> None:
    assert is_traceparent(A)
    assert is_sampled(A)
    assert not is_sampled(B)
    assert not is_sampled("")
    assert is_sampled(A[:-2] + "03")
