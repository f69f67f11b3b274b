"""What a gateway is told so that its assets and symbols are those of the resource."""

from typing import Any, Final

import msgspec
import pytest
from exchange_operator.resource import Exchange
from exchange_operator.symbols import Call, plan_symbols
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.answers import InstrumentsAnswer
from services.gateway.bodies import AssetBody, SymbolBody
from tests.operator.manifest_examples import BTC_USDT, exchange_of, smallest

BTC, USDT = {"name": "BTC", "scale": 8}, {"name": "USDT", "scale": 6}
SYMBOL: Final[dict[str, Any]] = BTC_USDT | {"takerFee": "0.002", "band": "0.1"}
FOUND: Final[dict[str, Any]] = {
    "name": "BTC_USDT",
    "base": "BTC",
    "quote": "USDT",
    "tick_size": "0.01",
    "lot_size": "0.00001",
    "min_notional": "5",
    "maker_fee_micros": 1000,
    "taker_fee_micros": 2000,
    "band_micros": 100_000,
    "matcher_shard": 0,
    "status": "Trading",
}
BODY: Final = {key: value for key, value in FOUND.items() if key not in ("name", "base", "quote")}
PATH: Final = "/api/admin/symbols/BTC_USDT"


def asked(symbols: list[dict[str, Any]], assets: list[dict[str, Any]] | None = None) -> Exchange:
    return exchange_of(smallest() | {"assets": [BTC, USDT] if assets is None else assets, "symbols": symbols})


def found(*symbols: dict[str, Any], assets: tuple[dict[str, Any], ...] = (BTC, USDT)) -> dict[str, Any]:
    return {"assets": list(assets), "symbols": list(symbols)}


def test_an_empty_exchange_is_told_assets_before_symbols() -> None:
    planned = plan_symbols(asked([SYMBOL]), found(assets=()), ())
    assert planned.calls == (
        Call("/api/admin/assets/BTC", {"scale": 8}),
        Call("/api/admin/assets/USDT", {"scale": 6}),
        Call(PATH, BODY),
    )
    assert (planned.problems, planned.known) == ((), ())


def test_what_is_told_is_what_the_gateway_reads() -> None:
    assets, _, symbol = plan_symbols(asked([SYMBOL]), found(assets=()), ()).calls
    assert msgspec.convert(assets.body, AssetBody).scale == 8
    assert msgspec.convert(symbol.body, SymbolBody).maker_fee_micros == 1000
    answer = msgspec.convert(found(FOUND), InstrumentsAnswer)
    assert plan_symbols(asked([SYMBOL]), msgspec.to_builtins(answer), ()).calls == ()


def test_what_is_as_wanted_is_left_alone() -> None:
    planned = plan_symbols(asked([SYMBOL]), found(FOUND), ())
    assert planned == ((), (), (("BTC_USDT", "Trading"),))


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        ({"tickSize": "0.010"}, {}),
        ({"minNotional": "5.00"}, {}),
        ({}, {"min_notional": "5.0", "lot_size": "0.0000100"}),
        ({"makerFee": "0.001000"}, {}),
    ],
)
def test_decimals_are_compared_by_value(wanted: dict[str, Any], there: dict[str, Any]) -> None:
    assert plan_symbols(asked([SYMBOL | wanted]), found(FOUND | there), ()).calls == ()


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"status": "Halted"}, {"status": "Halted"}),
        ({"status": "CancelOnly"}, {"status": "CancelOnly"}),
        ({"makerFee": "0"}, {"maker_fee_micros": 0}),
        ({"takerFee": "0.000001"}, {"taker_fee_micros": 1}),
        ({"minNotional": "10"}, {"min_notional": "10"}),
        ({"band": "1"}, {"band_micros": 1_000_000}),
    ],
)
def test_what_differs_is_told_with_everything_else(wanted: dict[str, Any], told: dict[str, Any]) -> None:
    assert plan_symbols(asked([SYMBOL | wanted]), found(FOUND), ()).calls == (Call(PATH, BODY | told),)


