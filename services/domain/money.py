"""Amounts as integers in an asset's smallest unit, and the only ways to get there and back.

A decimal text becomes an integer exactly or not at all: no float, no Decimal, no silent rounding. The one division
that the exchange does, the fee, has its rounding direction in its name.
"""

import re
from typing import Final

from services.domain.errors import FormatError

MAX_AMOUNT: Final = 2**63 - 1
"""The largest amount, price or quantity: what a signed 64-bit column holds."""

MIN_AMOUNT: Final = -(2**63)
"""The smallest number of such a column."""

MICROS: Final = 1_000_000
"""Rates are integers in millionths: a fee of 0.1 % is 1,000 micros."""

MAX_DECIMAL_LENGTH: Final = 40
"""Longer texts are refused before they are looked at."""

_DECIMAL = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)


def parse_units(text: str, scale: int) -> int:
    """Turn a plain decimal text into an integer count of 10**-scale.

    text: digits with at most one point, such as "0.01"; no sign, exponent, space or underscore.
    Raises FormatError when it is not such a text, has more than `scale` decimals (zeros at the end aside), or is
    larger than MAX_AMOUNT units.
    """
    match = _DECIMAL.fullmatch(text) if len(text) <= MAX_DECIMAL_LENGTH else None
    if match is None:
        raise FormatError("must be a plain decimal number such as 0.01")
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > scale:
        raise FormatError(f"must have at most {scale} decimals")
    units = int(whole + fraction.ljust(scale, "0"))
    if units > MAX_AMOUNT:
        raise FormatError("is too large")
    return units


def format_units(units: int, scale: int) -> str:
    """Turn an integer count of 10**-scale into the shortest exact decimal text: 150 at scale 2 is "1.5"."""
    sign, digits = ("-", -units) if units < 0 else ("", units)
    whole, fraction = divmod(digits, 10**scale)
    if fraction == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{str(fraction).zfill(scale).rstrip('0')}"


def clamped(value: int) -> int:
    """`value`, or the nearest number that a signed 64-bit column holds: for echoing what was refused."""
    return max(MIN_AMOUNT, min(value, MAX_AMOUNT))


def fee_rounded_up(amount: int, rate_micros: int) -> int:
    """The fee on `amount` smallest units at `rate_micros`, rounded up: the exchange never gives a unit away."""
    return -(-amount * rate_micros // MICROS)
