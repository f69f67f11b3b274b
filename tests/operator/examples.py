"""The resources in k8s/, which people copy, and small changes to them."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.processes import ROOT

EXAMPLES: Final = tuple(sorted((ROOT / "k8s").glob("exchange-*.yaml")))

Resource = dict[str, Any]


class Gone:
    """The value of a field that is taken out."""


GONE: Final = Gone()


def example(name: str) -> Resource:
    """One of k8s/, such as "minimal"."""
    return read(ROOT / "k8s" / f"exchange-{name}.yaml")


def read(path: Path) -> Resource:
    found: Resource = yaml.safe_load(path.read_text())
    return found


def stored(resource: Resource) -> Resource:
    """With what the API server adds to its metadata."""
    metadata = {"namespace": "default", "uid": "0b5c6f5e", "generation": 1} | resource["metadata"]
    return resource | {"metadata": metadata}


def changed(resource: Resource, change: Mapping[str, Any]) -> Resource:
    """A copy with other values, by paths such as "spec.symbols.0.tickSize". GONE takes a field out."""
    new = copy.deepcopy(resource)
    for path, value in change.items():
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place: Any = new
        for step in way:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
        if isinstance(value, Gone):
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return new
