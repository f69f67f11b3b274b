"""Where settings come from, in their order, and the checks that need more than one key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.config.read import Reader
from services.config.settings import Settings
from services.config.tree import Item, put, put_environment, read_file
from services.domain.errors import ConfigError, FormatError
from services.domain.instruments import Asset, build_symbol, check_asset


def load_settings(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    command_line: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings of one exchange.

    command_line: dotted key -> value, such as {"server.port": 8080}; None values are left out.
    Raises ConfigError; its message has one line for each mistake.
    """
    tree = Item({}, "settings") if path is None else read_file(path)
    tree = put_environment(tree, environment or {})
    for key, value in (command_line or {}).items():
        if value is not None:
            tree = put(tree, key.split("."), Item(value, f"command line {_option(key)}"))
    reader = Reader()
    settings = reader.struct(Settings, tree)
    mistakes = list(reader.mistakes)
    if settings is not None:
        mistakes += _check_assets(settings, tree) or _check_symbols(settings, tree)
        mistakes += _check_replicas(settings, tree) + _check_addresses(settings, tree)
    if settings is None or mistakes:
        raise ConfigError("\n".join(mistakes))
    return settings


def _option(key: str) -> str:
    """The command line's name of a key: `server.port` is --port there, `internal.port` --internal-port."""
    return "--" + key.removeprefix("server.").replace(".", "-")


def _check_addresses(settings: Settings, tree: Item) -> list[str]:
    mistakes = []
    for section, cores in (("ubscore", settings.ubscore), ("matcher", settings.matcher)):
        if cores.addresses and (len(cores.addresses) != cores.shards or not all(cores.addresses)):
            place = _place(tree, section, "addresses")
            wants = f"wants a list of URLs for each of the {cores.shards} shards"
            mistakes.append(f"{place}: key `{section}.addresses`: {wants}, got {len(cores.addresses)} lists")
    return mistakes


def _check_replicas(settings: Settings, tree: Item) -> list[str]:
    broker = settings.broker
    if broker.insync_replicas <= broker.replication:
        return []
    place = _place(tree, "broker", "minInsyncReplicas")
    return [f"{place}: key `broker.minInsyncReplicas`: wants at most {broker.replication}, the replication"]


def _place(tree: Item, section: str, key: str) -> str:
    """Where a key of a section was written. Names from the environment have no capitals."""
    members: dict[str, Item] = tree.value[section].value
    return next(item.place for name, item in members.items() if name.lower() == key.lower())


def _check_assets(settings: Settings, tree: Item) -> list[str]:
    mistakes = []
    names: set[str] = set()
    for index, entry in enumerate(settings.assets):
        try:
            if entry.name in names:
                raise FormatError(f"asset {entry.name} is there twice")
            check_asset(entry.asset())
        except FormatError as error:
            mistakes.append(_sentence(tree, "assets", index, "name", str(error)))
        names.add(entry.name)
    return mistakes


def _check_symbols(settings: Settings, tree: Item) -> list[str]:
    mistakes = []
    matcher_shards = settings.matcher.shards
    assets = {entry.name: entry.asset() for entry in settings.assets}
    names: set[str] = set()
    for index, entry in enumerate(settings.symbols):
        key, error = "name", ""
        if entry.name in names:
            error = f"symbol {entry.name} is there twice"
        elif entry.matcher_shard >= matcher_shards:
            key, error = "matcherShard", f"wants less than {matcher_shards}, the number of matcher shards"
        elif entry.base not in assets:
            key, error = "base", f"wants one of the assets ({', '.join(assets) or 'there are none'})"
        elif entry.quote not in assets:
            key, error = "quote", f"wants one of the assets ({', '.join(assets)})"
        else:
            error = _build(entry.settings(), assets)
        if error:
            mistakes.append(_sentence(tree, "symbols", index, key, error))
        names.add(entry.name)
    return mistakes


def _build(settings: Any, assets: dict[str, Asset]) -> str:
    try:
        build_symbol(settings, assets[settings.base], assets[settings.quote])
    except FormatError as error:
        return str(error)
    return ""


def _sentence(tree: Item, section: str, index: int, key: str, error: str) -> str:
    entry = tree.value[section].value[index]
    item = entry.value.get(key, entry)
    return f"{item.place}: key `{section}[{index}].{key}`: {error}"
