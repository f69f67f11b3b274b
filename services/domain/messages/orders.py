"""Records of `orders`: what ubscore forwards to a matcher, everything already reserved."""

import msgspec

from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce


class NewOrder(msgspec.Struct, array_like=True, tag=1, gc=False):
    """An accepted order. The matcher needs to know nothing else: no scales and no symbol settings.

    price_ticks: the limit, or the protection price of a Market order, beyond which it never trades.
    quantity_lots: 0 when a Market Buy is bounded by `quote_budget` alone.
    quote_budget: the most that may be traded, as a sum of ticks × lots; 0 when there is no such bound.
    Fee rates in micros, fixed at acceptance; they return on every trade.
    """

    request_id: int
    time_ms: int
    order_id: int
    user_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    self_trade_prevention: SelfTradePrevention
    price_ticks: int
    quantity_lots: int
    quote_budget: int
    maker_fee_micros: int
    taker_fee_micros: int


class CancelRequest(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Cancel an order by its id alone."""

    request_id: int
    time_ms: int
    order_id: int
    user_id: int


OrderCommand = NewOrder | CancelRequest
