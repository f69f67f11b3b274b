"""What to tell an exchange's gateway so that its assets and symbols are those of the resource. Pure.

Of what the resource names, it has the last word: whoever halts such a symbol through the API halts it until the next
pass, so halt it in the resource, or pause the resource. A symbol that the resource named once and names no longer is
halted. Nothing is ever removed, as there are balances and orders of it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from exchange_operator.resource import Asset, Exchange, Symbol

_MICROS: Final = 10**6
_FIXED: Final = {"tick_size": "tickSize", "lot_size": "lotSize", "matcher_shard": "matcherShard"}
"""What can never change of a symbol, as the gateway and the resource call it."""
_BODY: Final = (
    "tick_size",
    "lot_size",
    "min_notional",
    "maker_fee_micros",
    "taker_fee_micros",
    "band_micros",
    "matcher_shard",
    "status",
)
"""What the gateway is told of a symbol."""
_DECIMALS: Final = frozenset({"tick_size", "lot_size", "min_notional"})


class Call(NamedTuple):
    """One PUT to the gateway. Doing it again changes nothing."""

    path: str
    body: Mapping[str, Any]


class SymbolsPlan(NamedTuple):
    """calls: in this order. problems: what can never become as wanted, in sentences that say what to do.

    known: name and status of each symbol that the resource names or named, as the exchange has it now.
    """

    calls: tuple[Call, ...]
    problems: tuple[str, ...]
    known: tuple[tuple[str, str], ...]


def plan_symbols(exchange: Exchange, found: Mapping[str, Any], declared: Collection[str]) -> SymbolsPlan:
    """What is to be declared or changed, assets first.

    found: as GET /api/symbols answers it, {"assets": [{"name", "scale"}], "symbols": [{"name", "tick_size", …}]}.
    declared: symbols that the resource named before; the others belong to whoever declared them.
    """
    assets = {one["name"]: one for one in found["assets"]}
    symbols = {one["name"]: one for one in found["symbols"]}
    ours = {symbol.name for symbol in exchange.spec.symbols} | set(declared)
    steps = [
        *(_asset(asset, assets.get(asset.name)) for asset in exchange.spec.assets),
        *(_symbol(symbol, symbols.get(symbol.name)) for symbol in exchange.spec.symbols),
        *_left_out(exchange, [one for name, one in sorted(symbols.items()) if name in ours]),
    ]
    return SymbolsPlan(
        tuple(step for step in steps if isinstance(step, Call)),
        tuple(step for step in steps if isinstance(step, str)),
        tuple((name, one["status"]) for name, one in sorted(symbols.items()) if name in ours),
    )


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
    if wanted.name != f"{wanted.base}_{wanted.quote}":
        return f"symbol {wanted.name} must be named {wanted.base}_{wanted.quote}, after its base and quote"
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


def _left_out(exchange: Exchange, ours: Sequence[Mapping[str, Any]]) -> Iterator[Call]:
    """Halt what the resource no longer names."""
    named = {symbol.name for symbol in exchange.spec.symbols}
    for one in ours:
        if one["name"] not in named and one["status"] != "Halted":
            body = {key: one[key] for key in _BODY} | {"status": "Halted"}
            yield Call(f"/api/admin/symbols/{one['name']}", body)


def _body(symbol: Symbol) -> dict[str, Any]:
    values = (
        symbol.tick_size,
        symbol.lot_size,
        symbol.min_notional,
        _micros(symbol.maker_fee),
        _micros(symbol.taker_fee),
        _micros(symbol.band),
        symbol.matcher_shard,
        symbol.status,
    )
    return dict(zip(_BODY, values, strict=True))


def _micros(share: str) -> int:
    return int(Decimal(share) * _MICROS)


def _same(key: str, one: Any, other: Any) -> bool:
    """Decimals by their value: "0.010" is "0.01"."""
    return Decimal(one) == Decimal(other) if key in _DECIMALS else bool(one == other)
