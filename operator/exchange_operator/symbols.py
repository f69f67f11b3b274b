"""What to tell an exchange's gateway so that its assets and symbols are those of the resource. Pure.

The resource has the last word: a symbol that it does not name is halted, whoever declared it. Nothing is ever removed,
as there are balances and orders of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from exchange_operator.resource import Asset, Exchange, Symbol

_MICROS: Final = 10**6
_FIXED: Final = {"tick_size": "tickSize", "lot_size": "lotSize", "matcher_shard": "matcherShard"}
"""What can never change of a symbol, as the gateway and the resource call it."""
_DECIMALS: Final = frozenset({"tick_size", "lot_size", "min_notional"})


class Call(NamedTuple):
    """One PUT to the gateway. Doing it again changes nothing."""

    path: str
    body: Mapping[str, Any]


class SymbolsPlan(NamedTuple):
    """calls: in this order. problems: what can never become as wanted, in sentences that say what to do."""

    calls: tuple[Call, ...]
    problems: tuple[str, ...]


def plan_symbols(exchange: Exchange, found: Mapping[str, Any]) -> SymbolsPlan:
    """What is to be declared or changed.

    found: as GET /api/symbols answers it, {"assets": [{"name", "scale"}], "symbols": [{"name", "tick_size", …}]}.
    """
    assets = {one["name"]: one for one in found["assets"]}
    symbols = {one["name"]: one for one in found["symbols"]}
    steps = [
        *(_asset(asset, assets.get(asset.name)) for asset in exchange.spec.assets),
        *(_symbol(symbol, symbols.get(symbol.name)) for symbol in exchange.spec.symbols),
        *_left_out(exchange.spec.symbols, symbols),
    ]
    calls = tuple(step for step in steps if isinstance(step, Call))
    return SymbolsPlan(calls, tuple(step for step in steps if isinstance(step, str)))


def _asset(wanted: Asset, there: Mapping[str, Any] | None) -> Call | str | None:
    if there is None:
        return Call(f"/api/admin/assets/{wanted.name}", {"scale": wanted.scale})
    if there["scale"] != wanted.scale:
        return (
            f"asset {wanted.name} has scale {there['scale']}, which can never change: "
            f"set its scale to {there['scale']}, not {wanted.scale}"
        )
    return None


def _symbol(wanted: Symbol, there: Mapping[str, Any] | None) -> Call | str | None:
    body = _body(wanted)
    if there is not None:
        for key, name in _FIXED.items():
            if not _same(key, body[key], there[key]):
                return (
                    f"symbol {wanted.name} has {name} {there[key]}, which can never change: "
                    f"set its {name} to {there[key]}, not {body[key]}"
                )
        if all(_same(key, value, there[key]) for key, value in body.items()):
            return None
    return Call(f"/api/admin/symbols/{wanted.name}", body)


def _left_out(wanted: Sequence[Symbol], there: Mapping[str, Mapping[str, Any]]) -> Iterator[Call]:
    named = {symbol.name for symbol in wanted}
    for name, one in sorted(there.items()):
        if name not in named and one["status"] != "Halted":
            kept = {key: value for key, value in one.items() if key not in ("name", "base", "quote")}
            yield Call(f"/api/admin/symbols/{name}", kept | {"status": "Halted"})


def _body(symbol: Symbol) -> dict[str, Any]:
    return {
        "tick_size": symbol.tick_size,
        "lot_size": symbol.lot_size,
        "min_notional": symbol.min_notional,
        "maker_fee_micros": _micros(symbol.maker_fee),
        "taker_fee_micros": _micros(symbol.taker_fee),
        "band_micros": _micros(symbol.band),
        "matcher_shard": symbol.matcher_shard,
        "status": symbol.status,
    }


def _micros(share: str) -> int:
    return int(Decimal(share) * _MICROS)


def _same(key: str, one: Any, other: Any) -> bool:
    """Decimals by their value: "0.010" is "0.01"."""
    return Decimal(one) == Decimal(other) if key in _DECIMALS else bool(one == other)
