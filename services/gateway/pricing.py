"""What depends on market data and is stamped on an order, so that the cores stay pure."""

from services.adapters.ports import DepthView
from services.domain.money import MAX_AMOUNT, MICROS
from services.domain.orders import Side


def reference_price(depth: DepthView) -> int:
    """What a symbol's band is held against: the last trade's price, else the middle, else the best price; 0: none.

    depth: at least the best level of each side. Ticks.
    """
    if depth.last_price_ticks:
        return depth.last_price_ticks
    best = [levels[0][0] for levels in (depth.bids, depth.asks) if levels]
    return sum(best) // len(best) if best else 0


def protection_price(depth: DepthView, side: Side, band_micros: int, default_band_micros: int) -> int:
    """The worst price that a Market order may trade at: the best opposite (else the last) price, and a band beyond it.

    band_micros: the symbol's; a protection price is kept within it of the reference price, as any limit would be.
    0: the symbol has none, and `default_band_micros` is how far from the best price the order may go.
    Returns ticks; 0 when there is no price at all.
    """
    opposite = depth.asks if side == Side.Buy else depth.bids
    start = opposite[0][0] if opposite else depth.last_price_ticks
    if start == 0:
        return 0
    price = _beyond(start, side, band_micros or default_band_micros)
    if band_micros:
        limit = _beyond(reference_price(depth), side, band_micros)
        price = min(price, limit) if side == Side.Buy else max(price, limit)
    return max(1, min(price, MAX_AMOUNT))


def _beyond(price_ticks: int, side: Side, band_micros: int) -> int:
    """The price a band away, rounded towards `price_ticks`."""
    distance = price_ticks * band_micros // MICROS
    return price_ticks + distance if side == Side.Buy else price_ticks - distance
