"""Which events a new status is worth: those that a person wants to find beside the resource. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple


class Announcement(NamedTuple):
    """An event: its kind, its reason in one word, and its message."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


def announcements(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Announcement]:
    """What has changed from one status to the next: each step of a roll, what breaks, and what is well again."""
    old, new = _by_type(before), _by_type(after)
    if (degraded := new.get("Degraded", {})).get("status") == "True":
        if _differs(old, new, "Degraded"):
            yield Announcement("Warning", degraded["reason"], degraded["message"])
    elif old.get("Degraded", {}).get("status") == "True":
        yield Announcement("Normal", "Recovered", "what was wrong is well again")
    if (ready := new.get("Ready", {})).get("status") != old.get("Ready", {}).get("status"):
        if ready.get("status") == "True":
            yield Announcement("Normal", ready["reason"], ready["message"])
        elif "Ready" in old:
            yield Announcement("Warning", ready["reason"], ready["message"])
    if (progressing := new.get("Progressing", {})) and _step(progressing) != _step(old.get("Progressing", {})):
        yield Announcement("Normal", progressing["reason"], progressing["message"])


def _by_type(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {one["type"]: one for one in status.get("conditions") or ()}


def _differs(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]], kind: str) -> bool:
    return any(old.get(kind, {}).get(field) != new[kind][field] for field in ("status", "reason"))


def _step(progressing: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a person would call one step: the reason, and the stage, which is in front of the message's colon."""
    stage, colon, _ = progressing.get("message", "").partition(":")
    return progressing.get("reason"), stage if colon else ""
