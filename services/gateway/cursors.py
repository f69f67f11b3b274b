"""Cursors: the last row of a page, named whole, as a text that clients only hand back."""

from typing import Any

from services.domain.money import MAX_AMOUNT
from services.gateway.errors import bad_input


def parse_cursor(text: str, name: str, *kinds: type[int] | type[str]) -> tuple[Any, ...]:
    """The parts of a cursor, one of each kind. Raises ApiError 400 when it is not one of ours."""
    parts = text.split(":")
    if len(parts) == len(kinds):
        values = tuple(_part(part, kind) for part, kind in zip(parts, kinds, strict=True))
        if None not in values:
            return values
    raise bad_input(f"Parameter '{name}' must be the 'next' of the page before.")


def _part(text: str, kind: type[int] | type[str]) -> int | str | None:
    if kind is str:
        return text or None
    good = text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= MAX_AMOUNT
    return int(text) if good else None
