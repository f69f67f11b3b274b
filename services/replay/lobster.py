"""LOBSTER files (https://lobsterdata.com/info/DataStructure.php): NASDAQ's order flow, and its book after each message.

A message file has no header and six columns: seconds after midnight, type, order id, size in shares, price in dollars
× 10,000, direction (1 buy, -1 sell, of the resting order). A book file has a row for each message: ask price, ask
size, bid price, bid size of the best level, then of the next. An empty place has size 0.

A file of ten levels holds only the messages that touched the ten best levels of their time: what happens to an order
further out is in no file.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from services.domain.errors import ExchangeError, FormatError
from services.domain.money import parse_units
from services.domain.orders import Side

PRICE_SCALE: Final = 4
"""Decimals of a recorded price."""
_MAX_NUMBER: Final = 10**12
_INTEGER: Final = re.compile(r"-?[0-9]{1,12}", re.ASCII)


class MessageType(IntEnum):
    """What happened. The words are LOBSTER's own."""

    New = 1
    PartialCancel = 2
    Delete = 3
    Execution = 4
    HiddenExecution = 5
    CrossTrade = 6
    Halt = 7


ABOUT_ORDERS: Final = (MessageType.New, MessageType.PartialCancel, MessageType.Delete, MessageType.Execution)
"""Types about a visible order."""


class Message(NamedTuple):
    """One line. time_ns: since midnight; size: shares; price: dollars × 10,000; side: of the resting order."""

    line: int
    time_ns: int
    type: MessageType
    order_id: int
    size: int
    price: int
    side: Side


class Level(NamedTuple):
    """price: dollars × 10,000; size: shares."""

    price: int
    size: int


class BookRow(NamedTuple):
    """The recorded book after one message, best level first; empty places are left out."""

    bids: list[Level]
    asks: list[Level]

    def side(self, side: Side) -> list[Level]:
        return self.bids if side == Side.Buy else self.asks


class ReplayFileError(ExchangeError):
    """A file is not what it should be; the message names the file, the line and the field."""


def read_messages(path: Path) -> list[Message]:
    """The whole message file. Raises ReplayFileError at its first mistake, so that no part of it is ever played."""
    messages = list(parse_messages(_lines(path), str(path)))
    if not messages:
        raise ReplayFileError(f"{path}: has no messages")
    return messages


def read_book(path: Path, rows: int) -> list[BookRow]:
    """The whole book file, which must have `rows` rows. Raises ReplayFileError."""
    book = list(parse_book(_lines(path), str(path)))
    if len(book) != rows:
        raise ReplayFileError(f"{path}: has {len(book)} rows, but there are {rows} messages: it is of another file")
    return book


def parse_messages(lines: Iterable[str], name: str) -> Iterator[Message]:
    """Messages of the lines of a file called `name`. Raises ReplayFileError."""
    for number, line in enumerate(lines, start=1):
        fields = line.rstrip("\r\n").split(",")
        if len(fields) != 6:
            raise ReplayFileError(f"{name}:{number}: wants 6 fields, got {len(fields)}")
        yield _message(number, fields, name)


def parse_book(lines: Iterable[str], name: str) -> Iterator[BookRow]:
    """Rows of the lines of a file called `name`. Raises ReplayFileError."""
    columns = 0
    for number, line in enumerate(lines, start=1):
        fields = line.rstrip("\r\n").split(",")
        columns = columns or len(fields)
        if len(fields) != columns or columns % 4:
            wanted = f"{columns} fields, as the first row has" if columns % 4 == 0 else "4 fields a level"
            raise ReplayFileError(f"{name}:{number}: wants {wanted}, got {len(fields)}")
        yield _book_row(number, fields, name)


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="ascii", newline="\n") as file:
            yield from file
    except OSError as error:
        raise ReplayFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ReplayFileError(f"{path}: is no text file: byte {error.start} is not ASCII") from error


def _message(number: int, fields: list[str], name: str) -> Message:
    field = _field_reader(number, fields, name)
    kind = field(1, "type", "1 to 7", lambda text: MessageType(_integer(text, 1, 7)))
    about_order = kind in ABOUT_ORDERS
    halt = kind is MessageType.Halt
    return Message(
        number,
        field(0, "time", "seconds after midnight with up to 9 decimals", lambda text: parse_units(text, 9)),
        kind,
        field(2, "order id", "a whole number above 0", lambda text: _integer(text, int(about_order), _MAX_NUMBER)),
        field(3, "size", "a whole number above 0", lambda text: _integer(text, 0 if halt else 1, _MAX_NUMBER)),
        # The price of a halt says what it is: -1 halted, 0 quoting resumes, 1 trading resumes.
        field(4, "price", "-1, 0 or 1", lambda text: _integer(text, -1, 1))
        if halt
        else field(4, "price", "dollars × 10,000, above 0", lambda text: _integer(text, 1, _MAX_NUMBER)),
        field(5, "direction", "1 (buy) or -1 (sell)", _side),
    )


def _book_row(number: int, fields: list[str], name: str) -> BookRow:
    field = _field_reader(number, fields, name)
    sides: tuple[list[Level], list[Level]] = ([], [])
    for column in range(0, len(fields), 2):
        bid = column % 4 // 2
        what = f"{'bid' if bid else 'ask'} {{}} {column // 4 + 1}"
        price = field(column, what.format("price"), "a whole number", lambda text: _integer(text, -_MAX_NUMBER))
        size = field(column + 1, what.format("size"), "a whole number from 0", lambda text: _integer(text, 0))
        if size:
            sides[bid].append(Level(price, size))
    return BookRow(bids=sides[1], asks=sides[0])


def _field_reader(number: int, fields: list[str], name: str) -> Callable[[int, str, str, Callable[[str], Any]], Any]:
    """How to read a field of this line: column, its name, what it wants, and how it is read."""

    def read(column: int, what: str, wants: str, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(fields[column])
        except FormatError as error:
            raise ReplayFileError(
                f"{name}:{number}: field {column + 1} ({what}) wants {wants}, got {fields[column][:40]!r}"
            ) from error

    return read


def _integer(text: str, lowest: int, highest: int = _MAX_NUMBER) -> int:
    if _INTEGER.fullmatch(text) is None or not lowest <= int(text) <= highest:
        raise FormatError("not such a number")
    return int(text)


def _side(text: str) -> Side:
    if text not in ("1", "-1"):
        raise FormatError("not a direction")
    return Side.Buy if text == "1" else Side.Sell
