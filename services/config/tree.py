"""Settings as they were written, each with its place: a YAML file's tree, with the environment's values put in."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from services.domain.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "EXCHANGE_"
MAX_FILE_BYTES: Final = 4 * 2**20
MAX_DEPTH: Final = 20


class Item(NamedTuple):
    """A value and where it was written.

    value: dict[str, Item], list[Item], or a scalar as YAML reads it (None: nothing).
    place: such as exchange.yaml:12. written: a scalar's own characters.
    environment: from there, where every value is text and names have no capitals.
    """

    value: Any
    place: str
    written: str = ""
    environment: bool = False


def read_file(path: Path) -> Item:
    """The settings in a YAML file. Raises ConfigError when it cannot be read, is no YAML or has a key twice."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return _parse(text, str(path), lines=True)


def put_environment(tree: Item, environment: Mapping[str, str]) -> Item:
    """Put EXCHANGE_SECTION__KEY values over the tree's.

    A double underscore separates keys, a single one words: EXCHANGE_JOURNAL__SNAPSHOT_INTERVAL=30s is
    `journal.snapshotInterval`. Lists are written as YAML. Names without a double underscore are left alone:
    Kubernetes sets such for every Service.
    """
    for name in sorted(environment):
        parts = name.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if name.startswith(ENVIRONMENT_PREFIX) and len(parts) > 1 and all(parts):
            place = f"environment {name}"
            value = _parse(environment[name], place, lines=False)
            path = [part.replace("_", "").lower() for part in parts]
            tree = put(tree, path, value._replace(written=environment[name], environment=True))
    return tree


def put(tree: Item, path: list[str], item: Item) -> Item:
    """The tree with `item` at `path`. Keys match without regard to case, so that SNAPSHOTINTERVAL finds its place."""
    members: dict[str, Item] = dict(tree.value) if isinstance(tree.value, dict) else {}
    key = next((known for known in members if known.lower() == path[0].lower()), path[0])
    below = members.get(key, Item({}, item.place, environment=item.environment))
    members[key] = put(below, path[1:], item) if len(path) > 1 else item
    return Item(members, tree.place, environment=tree.environment)


def _parse(text: str, place: str, *, lines: bool) -> Item:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return Item({}, place) if node is None else _Composer(place, lines=lines).item(node, 0, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place}:{mark.line + 1}" if lines and mark else place
        raise ConfigError(f"{where}: is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{place}: is not YAML: {reason}") from error
    except RecursionError as error:
        raise ConfigError(f"{place}: is nested too deeply") from error


class _Composer:
    """Turns YAML nodes into items, with their lines."""

    def __init__(self, place: str, *, lines: bool) -> None:
        self._place = place
        self._lines = lines
        self._scalars = yaml.SafeLoader("")

    def item(self, node: yaml.Node, depth: int, where: yaml.Node) -> Item:
        """`where` is the node whose line names the item: a member's key."""
        place = self._at(where)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{place}: is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return Item(self._members(node, depth), place)
        if isinstance(node, yaml.SequenceNode):
            return Item([self.item(child, depth + 1, child) for child in node.value], place)
        return Item(self._scalar(node, place), place, str(node.value))

    def _members(self, node: yaml.MappingNode, depth: int) -> dict[str, Item]:
        members: dict[str, Item] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in members:
                first = members[name].place.rpartition(":")[2]
                before = f", first in line {first}" if self._lines else ""
                raise ConfigError(f"{self._at(key)}: key `{name}` is there twice{before}")
            members[name] = self.item(value, depth + 1, key)
        return members

    def _scalar(self, node: yaml.Node, place: str) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            written = re.sub(r"\s+", " ", str(node.value))[:40]
            raise ConfigError(f"{place}: {written!r} is no value that can be read; put it in quotes") from error

    def _at(self, node: yaml.Node) -> str:
        return f"{self._place}:{node.start_mark.line + 1}" if self._lines else self._place
