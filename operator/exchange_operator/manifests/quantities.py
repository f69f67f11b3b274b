"""Kubernetes' quantities: written as the API server writes them, and what a container asks for and gets."""

import re
from fractions import Fraction
from math import ceil
from typing import Final

from exchange_operator.names import Manifest
from exchange_operator.resource import Resources

_DECIMAL: Final = ("m", "", "k", "M", "G", "T", "P", "E")
_MILLI: Final = 1000
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_FACTORS: Final = {suffix: Fraction(1000**power, _MILLI) for power, suffix in enumerate(_DECIMAL)} | {
    suffix: Fraction(1024**power) for power, suffix in enumerate(_BINARY) if suffix
}
_HEADROOM: Final = 2


def amount(quantity: str) -> Fraction:
    """How much it is: cores, or bytes. Raises ValueError when it is no quantity."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]{0,2})", quantity)
    if match is None or match[2] not in _FACTORS:
        raise ValueError(f"{quantity!r} is no quantity; it must be like 500m, 2 or 10Gi")
    return Fraction(match[1]) * _FACTORS[match[2]]


def canonical(quantity: str) -> str:
    """The same as the API server writes it: 1000m is 1, 0.5 is 500m, 1024Mi is 1Gi, 1.5Gi is 1536Mi.

    A fraction of a thousandth counts as a whole one, there as here.
    """
    value = amount(quantity)
    if quantity.endswith("i") and value >= 1024 and value.denominator == 1:
        return _shortest(int(value), 1024, _BINARY)
    return _shortest(ceil(value * _MILLI), 1000, _DECIMAL) if value else "0"


def _shortest(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    """With the largest suffix that leaves a whole number."""
    power = 0
    while number % base == 0 and power < len(suffixes) - 1:
        number, power = number // base, power + 1
    return f"{number}{suffixes[power]}"


def resources(asked: Resources, cpu: str, memory: str, headroom: int = _HEADROOM) -> Manifest:
    """Of a container. cpu, memory: what it asks for when nobody says.

    Memory has a limit, `headroom` times what is asked for when nobody says. Cores have none by themselves: a service
    that is stopped in the middle of a burst answers late, although a core may be idle.
    """
    limits = {"cpu": asked.limits.cpu, "memory": asked.limits.memory}
    requests = {
        "cpu": asked.requests.cpu or _least(cpu, limits["cpu"]),
        "memory": asked.requests.memory or _least(memory, limits["memory"]),
    }
    limits["memory"] = limits["memory"] or f"{int(amount(requests['memory']) * headroom) >> 10}Ki"
    return {
        "requests": {name: canonical(quantity) for name, quantity in requests.items()},
        "limits": {name: canonical(quantity) for name, quantity in limits.items() if quantity},
    }


def megabytes(quantity: str, share: Fraction) -> int:
    """A share of so many bytes, in MiB, rounded down."""
    return int(amount(quantity) * share) >> 20


def _least(default: str, limit: str | None) -> str:
    return default if limit is None or amount(default) <= amount(limit) else limit
