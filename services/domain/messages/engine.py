"""Records of `engine.outputs`: one `MatchResult` for every record of `orders`, chained by hash.

The body is encoded once; its bytes are what is hashed and what travels, so anyone can verify the chain without
knowing how to decode it:  hash = blake2b-128(previous_hash + sequence + position + body)  (see matcher/chain.py).
"""

import msgspec

from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject


class Trade(msgspec.Struct, array_like=True, gc=False):
    """One match of two orders, at the maker's price. trade_id counts up by one per symbol, from 1."""

    trade_id: int
    price_ticks: int
    quantity_lots: int
    taker_side: Side
    maker_order_id: int
    taker_order_id: int
    maker_user_id: int
    taker_user_id: int
    maker_fee_micros: int
    """The rate fixed when the maker's order was accepted."""
    taker_fee_micros: int


class Closed(msgspec.Struct, array_like=True, gc=False):
    """An order left the book for good. remaining_lots: what never traded (0 for an order by quote amount)."""

    order_id: int
    user_id: int
    status: OrderStatus
    remaining_lots: int
    code: Reject = Reject.NONE


class OrderUpdate(msgspec.Struct, array_like=True, gc=False):
    """An order's state after one step. Every order starts with New (or Rejected), and ends with one closing status.

    created_ms: the time of the command that placed it. quantity_lots: 0 for an order bounded by quote amount alone.
    filled_tick_lots: Σ price × quantity of its trades so far, in ticks × lots.
    last_*: of the trade that caused the update; 0 when none did.
    """

    order_id: int
    user_id: int
    cid: str
    created_ms: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    status: OrderStatus
    price_ticks: int
    quantity_lots: int
    filled_lots: int
    filled_tick_lots: int
    last_price_ticks: int = 0
    last_quantity_lots: int = 0
    trade_id: int = 0
    is_maker: bool = False
    code: Reject = Reject.NONE


class LevelChange(msgspec.Struct, array_like=True, gc=False):
    """The quantity that a price level holds after the command; 0: the level is gone."""

    side: Side
    price_ticks: int
    quantity_lots: int


class MatchBody(msgspec.Struct, array_like=True, gc=False):
    """What one command did. `code` is not NONE when a cancel was refused; then there are no updates."""

    request_id: int
    time_ms: int
    symbol: str
    """Empty when a cancel named no known order."""
    order_id: int
    user_id: int
    code: Reject
    updates: list[OrderUpdate]
    trades: list[Trade]
    levels: list[LevelChange]


class MatchResult(msgspec.Struct, array_like=True, gc=False):
    """A link of the chain.

    sequence: counts up by one per matcher shard, from 1; it is also the record's sequence on the topic.
    position: the offset of the `orders` frame that caused it.
    body: an encoded MatchBody; `decode_body` opens it.
    """

    sequence: int
    position: int
    previous_hash: bytes
    hash: bytes
    body: msgspec.Raw

    def decode_body(self) -> MatchBody:
        """The MatchBody inside. Raises msgspec.DecodeError when it is none."""
        return _BODY_DECODER.decode(self.body)


_BODY_DECODER = msgspec.msgpack.Decoder(MatchBody)
