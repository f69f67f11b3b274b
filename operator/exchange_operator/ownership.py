"""Whose an object is. What is not ours is never written over and never deleted, whatever its name."""

from collections.abc import Mapping
from typing import Any, Final

from exchange_operator.names import Manifest
from exchange_operator.resource import KIND

_IDENTITY: Final = ("app.kubernetes.io/instance", "app.kubernetes.io/name", "app.kubernetes.io/managed-by")


def not_ours(live: Manifest, wanted: Manifest) -> str:
    """Why `live`, which has the name of `wanted`, must be left alone; empty when it is ours.

    It is ours by its labels, or, when somebody took those away, by its owner; never when another one controls it.
    """
    what = f"{live['kind']} {live['metadata']['name']}"
    ours = {owner["uid"] for owner in wanted["metadata"].get("ownerReferences", ())}
    other = _controller(live)
    if other and other["uid"] not in ours:
        return (
            f"{what} belongs to {other['kind']} {other['name']} (uid {other['uid']}) and is left alone: "
            "delete it, or give the Exchange another name"
        )
    if other or _labels(live).items() >= identity(_labels(wanted)).items():
        return ""
    return (
        f"{what} was made by somebody else, as it lacks our labels, and is left alone: "
        "delete it, or give the Exchange another name"
    )


def identity(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Those labels by which what belongs to one exchange is known."""
    return {key: value for key, value in labels.items() if key in _IDENTITY}


def is_made_by_exchange(live: Manifest) -> bool:
    """Whether an Exchange owns it, and not a controller that made it from what we wrote."""
    return _controller(live).get("kind") == KIND


def is_going(live: Manifest) -> bool:
    """Whether it has been deleted and something still holds it."""
    return "deletionTimestamp" in live["metadata"]


def _labels(live: Manifest) -> Mapping[str, str]:
    return dict(live["metadata"].get("labels") or {})


def _controller(live: Manifest) -> Mapping[str, Any]:
    for owner in live["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return {}
