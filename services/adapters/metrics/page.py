"""docs/metrics.md, printed from the catalogue:  python -m services.adapters.metrics.page > docs/metrics.md"""

import sys
from collections.abc import Iterable
from typing import Final

from services.adapters.metrics.catalogue import (
    CATALOGUE,
    GATEWAY,
    MATCHER,
    ORDER_HISTORY,
    SETTLEMENT,
    UBSCORE,
    Family,
)

_HEAD: Final = """\
# Metrics

Every process answers `GET /metrics` in Prometheus' text format: on its internal port, and the gateway on its REST port
too. The local form's one process shows all of them, except those of the distributed form alone. This page is printed
from `services/adapters/metrics/catalogue.py` by `python -m services.adapters.metrics.page > docs/metrics.md`; a test
compares it with what running exchanges show.

- Names end in their unit: `_seconds`, `_bytes`, `_frames`, `_records`, `_rows`; amounts are counts of the smallest
  unit (`_units`), of ticks or of lots: `exchange_symbol_tick_size` and `exchange_symbol_lot_size` make prices and
  quantities of them.
- `source` is a core: `ubscore-0`, `matcher-1`. `reader` is who follows a partition of the log: a core, `settlement`,
  `order_history` or `gateway`. No user and no order is ever in a label.
- A standby applies all that the active does, and counts it. Where there are standbys, take `max by (…)`, or multiply
  by `on (instance, source) exchange_core_active`.
- Times from a gateway's stamp hold the difference of two machines' clocks, and whole milliseconds are all they tell.
- Beside these, prometheus-client's own `process_*` (CPU, memory, open files, start) are there.
"""
_WHO: Final = {
    GATEWAY: "G",
    UBSCORE: "U",
    MATCHER: "M",
    SETTLEMENT: "S",
    ORDER_HISTORY: "O",
}
_KEY: Final = "G gateway, U ubscore, M matcher, S settlement, O order-history; * not in the local form."


def page() -> str:
    """The whole page."""
    rows = "\n".join(map(_row, CATALOGUE))
    return (
        f"{_HEAD}\n## All of them\n\nShown by: {_KEY}\n\n"
        f"| name | type | labels | shown by | what it says |\n|---|---|---|---|---|\n{rows}\n"
        f"\n## Buckets of histograms\n\n{_buckets()}"
    )


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    who = " ".join(_WHO[place] for place in family.places) + (" *" if family.distributed else "")
    return f"| `{family.shown_name}` | {family.kind} | {labels} | {who} | {family.documentation} |"


def _buckets() -> str:
    names: dict[tuple[float, ...], list[str]] = {}
    for family in CATALOGUE:
        if family.buckets:
            names.setdefault(family.buckets, []).append(f"`{family.shown_name}`")
    return "\n".join(f"- {', '.join(of)}: {_bounds(bounds)}" for bounds, of in names.items()) + "\n"


def _bounds(bounds: Iterable[float]) -> str:
    return ", ".join(f"{bound:.12g}" for bound in bounds)


if __name__ == "__main__":
    sys.stdout.write(page())
