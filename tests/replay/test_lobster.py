"""LOBSTER files, good and bad."""

from pathlib import Path

import pytest

from services.domain.orders import Side
from services.replay.lobster import (
    Level,
    MessageType,
    ReplayFileError,
    parse_book,
    parse_messages,
    read_book,
    read_messages,
)
from tests.support.shared_data import lobster_book, lobster_messages

GOOD = "34200.004241176,1,16113575,18,5853300,1"


def test_parse_messages_good_line_keeps_every_digit() -> None:
    (message,) = parse_messages([GOOD + "\n"], "f.csv")
    assert message == (1, 34_200_004_241_176, MessageType.New, 16113575, 18, 5853300, Side.Buy)


def test_parse_messages_of_every_type_reads_them() -> None:
    lines = [
        "34200.5,2,7,1,100,1",
        "34200.5,3,7,1,100,-1",
        "34200.5,4,7,1,100,-1",
        "34200.5,5,0,1,100,-1",
        "34200.5,6,0,1,100,-1",
        "34200.5,7,0,0,-1,-1",
    ]
    assert [message.type for message in parse_messages(lines, "f")] == list(MessageType)[1:]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "f.csv:2: wants 6 fields, got 1"),
        (GOOD + ",null", "f.csv:2: wants 6 fields, got 7"),
        ("x,1,1,1,1,1", "f.csv:2: field 1 (time) wants seconds after midnight with up to 9 decimals, got 'x'"),
        ("-1,1,1,1,1,1", "f.csv:2: field 1 (time)"),
        ("1.0000000001,1,1,1,1,1", "f.csv:2: field 1 (time)"),
        ("1,8,1,1,1,1", "f.csv:2: field 2 (type) wants 1 to 7, got '8'"),
        ("1,1,0,1,1,1", "f.csv:2: field 3 (order id) wants a whole number above 0, got '0'"),
        ("1,1,1,0,1,1", "f.csv:2: field 4 (size)"),
        ("1,1,1,1.5,1,1", "f.csv:2: field 4 (size) wants a whole number above 0, got '1.5'"),
        ("1,1,1,1,-5,1", "f.csv:2: field 5 (price) wants dollars × 10,000, above 0, got '-5'"),
        ("1,1,1,1,NaN,1", "f.csv:2: field 5 (price)"),
        ("1,1,1,1,1_000,1", "f.csv:2: field 5 (price)"),
        ("1,7,0,0,2,-1", "f.csv:2: field 5 (price) wants -1, 0 or 1, got '2'"),
        ("1,1,1,1,1,0", "f.csv:2: field 6 (direction) wants 1 (buy) or -1 (sell), got '0'"),
        ("1,1,1,99999999999999,1,1", "f.csv:2: field 4 (size)"),
    ],
)
def test_parse_messages_malformed_line_names_line_and_field(line: str, sentence: str) -> None:
    with pytest.raises(ReplayFileError) as raised:
        list(parse_messages([GOOD, line], "f.csv"))
    assert str(raised.value).startswith(sentence)


def test_parse_book_leaves_out_empty_places() -> None:
    (row,) = parse_book(["5859400,200,5853300,18,9999999999,0,-9999999999,0"], "b.csv")
    assert row == ([Level(5853300, 18)], [Level(5859400, 200)])


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["1,2,3"], "b.csv:1: wants 4 fields a level, got 3"),
        (["1,2,3,4", "1,2,3,4,5,6,7,8"], "b.csv:2: wants 4 fields, as the first row has, got 8"),
        (["1,2,3,x"], "b.csv:1: field 4 (bid size 1) wants a whole number from 0, got 'x'"),
        (["1,2,3,4,1,-2,3,4"], "b.csv:1: field 6 (ask size 2)"),
    ],
)
def test_parse_book_malformed_row_names_line_and_field(lines: list[str], sentence: str) -> None:
    with pytest.raises(ReplayFileError) as raised:
        list(parse_book(lines, "b.csv"))
    assert str(raised.value).startswith(sentence)


def test_read_messages_missing_empty_or_binary_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ReplayFileError, match="cannot be read: No such file"):
        read_messages(tmp_path / "none.csv")
    path = tmp_path / "file.csv"
    path.write_bytes(b"")
    with pytest.raises(ReplayFileError, match="has no messages"):
        read_messages(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ReplayFileError, match="is no text file: byte 0"):
        read_messages(path)


def test_read_book_of_another_length_says_so(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text("1,2,3,4\n")
    with pytest.raises(ReplayFileError, match="has 1 rows, but there are 2 messages"):
        read_book(path, 2)


def test_read_sample_files_belong_together() -> None:
    messages = read_messages(lobster_messages())
    rows = read_book(lobster_book(), len(messages))
    assert len(messages) == 999
    assert all(len(row.bids) == len(row.asks) == 10 for row in rows)
