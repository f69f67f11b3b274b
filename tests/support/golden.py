"""Golden bytes of every message, under schema/messages: what was once on a log must decode for ever.

    python -m tests.support.golden --write

writes what is missing: the golden file of a new message; a further one (Name-2.json) of a message that has got new
fields at its end; the JSON schemas. A golden file that exists is never written again, and SHA256SUMS guards it. When
old bytes do not decode any more, nothing is written: a new meaning is a new tag.
"""

import hashlib
import json
import sys
from enum import IntEnum
from itertools import count
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from services.cli.log_lines import view
from services.domain.messages import Event, Frame, MatchBody, MatchResult, Operation, OrderCommand
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS

FOLDER: Final = Path(__file__).parents[2] / "schema" / "messages"
SUMS: Final = FOLDER / "SHA256SUMS"

UNIONS: Final[dict[str, Any]] = {
    BALANCE_OPERATIONS: Operation,
    BALANCE_EVENTS: Event,
    ORDERS: OrderCommand,
    ENGINE_OUTPUTS: MatchResult,
}
"""What a frame of each topic holds."""


class Golden(msgspec.Struct):
    """One golden file."""

    topic: str
    message: str
    tag: int | None
    hex: str
    decoded: dict[str, Any]

    def decode(self) -> Any:
        """The message in the bytes. Raises msgspec.DecodeError when it cannot be read any more."""
        return msgspec.msgpack.decode(bytes.fromhex(self.hex), type=decoded_as(self.topic, self.message))


def messages() -> dict[str, tuple[str, type[msgspec.Struct]]]:
    """Every message by name, with its topic."""
    known = {kind.__name__: (topic, kind) for topic, union in UNIONS.items() for kind in get_args(union) or (union,)}
    known[MatchBody.__name__] = (ENGINE_OUTPUTS, MatchBody)
    known[Frame.__name__] = (ORDERS, Frame)
    return known


def decoded_as(topic: str, message: str) -> Any:
    """What a reader of the topic decodes the message as: the union of all that it may find there."""
    return {"Frame": Frame[OrderCommand], "MatchBody": MatchBody}.get(message, UNIONS[topic])


def sample(kind: Any, numbers: Any = None, name: str = "") -> Any:
    """A value of a type with something in every field: rising numbers, the fields' names, the last word of enums."""
    numbers = numbers or count(1)
    if kind is Frame:
        return Frame(1, "ubscore-0", 7, [sample(member, numbers) for member in get_args(OrderCommand)])
    if get_origin(kind) in (Union, UnionType):
        kind = next(member for member in get_args(kind) if member is not NoneType)
    if get_origin(kind) is list:
        return [sample(get_args(kind)[0], numbers, name)]
    if kind is msgspec.Raw:
        return msgspec.Raw(msgspec.msgpack.encode(sample(MatchBody, numbers)))
    if issubclass(kind, msgspec.Struct):
        return kind(**{field.name: sample(field.type, numbers, field.name) for field in msgspec.structs.fields(kind)})
    if issubclass(kind, IntEnum):
        return list(kind)[-1]
    simple = {int: lambda: next(numbers), bool: lambda: True, str: lambda: name, bytes: lambda: name.encode()}
    return simple[kind]()


def golden(message: str) -> Golden:
    """The golden file that the message would have if it were new."""
    topic, kind = messages()[message]
    value = sample(kind)
    return Golden(topic, message, kind.__struct_config__.tag, msgspec.msgpack.encode(value).hex(), view(value))


def files(message: str = "") -> list[Path]:
    """The golden files of a message (of all), oldest first."""
    found = [path for path in FOLDER.glob("*.json") if not path.name.endswith(".schema.json")]
    wanted = [path for path in found if not message or path.stem.partition("-")[0] == message]
    return sorted(wanted, key=lambda path: (path.stem.partition("-")[0], int(path.stem.partition("-")[2] or 1)))


def load(path: Path) -> Golden:
    return msgspec.json.decode(path.read_bytes(), type=Golden)


