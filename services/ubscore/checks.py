"""Whether an order may pass, and what it must reserve. Pure functions of the command, the symbol and the account.

The order of the checks is part of the product: a client sees the first thing that is wrong, from the form of the
order to the money behind it.
"""

from typing import Final, NamedTuple

from services.domain.instruments import Symbol, SymbolStatus
from services.domain.messages import PlaceOrder
from services.domain.money import MAX_AMOUNT, MICROS
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.rejects import Reject

MAX_NOTIONAL: Final = MAX_AMOUNT // 2
"""See `State.max_supply`."""


# Looked up once: members of an enum class are slow to find, and this is the hottest code.
_NONE: Final = Reject.NONE
_TRADING: Final = SymbolStatus.Trading
_BUY: Final = Side.Buy
_MARKET: Final = OrderType.Market
_LIMIT_MAKER: Final = OrderType.LimitMaker


class Reservation(NamedTuple):
    """What an order needs: `amount` smallest units of `asset`, for at most `quantity_lots` (0: bounded by quote)."""

    asset: str
    amount: int
    quantity_lots: int


def check_symbol(symbol: Symbol | None) -> Reject:
    """UNKNOWN_SYMBOL, SYMBOL_HALTED, SYMBOL_CANCEL_ONLY or NONE."""
    if symbol is None:
        return Reject.UNKNOWN_SYMBOL
    if symbol.settings.status is _TRADING:
        return _NONE
    return Reject.SYMBOL_HALTED if symbol.settings.status == SymbolStatus.Halted else Reject.SYMBOL_CANCEL_ONLY


def check_form(op: PlaceOrder) -> Reject:
    """Whether the fields fit each other: types, times in force, and numbers in range."""
    if not 0 < op.price_ticks <= MAX_AMOUNT:
        return Reject.INVALID_PRICE
    if not 0 <= op.quantity_lots <= MAX_AMOUNT or not 0 <= op.quote_amount <= MAX_AMOUNT:
        return Reject.INVALID_QUANTITY
    if (op.quantity_lots > 0) == (op.quote_amount > 0):
        return Reject.INVALID_QUANTITY
    if op.order_type is _MARKET:
        return _NONE if op.time_in_force != TimeInForce.FOK else Reject.INVALID_ORDER_TYPE
    if op.quote_amount:
        return Reject.INVALID_QUANTITY
    if op.order_type is _LIMIT_MAKER and op.time_in_force != TimeInForce.GTC:
        return Reject.INVALID_ORDER_TYPE
    return _NONE


def check_filters(op: PlaceOrder, symbol: Symbol, notional_units: int) -> Reject:
    """Price band, minimum notional, and what a 64-bit column holds."""
    if notional_units > MAX_NOTIONAL or op.quantity_lots * symbol.base_units_per_lot > MAX_AMOUNT:
        return Reject.NOTIONAL_TOO_LARGE
    if notional_units < symbol.min_notional_units:
        return Reject.MIN_NOTIONAL
    band, reference = symbol.settings.band_micros, op.reference_price_ticks
    if band and reference and abs(op.price_ticks - reference) * MICROS > reference * band:
        return Reject.PRICE_BAND
    return _NONE


def notional_of(op: PlaceOrder, symbol: Symbol) -> int:
    """The notional that filters look at: the quote amount asked for, or price × quantity; smallest quote units."""
    return op.quote_amount or op.price_ticks * op.quantity_lots * symbol.quote_units_per_tick_lot


def reservation_of(op: PlaceOrder, symbol: Symbol, notional_units: int) -> Reservation | Reject:
    """What the order must reserve.

    A Buy reserves its notional at the limit (or protection) price, or the quote amount it asks for. A Sell reserves
    its quantity; by quote amount, the most that could be needed, which is at the protection price.
    Returns INVALID_QUANTITY when a quote amount does not buy or need a single lot.
    """
    lots = op.quantity_lots
    if op.quote_amount:
        lots = op.quote_amount // (op.price_ticks * symbol.quote_units_per_tick_lot)
        if op.side is _BUY:
            smallest = symbol.quote_units_per_tick_lot
            return Reservation(symbol.quote.name, notional_units, 0) if notional_units >= smallest else _TOO_LITTLE
        if lots == 0:
            return _TOO_LITTLE
        if lots * symbol.base_units_per_lot > MAX_AMOUNT:
            return Reject.NOTIONAL_TOO_LARGE
    if op.side is _BUY:
        return Reservation(symbol.quote.name, notional_units, lots)
    return Reservation(symbol.base.name, lots * symbol.base_units_per_lot, lots)


_TOO_LITTLE = Reject.INVALID_QUANTITY
