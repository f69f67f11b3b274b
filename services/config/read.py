"""From a tree of written settings to a settings struct, collecting every mistake on the way."""

from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import msgspec

from services.config.kinds import Kind
from services.config.tree import Item

S = TypeVar("S", bound=msgspec.Struct)


class Reader:
    """Reads structs; `mistakes` are sentences, in the order of the fields."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def struct(self, kind: type[S], item: Item, path: str = "") -> S | None:
        """The struct that `item` holds; None when there were mistakes in it."""
        if not isinstance(item.value, dict | None):
            self._refuse(item, path, "keys and values")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        members = self._members(item, path, fields)
        values: dict[str, Any] = {}
        before = len(self.mistakes)
        for key, field in fields.items():
            # A key with nothing behind it, `server:`, is as if it were not there.
            if key in members and members[key].value is not None:
                values[field.name] = self._value(field.type, members[key], f"{path}{key}")
            elif field.required:
                self.mistakes.append(f"{item.place}: key `{path}{key}` is missing: wants {_wants(field.type)}")
        return kind(**values) if len(self.mistakes) == before else None

    def _members(self, item: Item, path: str, fields: dict[str, Any]) -> dict[str, Item]:
        members: dict[str, Item] = {}
        by_lower = {key.lower(): key for key in fields}
        for key, member in (item.value or {}).items():
            # Names from the environment have lost their capitals; in a file they must be right.
            known = key if key in fields else by_lower.get(key) if member.environment else None
            if known is None:
                self.mistakes.append(f"{member.place}: key `{path}{key}` is unknown: {_suggest(key, list(fields))}")
            else:
                members[known] = member
        return members

    def _value(self, kind: Any, item: Item, path: str) -> Any:
        if get_origin(kind) is Annotated:
            return self._scalar(kind.__metadata__[0], item, path)
        if get_origin(kind) is list:
            return self._list(get_args(kind)[0], item, path)
        return self.struct(cast(type[msgspec.Struct], kind), item, f"{path}.")

    def _scalar(self, kind: Kind, item: Item, path: str) -> Any:
        try:
            return kind.parse(item.written if item.environment else item.value)
        except ValueError:
            self._refuse(item, path, kind.wants, shown="something else" if kind.secret else "")
            return None

    def _list(self, kind: Any, item: Item, path: str) -> list[Any]:
        if not isinstance(item.value, list):
            self._refuse(item, path, "a list")
            return []
        return [self._value(kind, member, f"{path}[{index}]") for index, member in enumerate(item.value)]

    def _refuse(self, item: Item, path: str, wants: str, shown: str = "") -> None:
        key = f"key `{path.rstrip('.')}`: " if path else ""
        self.mistakes.append(f"{item.place}: {key}wants {wants}, got {shown or _show(item)}")


def _wants(kind: Any) -> str:
    return cast(Kind, kind.__metadata__[0]).wants


def _suggest(key: str, known: list[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(key.lower().replace("_", ""), by_lower, n=1, cutoff=0.6)
    return f"did you mean `{by_lower[close[0]]}`?" if close else f"there are {', '.join(sorted(known))}"


def _show(item: Item) -> str:
    """What stands there, in words; a text in quotes, so that the number 3 and the text "3" look different."""
    if item.value is None:
        return "nothing"
    if isinstance(item.value, dict | list):
        return "a list" if isinstance(item.value, list) else "keys and values"
    written = item.written or str(item.value)
    short = written[:40] + ("…" if len(written) > 40 else "")
    return f'the text "{short}"' if isinstance(item.value, str) else short