def test_what_somebody_changed_through_the_api_is_changed_back() -> None:
    assert plan_symbols(asked([SYMBOL]), found(FOUND | {"status": "Halted"}), ()).calls == (Call(PATH, BODY),)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            {"tickSize": "0.1"},
            "symbol BTC_USDT has tickSize 0.01, which can never change: set its tickSize to 0.01, not 0.1",
        ),
        (
            {"lotSize": "1"},
            "symbol BTC_USDT has lotSize 0.00001, which can never change: set its lotSize to 0.00001, not 1",
        ),
        (
            {"matcherShard": 1},
            "symbol BTC_USDT has matcherShard 0, which can never change: set its matcherShard to 0, not 1",
        ),
        ({"quote": "BTC"}, "symbol BTC_USDT must be named BTC_BTC, after its base and quote"),
    ],
)
def test_what_can_never_be_is_a_problem_and_no_call(wanted: dict[str, Any], sentence: str) -> None:
    planned = plan_symbols(asked([SYMBOL | wanted | {"status": "Halted"}]), found(FOUND), ())
    assert planned == ((), (sentence,), (("BTC_USDT", "Trading"),))


def test_an_asset_of_another_scale_is_a_problem_and_the_rest_goes_on() -> None:
    planned = plan_symbols(asked([SYMBOL | {"status": "Halted"}], [BTC | {"scale": 9}, USDT]), found(FOUND), ())
    assert planned.problems == ("asset BTC has scale 8, which can never change: set its scale to 8, not 9",)
    assert planned.calls == (Call(PATH, BODY | {"status": "Halted"}),)


def test_a_symbol_that_was_declared_and_left_the_resource_is_halted_once() -> None:
    planned = plan_symbols(asked([]), found(FOUND), {"BTC_USDT"})
    assert planned.calls == (Call(PATH, BODY | {"status": "Halted"}),)
    after = plan_symbols(asked([]), found(FOUND | {"status": "Halted"}), {"BTC_USDT"})
    assert after == ((), (), (("BTC_USDT", "Halted"),))


def test_a_symbol_of_others_is_left_alone_and_not_told_of() -> None:
    other = FOUND | {"name": "ETH_USDT", "base": "ETH"}
    assert plan_symbols(asked([SYMBOL]), found(FOUND, other), {"BTC_USDT"}) == ((), (), (("BTC_USDT", "Trading"),))


def test_a_symbol_comes_back_into_the_resource_and_trades_again() -> None:
    assert plan_symbols(asked([SYMBOL]), found(FOUND | {"status": "Halted"}), {"BTC_USDT"}).calls == (Call(PATH, BODY),)


def test_an_asset_that_left_the_resource_stays() -> None:
    assert plan_symbols(asked([], [BTC]), found(), ()) == ((), (), ())


_CHANGES = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["Trading", "Halted", "CancelOnly"]),
        "minNotional": st.sampled_from(["0", "5", "7.50"]),
        "makerFee": st.sampled_from(["0", "0.001", "0.1"]),
        "band": st.sampled_from(["0", "0.25", "1"]),
    }
)


@given(
    st.dictionaries(st.sampled_from(["A", "B", "C"]), _CHANGES),
    st.dictionaries(st.sampled_from(["A", "B", "C", "D"]), _CHANGES),
    st.sets(st.sampled_from(["A_USDT", "B_USDT", "D_USDT"])),
)
def test_once_all_was_told_nothing_is_left_to_tell(
    wanted: dict[str, Any], there: dict[str, Any], declared: set[str]
) -> None:
    bases = [{"name": name, "scale": 8} for name in ("A", "B", "C", "D")]
    exchange = asked([_symbol(base, change) for base, change in wanted.items()], [*bases, USDT])
    before = found(*_told_by(there), assets=())
    planned = plan_symbols(exchange, before, declared)
    symbols = {one["name"]: one for one in before["symbols"]}
    for call in planned.calls:
        name = call.path.rpartition("/")[2]
        if "assets" not in call.path:
            base, _, quote = name.partition("_")
            symbols[name] = {"name": name, "base": base, "quote": quote, **call.body}
    after = plan_symbols(exchange, {"assets": [*bases, USDT], "symbols": list(symbols.values())}, declared)
    assert (after.calls, after.problems) == ((), ())
    assert {name for name, _ in after.known} == {f"{one}_USDT" for one in wanted} | (declared & symbols.keys())
    untouched = symbols.keys() - {f"{one}_USDT" for one in wanted} - declared
    assert all(symbols[name] in before["symbols"] for name in untouched)


def _symbol(base: str, change: dict[str, Any]) -> dict[str, Any]:
    return SYMBOL | {"name": f"{base}_USDT", "base": base} | change


def _told_by(changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Symbols as they are after somebody else declared them."""
    other = asked([_symbol(base, change) for base, change in changes.items()], [USDT])
    calls = plan_symbols(other, found(), ()).calls
    made = ((call.path.rpartition("/")[2], call.body) for call in calls if "assets" not in call.path)
    return [{"name": name, "base": name[0], "quote": "USDT", **body} for name, body in made]
