"""The prices that a gateway stamps on orders."""

import pytest

from services.adapters.ports import DepthView
from services.domain.orders import Side
from services.gateway.pricing import protection_price, reference_price

FIVE_PERCENT = 50_000


def depth(bid: int = 0, ask: int = 0, last: int = 0) -> DepthView:
    return DepthView([(bid, 1)] if bid else [], [(ask, 1)] if ask else [], last, 1)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (depth(), 0),
        (depth(bid=90, ask=110, last=105), 105),
        (depth(bid=90, ask=111), 100),
        (depth(bid=90), 90),
        (depth(ask=110), 110),
    ],
)
def test_reference_price_is_the_last_else_the_middle_else_the_best(view: DepthView, expected: int) -> None:
    assert reference_price(view) == expected


@pytest.mark.parametrize(
    ("view", "side", "band", "expected"),
    [
        (depth(), Side.Buy, 0, 0),
        (depth(bid=100), Side.Buy, 0, 0),
        (depth(ask=1000), Side.Buy, 0, 1050),
        (depth(bid=1000), Side.Sell, 0, 950),
        (depth(last=1000), Side.Buy, 0, 1050),
        (depth(ask=1000, last=2000), Side.Buy, 0, 1050),
        (depth(ask=1000), Side.Buy, 100_000, 1100),
        (depth(ask=1000, last=950), Side.Buy, 100_000, 1045),
        (depth(bid=1000, last=1100), Side.Sell, 100_000, 990),
        (depth(bid=1), Side.Sell, 0, 1),
        (depth(bid=1000), Side.Sell, 100_000_000, 1),
        (depth(ask=2**63 - 1), Side.Buy, 0, 2**63 - 1),
    ],
)
def test_protection_price_is_a_band_beyond_the_best_and_within_the_symbols(
    view: DepthView, side: Side, band: int, expected: int
) -> None:
    assert protection_price(view, side, band, FIVE_PERCENT) == expected
