"""What is traded on an exchange: assets and symbols, and the rules between them."""

from typing import Annotated, Final

from msgspec import Meta

from exchange_operator.resource_values import (
    MAX_SHARDS,
    Amount,
    AssetName,
    Fee,
    Json,
    Part,
    Rate,
    Rule,
    Status,
    Step,
    SymbolName,
    constant,
)
from services.domain.instruments import MAX_SCALE

MAX_SYMBOLS: Final = 500
MAX_ASSETS: Final = 100


class Asset(Part, frozen=True):
    """Something that users have balances of."""

    name: Annotated[AssetName, Meta(description="Its name, such as BTC.")]
    scale: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SCALE,
            description="Decimals of the smallest unit: 8 makes it 0.00000001. It can never change.",
            extra_json_schema=constant(
                "scale of an asset", "balances are counted in it; set it to what it was, or declare another asset"
            ),
        ),
    ]


def _fixed_of_symbol(what: str) -> Json:
    return constant(f"{what} of a symbol", "its orders are counted in it; set it to what it was")


class Symbol(Part, frozen=True):
    """Two assets that are traded for each other. Changes take effect within seconds, without a restart."""

    RULES = (
        Rule(
            "self.name == self.base + '_' + self.quote",
            "must be BASE_QUOTE of its base and quote; to trade other assets, add another symbol",
            field_path=".name",
        ),
        Rule("self.base != self.quote", "must be another asset than base: correct one of them", field_path=".quote"),
    )

    name: Annotated[SymbolName, Meta(description="Its name, which is BASE_QUOTE, such as BTC_USDT.")]
    base: Annotated[AssetName, Meta(description="What is bought and sold; one of spec.assets. It can never change.")]
    quote: Annotated[AssetName, Meta(description="What is paid with; one of spec.assets. It can never change.")]
    tick_size: Annotated[
        Step,
        Meta(
            description='Step of prices, in quote, such as "0.01". It can never change.',
            extra_json_schema=_fixed_of_symbol("tickSize"),
        ),
    ]
    lot_size: Annotated[
        Step,
        Meta(
            description='Step of quantities, in base, such as "0.00001". It can never change.',
            extra_json_schema=_fixed_of_symbol("lotSize"),
        ),
    ]
    min_notional: Annotated[Amount, Meta(description='Smallest price × quantity of an order, in quote, such as "5".')]
    maker_fee: Annotated[
        Fee, Meta(description='Share of what the resting order receives that is the exchange\'s, such as "0.001".')
    ]
    taker_fee: Annotated[
        Fee, Meta(description='Share of what the incoming order receives that is the exchange\'s, such as "0.001".')
    ]
    band: Annotated[
        Rate,
        Meta(description='How far a price may be from the last trade\'s: "0.1" for 10 %; "0" for any distance.'),
    ] = "0"
    matcher_shard: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SHARDS - 1,
            description="Which shard of the matcher has its book, from 0. It can never change.",
            extra_json_schema=constant("matcherShard of a symbol", "its book is there; set it to what it was"),
        ),
    ] = 0
    status: Annotated[
        Status,
        Meta(
            description="Trading: orders are placed and matched. "
            "CancelOnly: orders can be cancelled, and none placed. Halted: neither."
        ),
    ] = "Trading"


def _declared(side: str) -> Rule:
    is_there = f"self.assets.exists(a, a.name == s.{side})"
    return _between(
        f"sets.contains(self.assets.map(a, a.name), self.symbols.map(s, s.{side}))",
        _first_wrong(is_there),
        f"{side} must be one of spec.assets: declare it there, or correct the symbol",
    )


def _within_scale_of(side: str, wrong: str, message: str) -> Rule:
    """A rule about the scale of one of a symbol's assets. wrong: CEL that says so of symbol `s` and `scale`.

    Looking up the asset of every symbol would take the API server seconds. So for each scale there is: the assets that
    have it, and the symbols for which it would be wrong, must be strangers to each other.
    """
    used = "self.assets.exists(a, a.scale == scale)"
    having = "self.assets.filter(a, a.scale == scale).map(a, a.name)"
    wanting = f"self.symbols.filter(s, {wrong}).map(s, s.{side})"
    found = f"self.assets.filter(a, a.name == s.{side}).map(a, a.scale)"
    scales = ", ".join(str(scale) for scale in range(MAX_SCALE + 1))
    return _between(
        f"[{scales}].all(scale, !({used} && sets.intersects({having}, {wanting})))",
        # CEL binds no names but in the macros of a list, so a list of one scale it is.
        _first_wrong(f"!self.assets.exists(a, a.name == s.{side}) || ![{found}.sum()].exists(scale, {wrong})"),
        message,
    )


def _between(holds: str, wrong: str, message: str) -> Rule:
    """A rule between symbols and other things. wrong: CEL, which symbol's name the sentence begins with."""
    return Rule(
        f"!has(self.symbols) || {holds}",
        message,
        field_path=".symbols",
        message_expression=f"{wrong} + ': {message}'",
    )


def _first_wrong(holds: str) -> str:
    # The cost of the sentence is bounded only when the name is read from the list itself, by its position.
    return f"self.symbols[self.symbols.map(s, {holds}).indexOf(false)].name"


def _decimals(text: str) -> str:
    return f"({text}.contains('.') ? size({text}) - {text}.indexOf('.') - 1 : 0)"


_TICK, _LOT, _MIN_NOTIONAL = _decimals("s.tickSize"), _decimals("s.lotSize"), _decimals("s.minNotional")
# A price times a quantity must be a whole number of the quote asset's smallest units. With few decimals it is. With
# more of them, the product of the two steps may still be (0.5 × 0.2): that is computed when it fits 64 bits.
_STEPS_TOO_SMALL: Final = (
    f"({_TICK} + {_LOT} > scale && (size(s.tickSize) + size(s.lotSize) > 19"
    " || int(s.tickSize.replace('.', '')) * int(s.lotSize.replace('.', ''))"
    f" % int('1000000000000000000'.substring(0, 1 + {_TICK} + {_LOT} - scale)) != 0))"
)
_SHARD_IS_THERE: Final = "s.matcherShard < self.matcher.shards"

MARKET_RULES: Final = (
    _declared("base"),
    _declared("quote"),
    _between(
        f"self.symbols.all(s, {_SHARD_IS_THERE})",
        _first_wrong(_SHARD_IS_THERE),
        "matcherShard must be below spec.matcher.shards: shards count from 0",
    ),
    _within_scale_of(
        "base",
        f"{_LOT} > scale",
        "lotSize must have no more decimals than the scale of its base: leave out zeros at its end, "
        "or take a larger lotSize",
    ),
    _within_scale_of(
        "quote",
        f"{_MIN_NOTIONAL} > scale",
        "minNotional must have no more decimals than the scale of its quote: leave out zeros at its end, "
        "or take a larger minNotional",
    ),
    _within_scale_of(
        "quote",
        _STEPS_TOO_SMALL,
        "tickSize × lotSize must be a whole number of the smallest unit of its quote: "
        "take a larger tickSize or lotSize",
    ),
)
"""Of the whole spec."""
