"""Numbers as Grafana writes them."""

from typing import Final

_TIMES: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_COUNTS: Final = ((1e9, "Bil"), (1e6, "Mil"), (1e3, "K"), (1.0, ""))
_AFTER: Final = {"reqps": " req/s", "cps": " /s"}


def written(value: float, unit: str) -> str:
    """With its unit."""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        return _scaled(value, _TIMES, least=1e-6)
    if unit == "bytes":
        return _scaled(value, _BYTES, least=1.0)
    after = f" {unit.removeprefix('suffix: ')}" if unit.startswith("suffix: ") else _AFTER.get(unit, "")
    return _scaled(value, _COUNTS, least=1.0).strip() + after


def _scaled(value: float, steps: tuple[tuple[float, str], ...], least: float) -> str:
    size, name = next(((size, name) for size, name in steps if abs(value) >= size), (least, steps[-1][1]))
    if value == 0:
        size, name = 1.0, next(name for size, name in steps if size == 1.0)
    digits = 0 if abs(value / size) >= 100 else 3
    return f"{value / size:.0f} {name}" if not digits else f"{value / size:.3g} {name}"
