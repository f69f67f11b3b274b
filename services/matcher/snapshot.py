"""The matcher's state as bytes, canonical: books by symbol, levels by price, orders in the order of their queue."""

from typing import Final

import msgspec

from services.domain.orders import OrderType, TimeInForce
from services.matcher.book import Book, BookSide, Level, Order


class OrderState(msgspec.Struct, array_like=True, gc=False):
    """A resting order; side, price and place in line are where it stands."""

    order_id: int
    user_id: int
    cid: str
    created_ms: int
    order_type: OrderType
    time_in_force: TimeInForce
    quantity_lots: int
    remaining_lots: int
    filled_tick_lots: int
    maker_fee_micros: int
    taker_fee_micros: int


class LevelState(msgspec.Struct, array_like=True, gc=False):
    """A price level; orders are oldest first."""

    price_ticks: int
    orders: list[OrderState]


class BookState(msgspec.Struct, array_like=True, gc=False):
    """A book; levels of both sides from the lowest price up."""

    symbol: str
    last_trade_id: int
    last_price_ticks: int
    bids: list[LevelState]
    asks: list[LevelState]


class EngineState(msgspec.Struct, array_like=True, gc=False, tag="matcher-1"):
    """A MatcherEngine. sources: by name; report_sequences: of the last MatchReport to every account shard."""

    shard: int
    account_shards: int
    next_offset: int
    sequence: int
    hash: bytes
    report_sequences: list[int]
    sources: list[tuple[str, int]]
    books: list[BookState]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(EngineState)


def encode_state(state: EngineState) -> bytes:
    """The bytes of a snapshot."""
    return _ENCODER.encode(state)


def decode_state(data: bytes) -> EngineState:
    """What `encode_state` wrote. Raises msgspec.DecodeError when `data` is something else."""
    return _DECODER.decode(data)


def book_state(book: Book) -> BookState:
    """A book as it is."""
    bids = [_level_state(level) for level in book.bids.levels()]
    asks = [_level_state(level) for level in book.asks.levels()]
    bids.reverse()
    return BookState(book.symbol, book.last_trade_id, book.last_price_ticks, bids, asks)


def restore_book(state: BookState, orders: dict[int, Order]) -> Book:
    """The book again; adds its orders to `orders`, by id."""
    book = Book(state.symbol, state.last_trade_id, state.last_price_ticks)
    for side, levels in ((book.bids, state.bids), (book.asks, state.asks)):
        for level in levels:
            _restore_level(side, level, orders)
    return book


def _level_state(level: Level) -> LevelState:
    return LevelState(level.price_ticks, [_order_state(order) for order in level.orders()])


def _order_state(order: Order) -> OrderState:
    terms = order.terms
    return OrderState(
        order.order_id,
        order.user_id,
        order.cid,
        order.created_ms,
        terms.order_type,
        terms.time_in_force,
        order.quantity_lots,
        order.remaining_lots,
        order.filled_tick_lots,
        terms.maker_fee_micros,
        terms.taker_fee_micros,
    )


def _restore_level(side: BookSide, level: LevelState, orders: dict[int, Order]) -> None:
    for state in level.orders:
        terms = side.book.shared_terms(
            state.order_type, state.time_in_force, state.maker_fee_micros, state.taker_fee_micros
        )
        quantity, remaining = state.quantity_lots, state.remaining_lots
        order = Order(
            state.order_id,
            state.user_id,
            state.cid,
            state.created_ms,
            terms,
            quantity,
            quantity if remaining == quantity else remaining,
            state.filled_tick_lots,
        )
        side.add(order, level.price_ticks)
        orders[order.order_id] = order
