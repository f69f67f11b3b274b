"""What docs/metrics.md says, read as a person reads it, and what a process shows."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
PLACES: Final = {"G": "gateway", "U": "ubscore", "M": "matcher", "S": "settlement", "O": "order-history"}
_ROW: Final = re.compile(r"\| `(\w+)` \| (\w+) \| ([^|]*) \| ([GUMSO ]+)(\*?) \| .+ \|")


@dataclass(frozen=True)
class Metric:
    """kind: as in Prometheus' text. labels: of its samples, without a bucket's bound."""

    kind: str
    labels: frozenset[str]


def documented(place: str | None) -> dict[str, Metric]:
    """What a process of this kind shows; None for the local form."""
    found = {}
    for line in PAGE.read_text().splitlines():
        if row := _ROW.fullmatch(line):
            name, kind, labels, places, distributed = row.groups()
            shown_by = {PLACES[letter] for letter in places.split()}
            if place in shown_by or (place is None and not distributed):
                found[name] = Metric(kind, frozenset(re.findall(r"`(\w+)`", labels)))
    return found


@dataclass(frozen=True)
class Shown:
    """What a scrape shows. metrics: by name; those without samples have the labels None. silent: those."""

    kinds: dict[str, str]
    labels: dict[str, set[frozenset[str]]]

    @property
    def silent(self) -> set[str]:
        return {name for name, labels in self.labels.items() if not labels}


def shown(url: str) -> Shown:
    """What a process shows of the exchange's own."""
    kinds, labels = {}, {}
    for family in text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=10.0).text):
        if family.name.startswith("exchange_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            kinds[name] = family.type
            labels[name] = {frozenset(sample.labels) - {"le"} for sample in family.samples}
    return Shown(kinds, labels)


def differences(place: str | None, url: str) -> list[str]:
    """How the page and a process differ, in sentences."""
    page, process = documented(place), shown(url)
    found = [f"{name} is not on the page" for name in process.kinds.keys() - page.keys()]
    found += [f"{name} is not shown" for name in page.keys() - process.kinds.keys()]
    for name in page.keys() & process.kinds.keys():
        if process.kinds[name] != page[name].kind:
            found.append(f"{name} is a {process.kinds[name]}")
        if process.labels[name] - {page[name].labels}:
            found.append(f"{name} has the labels {[sorted(labels) for labels in process.labels[name]]}")
    return sorted(found)
