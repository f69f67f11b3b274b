"""Whether a live object still says everything that we want of it.

A live object holds more than we wrote: what the API server fills in, and what other managers own. So the question is
whether it is a superset, by the rules by which server-side apply merges: maps by key, lists as a whole, some lists by
the names of their items, and label selectors exactly.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

_ITEM_KEYS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "containers": (("name", ""),),
    "initContainers": (("name", ""),),
    "env": (("name", ""),),
    "volumes": (("name", ""),),
    "volumeMounts": (("mountPath", ""),),
    "imagePullSecrets": (("name", ""),),
    "ownerReferences": (("uid", ""),),
    "conditions": (("type", ""),),
    "topologySpreadConstraints": (("topologyKey", ""), ("whenUnsatisfiable", "")),
    "containers.ports": (("containerPort", ""), ("protocol", "TCP")),
    "initContainers.ports": (("containerPort", ""), ("protocol", "TCP")),
    "spec.ports": (("port", ""), ("protocol", "TCP")),
}
"""Lists whose items have a name: the fields that make it, each with its default. The others are one value."""

_SETS: Final = frozenset({"finalizers"})
_EXACT: Final = frozenset({"selector", "podSelector", "namespaceSelector", "nodeSelector", "labelSelector"})
_QUANTITIES: Final = frozenset({"requests", "limits", "sizeLimit", "divisor", "averageValue"})
_DROPPED_WHEN_EMPTY: Final = frozenset(
    {"labels", "annotations", "matchLabels", "nodeSelector", "requests", "limits", "data", "binaryData"}
)
"""Maps. An empty structure stays: `emptyDir: {}` says what a volume is, and `podSelector: {}` means all pods."""

_QUANTITY: Final = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def quantity(text: str | int) -> Decimal:
    """The value of a Kubernetes quantity, such as 500m or 10Gi. Raises ValueError when it is none."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"{text!r} is no quantity; it must be like 500m, 2 or 10Gi")
    number, exponent, suffix = found.groups()
    value = Decimal(number + (exponent or ""))
    if suffix in _BINARY:
        return value * Decimal(1024) ** _BINARY[suffix]
    return value.scaleb(_DECIMAL[suffix]) if suffix else value


def missing_from(live: Any, wanted: Any) -> list[str]:
    """Paths of `wanted`, such as `spec.ports[0].port`, where `live` does not say the same; empty when it does."""
    return list(_differences(live, wanted, "", ""))


def _differences(live: Any, wanted: Any, path: str, field: str) -> Iterator[str]:
    """field: the name of the nearest field, behind the one before it: `spec.ports`."""
    name = field.rpartition(".")[2]
    if wanted is None or (_is_nothing(wanted, name) and _is_nothing(live, name)):
        return
    if name in _QUANTITIES and not isinstance(wanted, Mapping):
        if not _same_quantity(live, wanted):
            yield path
    elif name in _EXACT:
        if _pruned(live) != _pruned(wanted):
            yield path
    elif isinstance(wanted, Mapping) and isinstance(live, Mapping):
        yield from _in_map(live, wanted, path, name)
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _in_list(live, wanted, path, field)
    elif type(live) is not type(wanted) or live != wanted:
        yield path


def _in_map(live: Mapping[str, Any], wanted: Mapping[str, Any], path: str, name: str) -> Iterator[str]:
    for key, value in wanted.items():
        # What stands in a map of quantities is a quantity, whatever it is called.
        field = name if name in _QUANTITIES else f"{name}.{key}"
        yield from _differences(live.get(key), value, f"{path}.{key}" if path else key, field)


def _in_list(live: Sequence[Any], wanted: Sequence[Any], path: str, field: str) -> Iterator[str]:
    name = field.rpartition(".")[2]
    keys = _ITEM_KEYS.get(field) or _ITEM_KEYS.get(name)
    if name in _SETS:
        yield from (f"{path}[{item}]" for item in wanted if item not in live)
    elif keys is not None:
        there = {_item_key(item, keys): item for item in live}
        for item in wanted:
            key = _item_key(item, keys)
            yield from _differences(there.get(key), item, f"{path}[{key[0]}]", name)
    elif len(live) != len(wanted):
        yield path
    else:
        for index, (one, other) in enumerate(zip(live, wanted, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]", name)


def _item_key(item: Mapping[str, Any], keys: tuple[tuple[str, str], ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, default) for key, default in keys)


def _is_nothing(value: Any, name: str) -> bool:
    """Whether the API server leaves it out of what it stores."""
    return value is None or value == "" or value == [] or (value == {} and name in _DROPPED_WHEN_EMPTY)


def _pruned(value: Any) -> Any:
    """Without what is empty, at every depth."""
    if isinstance(value, Mapping):
        pruned = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in pruned.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value


def _same_quantity(live: Any, wanted: Any) -> bool:
    try:
        return quantity(live) == quantity(wanted)
    except ValueError:
        return bool(live == wanted)
