"""Kinds of setting values: how each is written, and the sentence that says so when it is not."""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from services.domain.instruments import STEP_SCALE
from services.domain.money import MICROS, parse_units


class Kind(NamedTuple):
    """A way to write a value. Used as `Annotated[int, DURATION]` on a settings field.

    parse: text or number -> the field's value; raises ValueError (FormatError is one) when it is not of this kind.
    secret: whether a wrong value must not be shown.
    """

    wants: str
    parse: Callable[[Any], Any]
    secret: bool = False


class Secret(str):
    """A text that is not shown when somebody prints the settings."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'" if self else "''"


def whole(low: int, high: int) -> Kind:
    """A whole number within bounds, both included."""

    def parse(value: Any) -> int:
        number = int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else value
        if type(number) is not int or not low <= number <= high:
            raise ValueError
        return number

    return Kind(f"a whole number from {low} to {high}", parse)


def choice(*words: str) -> Kind:
    """One of some words."""

    def parse(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise ValueError
        return value

    return Kind(f"one of {', '.join(words)}", parse)


def _parse_text(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 4096 or not value.isprintable():
        raise ValueError
    return value


def _parse_secret(value: Any) -> Secret:
    return Secret(_parse_text(value))


def _parse_share(value: Any) -> int:
    micros = _parse_rate(value)
    if micros > MICROS:
        raise ValueError
    return micros


def _parse_url(value: Any) -> str:
    if not isinstance(value, str) or re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:_]+(:[0-9]{1,5})?/?", value) is None:
        raise ValueError
    return value.rstrip("/")


def _parse_flag(value: Any) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise ValueError
    return value


def _parse_decimal(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    whole_part, point, fraction = value.partition(".")
    parse_units(whole_part, 0)
    if point:
        parse_units(f"0.{fraction}", STEP_SCALE)
    return value


def _parse_rate(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError
    return parse_units(value, len(str(MICROS)) - 1)


_DURATION_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
FOREVER_MS: Final = -1
"""A retention without end, as brokers write it."""
_SIZE_UNITS: Final = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def _parse_duration(value: Any) -> int:
    match = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * _DURATION_UNITS[match[2]]


def _parse_pause(value: Any) -> int:
    return 0 if value == "0s" else _parse_duration(value)


def _parse_retention(value: Any) -> int:
    return FOREVER_MS if value == "forever" else _parse_duration(value)


def _parse_size(value: Any) -> int:
    match = re.fullmatch(r"([0-9]{1,9})(|Ki|Mi|Gi)", str(value)) if type(value) in (str, int) else None
    if match is None or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * _SIZE_UNITS[match[2]]


TEXT: Final = Kind("a text", _parse_text)
SECRET: Final = Kind("a text (in quotes when it is a number)", _parse_secret, secret=True)
URL: Final = Kind("a URL such as http://ubscore-0:3100", _parse_url)
FLAG: Final = Kind("true or false", _parse_flag)
DECIMAL: Final = Kind('a decimal text such as "0.01"', _parse_decimal)
RATE: Final = Kind('a decimal text with at most 6 decimals such as "0.001"', _parse_rate)
"""A share, held in micros."""
SHARE: Final = Kind('a decimal text from "0" to "1" with at most 6 decimals such as "0.01"', _parse_share)
"""Held in micros."""
DURATION: Final = Kind("a duration such as 500ms, 60s, 15m, 24h or 7d", _parse_duration)
"""Held in milliseconds."""
PAUSE: Final = Kind("0s, or a duration such as 500ms or 15s", _parse_pause)
"""Held in milliseconds."""
RETENTION: Final = Kind("forever, or a duration such as 24h or 7d", _parse_retention)
"""Held in milliseconds; FOREVER_MS: without end."""
SIZE: Final = Kind("a size in bytes such as 65536, 64Ki or 64Mi", _parse_size)
"""Held in bytes."""