def difference(old: Any, new: Any, path: str = "") -> str:
    """Where a decoded view differs from what it was; empty when only fields came along."""
    if isinstance(old, dict) and isinstance(new, dict):
        return next(filter(None, (difference(old[key], new.get(key), f"{path}.{key}") for key in old)), "")
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (difference(*pair, f"{path}[{index}]") for index, pair in pairs)), "")
    return "" if old == new else f"{path.lstrip('.')} was {old!r}, is {new!r}"


def broken() -> list[str]:
    """What is wrong with the golden files that exist, as sentences."""
    sentences = []
    for path in files():
        old = load(path)
        try:
            found = difference(old.decoded, view(old.decode()))
        except (msgspec.DecodeError, KeyError) as error:
            found = f"does not decode any more: {error}"
        if found:
            sentences.append(f"{path.name}: {found}; a message never changes, make one with a new tag")
    return sentences


def schema(topic: str) -> dict[str, Any]:
    """The JSON schema of a topic's messages: arrays (msgpack on the log), whose items are named by `title`."""
    definitions: dict[str, Any] = {}
    kinds = [kind for at, kind in messages().values() if at == topic and kind is not Frame]
    references = [_schema_of(kind, definitions) for kind in kinds]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic,
        "anyOf": references,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if get_origin(kind) in (Union, UnionType):
        members = get_args(kind)
        return {"anyOf": [{"type": "null"} if one is NoneType else _schema_of(one, definitions) for one in members]}
    if get_origin(kind) is list:
        return {"type": "array", "items": _schema_of(get_args(kind)[0], definitions)}
    if kind is msgspec.Raw:
        return _schema_of(MatchBody, definitions)
    if issubclass(kind, IntEnum):
        words = ", ".join(f"{member.value} {member.name}" for member in kind)
        return {"enum": [member.value for member in kind], "description": words}
    if not issubclass(kind, msgspec.Struct):
        names = {int: "integer", bool: "boolean", str: "string", bytes: "string"}
        return {"type": names[kind], **({"contentEncoding": "binary"} if kind is bytes else {})}
    definitions.setdefault(kind.__name__, None)
    if definitions[kind.__name__] is None:
        definitions[kind.__name__] = _struct_schema(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _struct_schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    fields = msgspec.structs.fields(kind)
    tag = kind.__struct_config__.tag
    items = [] if tag is None else [{"title": "tag", "const": tag}]
    items += [{"title": field.name, **_schema_of(field.type, definitions)} for field in fields]
    required = len(items) - sum(not field.required for field in fields)
    # A reader takes arrays of later versions too, whose further items it does not know.
    return {"type": "array", "prefixItems": items, "minItems": required}


def schema_bytes(topic: str) -> bytes:
    return json.dumps(schema(topic), indent=1).encode() + b"\n"


def schema_path(topic: str) -> Path:
    return FOLDER / f"{topic}.schema.json"


def sums() -> dict[str, str]:
    """Golden file name -> SHA-256 in hex, as SHA256SUMS says."""
    if not SUMS.exists():
        return {}
    return {line.split()[1]: line.split()[0] for line in SUMS.read_text().splitlines()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write() -> None:
    """See the module. Raises SystemExit with a sentence when an existing golden file is broken or was changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    known = sums()
    changed = [f"{name} was changed or removed" for name in known if not _is_as_known(FOLDER / name, known[name])]
    if wrong := changed + broken():
        sys.exit("\n".join(wrong))
    for message in messages():
        now, present = golden(message), files(message)
        if not present or load(present[-1]).hex != now.hex:
            path = FOLDER / (f"{message}-{len(present) + 1}.json" if present else f"{message}.json")
            path.write_text(json.dumps(msgspec.to_builtins(now), indent=1) + "\n")
            print(f"wrote {path.name}")
    for topic in UNIONS:
        schema_path(topic).write_bytes(schema_bytes(topic))
    SUMS.write_text("".join(f"{digest(path)}  {path.name}\n" for path in files()))


def _is_as_known(path: Path, known: str) -> bool:
    return path.exists() and digest(path) == known


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
