"""Decimal texts of a request to integers, with errors that name the parameter."""

from collections.abc import Callable

from services.domain.errors import FormatError
from services.domain.instruments import Asset, Symbol
from services.domain.money import parse_units
from services.gateway.errors import Code, bad_input


def parse_price(symbol: Symbol, text: str) -> int:
    """Ticks. Raises ApiError -1111 when it is no multiple of the tick size, or too large."""
    return _parse(symbol.parse_price, text, "price")


def parse_quantity(symbol: Symbol, text: str) -> int:
    """Lots. Raises ApiError -1111 when it is no multiple of the lot size, or too large."""
    return _parse(symbol.parse_quantity, text, "quantity")


def parse_amount(asset: Asset, text: str, name: str) -> int:
    """Smallest units of `asset`. Raises ApiError -1111 when it is too precise or too large."""
    return _parse(lambda amount: parse_units(amount, asset.scale), text, name)


def _parse(parse: Callable[[str], int], text: str, name: str) -> int:
    # That it is a plain decimal was checked with the body (see bodies.Decimal); what is left is precision and size.
    try:
        return parse(text)
    except FormatError as error:
        raise bad_input(f"Parameter '{name}' {error}.", Code.TOO_PRECISE) from error
