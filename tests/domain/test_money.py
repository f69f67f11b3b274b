"""Amounts: exact or refused, and fees that never round in the customer's favour."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import FormatError
from services.domain.money import MAX_AMOUNT, MICROS, fee_rounded_up, format_units, parse_units

scales = st.integers(0, 18)
amounts = st.integers(0, MAX_AMOUNT)


@given(amounts, scales)
def test_format_units_then_parse_returns_the_same_units(units: int, scale: int) -> None:
    assert parse_units(format_units(units, scale), scale) == units


@given(amounts, scales)
def test_format_units_text_is_exact_and_shortest(units: int, scale: int) -> None:
    text = format_units(units, scale)
    assert Fraction(text) == Fraction(units, 10**scale)
    assert "." not in text or not text.endswith(("0", "."))
    assert format_units(-units, scale) == (f"-{text}" if units else "0")


@given(st.integers(0, 10**7), st.integers(0, 10**6 - 1), st.integers(0, 4))
def test_parse_units_any_plain_text_is_its_exact_value(whole: int, fraction: int, zeros: int) -> None:
    text = f"{'0' * zeros}{whole}.{fraction:06d}{'0' * zeros}"
    assert Fraction(parse_units(text, 6), 10**6) == Fraction(text)


@given(st.text(max_size=50), scales)
def test_parse_units_any_text_is_a_number_in_range_or_refused(text: str, scale: int) -> None:
    try:
        units = parse_units(text, scale)
    except FormatError:
        return
    assert 0 <= units <= MAX_AMOUNT
    assert set(text) <= set("0123456789.")


@pytest.mark.parametrize(
    ("text", "scale", "units"),
    [
        ("0", 8, 0),
        ("0.0", 8, 0),
        ("00012", 0, 12),
        ("1.50", 1, 15),
        ("1.5000000", 1, 15),
        ("9223372036854775807", 0, MAX_AMOUNT),
        ("9.223372036854775807", 18, MAX_AMOUNT),
    ],
)
def test_parse_units_at_the_edges_is_accepted(text: str, scale: int, units: int) -> None:
    assert parse_units(text, scale) == units


@pytest.mark.parametrize(
    ("text", "scale", "says"),
    [
        ("", 2, "plain decimal"),
        (".", 2, "plain decimal"),
        (".5", 2, "plain decimal"),
        ("5.", 2, "plain decimal"),
        ("+1", 2, "plain decimal"),
        ("-1", 2, "plain decimal"),
        ("-0", 2, "plain decimal"),
        ("1e3", 2, "plain decimal"),
        ("1E400", 2, "plain decimal"),
        ("NaN", 2, "plain decimal"),
        ("Infinity", 2, "plain decimal"),
        ("0x10", 2, "plain decimal"),
        ("1_000", 2, "plain decimal"),
        ("1,5", 2, "plain decimal"),
        (" 1", 2, "plain decimal"),
        ("1\n", 2, "plain decimal"),
        ("1.2.3", 2, "plain decimal"),
        ("\u0661", 2, "plain decimal"),
        ("\uff11", 2, "plain decimal"),
        ("0" * 41, 2, "plain decimal"),
        pytest.param("9" * 5_000_000, 2, "plain decimal", id="five million digits"),
        ("0.001", 2, "at most 2 decimals"),
        ("1.5", 0, "at most 0 decimals"),
        ("9223372036854775808", 0, "too large"),
        ("92233720368547758.08", 2, "too large"),
        ("99999999999999999999", 12, "too large"),
    ],
)
def test_parse_units_anything_else_is_refused(text: str, scale: int, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        parse_units(text, scale)


@given(amounts, st.integers(0, MICROS))
def test_fee_rounded_up_is_the_exact_fee_or_less_than_one_unit_more(amount: int, rate: int) -> None:
    fee = fee_rounded_up(amount, rate)
    assert 0 <= fee - Fraction(amount * rate, MICROS) < 1
    assert fee <= amount


@pytest.mark.parametrize(
    ("amount", "rate", "fee"),
    [
        (0, 1000, 0),
        (1, 0, 0),
        (1, 1, 1),
        (999, 1000, 1),
        (1000, 1000, 1),
        (1001, 1000, 2),
        (MAX_AMOUNT, MICROS, MAX_AMOUNT),
        (MAX_AMOUNT, 100_000, 922337203685477581),
    ],
)
def test_fee_rounded_up_to_the_unit(amount: int, rate: int, fee: int) -> None:
    assert fee_rounded_up(amount, rate) == fee
