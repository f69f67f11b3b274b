"""Assets and symbols: which settings can be, and that prices, quantities and notionals are exact."""

from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import FormatError
from services.domain.instruments import Asset, SymbolSettings, build_symbol, check_asset
from services.domain.money import MAX_AMOUNT

BTC, USDT = Asset("BTC", 8), Asset("USDT", 6)
PLAIN = SymbolSettings("BTC_USDT", "BTC", "USDT", "0.1", "0.001", "5", 1000, 2000)
SYMBOL = build_symbol(PLAIN, BTC, USDT)


def plain(**changes: Any) -> SymbolSettings:
    return msgspec.structs.replace(PLAIN, **changes)


def test_build_symbol_counts_steps_in_smallest_units() -> None:
    assert SYMBOL.name == "BTC_USDT"
    assert SYMBOL.base_units_per_lot == 100_000
    assert SYMBOL.quote_units_per_tick_lot == 100
    assert SYMBOL.min_notional_units == 5_000_000


@given(
    st.integers(0, 8), st.integers(0, 12), st.integers(1, 10**6), st.integers(-9, 3), st.integers(1, 999),
    st.integers(-9, 3), st.integers(1, 10**9), st.integers(1, 10**9),
)  # fmt: skip
def test_build_symbol_any_steps_are_refused_or_every_notional_is_exact(
    base_scale: int, quote_scale: int, tick: int, tick_power: int, lot: int, lot_power: int, price: int, quantity: int
) -> None:
    tick_size, lot_size = Fraction(tick) * Fraction(10) ** tick_power, Fraction(lot) * Fraction(10) ** lot_power
    base, quote = Asset("BTC", base_scale), Asset("USDT", quote_scale)
    settings = plain(tick_size=_text(tick_size), lot_size=_text(lot_size), min_notional="0")
    exact = (tick_size * lot_size * 10**quote_scale).denominator == 1 and (lot_size * 10**base_scale).denominator == 1
    if not exact:
        with pytest.raises(FormatError):
            build_symbol(settings, base, quote)
        return
    symbol = build_symbol(settings, base, quote)
    notional = (price * tick_size) * (quantity * lot_size)
    assert Fraction(symbol.notional_units(price, quantity), 10**quote_scale) == notional
    assert Fraction(symbol.base_units_per_lot, 10**base_scale) == lot_size
    assert Fraction(symbol.format_notional(price * quantity)) == notional


def _text(value: Fraction) -> str:
    whole, rest = divmod(value, 1)
    return f"{whole}.{int(rest * 10**9):09d}" if rest else str(whole)


@given(st.integers(0, MAX_AMOUNT // 10**6))
def test_price_and_quantity_texts_there_and_back_are_the_same_steps(steps: int) -> None:
    assert SYMBOL.parse_price(SYMBOL.format_price(steps)) == steps
    assert SYMBOL.parse_quantity(SYMBOL.format_quantity(steps)) == steps


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0.05", "multiple of the tick size 0.1"),
        ("0.10000000000000000001", "at most 18 decimals"),
        ("1e1", "plain decimal"),
        ("-1", "plain decimal"),
        ("", "plain decimal"),
        (".5", "plain decimal"),
        ("1.", "plain decimal"),
        ("1.5.5", "plain decimal"),
        ("1.+5", "plain decimal"),
        ("NaN", "plain decimal"),
        ("9223372036854775807", "too large"),
        ("99999999999999999999", "too large"),
    ],
)
def test_parse_price_what_is_no_multiple_of_the_tick_is_refused(text: str, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        SYMBOL.parse_price(text)


def test_parse_quantity_what_is_no_multiple_of_the_lot_is_refused() -> None:
    with pytest.raises(FormatError, match=r"multiple of the lot size 0\.001"):
        SYMBOL.parse_quantity("0.0015")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "BTCUSDT"}, "BASE_QUOTE"),
        ({"name": "ETH_USDT"}, "BASE_QUOTE"),
        ({"name": "BTC_BTC", "quote": "BTC"}, "two different assets"),
        ({"tick_size": "0"}, "tick size must be above 0"),
        ({"tick_size": "0.0"}, "tick size must be above 0"),
        ({"lot_size": "0"}, "lot size must be above 0"),
        ({"tick_size": ""}, "tick size '' must be a plain decimal"),
        ({"tick_size": "1."}, "tick size '1.' must be a plain decimal"),
        ({"tick_size": ".1"}, "tick size"),
        ({"tick_size": "-0.1"}, "tick size"),
        ({"tick_size": "1e-1"}, "tick size"),
        ({"tick_size": "0.1.1"}, "tick size"),
        ({"tick_size": "9" * 1000}, "tick size"),
        ({"lot_size": "abc"}, "lot size"),
        ({"lot_size": "0.000000001"}, "more decimals than BTC's scale 8"),
        ({"tick_size": "0.0001", "lot_size": "0.0001"}, "no whole number of USDT's smallest units"),
        ({"min_notional": "0.0000001"}, "minimum notional"),
        ({"min_notional": "-1"}, "minimum notional"),
        ({"min_notional": "99999999999999"}, "minimum notional"),
        ({"maker_fee_micros": -1}, "fees"),
        ({"taker_fee_micros": 100_001}, "fees"),
        ({"band_micros": -1}, "price band"),
        ({"band_micros": 100_000_001}, "price band"),
        ({"matcher_shard": -1}, "matcher shard"),
        ({"matcher_shard": 512}, "matcher shard"),
    ],
)
def test_build_symbol_settings_that_cannot_be_are_refused(changes: dict[str, Any], says: str) -> None:
    quote = BTC if changes.get("quote") == "BTC" else USDT
    with pytest.raises(FormatError, match=says):
        build_symbol(plain(**changes), BTC, quote)


def test_build_symbol_refusal_of_a_long_text_is_short() -> None:
    with pytest.raises(FormatError) as caught:
        build_symbol(plain(tick_size="x" * 100_000), BTC, USDT)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("name", "scale"), [("B", 0), ("BTC", 8), ("A1234567890123BC", 12)])
def test_check_asset_what_can_be_passes(name: str, scale: int) -> None:
    check_asset(Asset(name, scale))


@pytest.mark.parametrize(
    ("name", "scale", "says"),
    [
        ("", 8, "1 to 16"),
        ("btc", 8, "1 to 16"),
        ("BTC\n", 8, "1 to 16"),
        ("BT_C", 8, "1 to 16"),
        ("A" * 17, 8, "1 to 16"),
        ("Ä", 8, "1 to 16"),
        ("BTC", -1, "scale"),
        ("BTC", 13, "scale"),
    ],
)
def test_check_asset_what_cannot_be_is_refused(name: str, scale: int, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        check_asset(Asset(name, scale))
