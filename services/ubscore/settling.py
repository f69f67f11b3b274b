"""What matchers report: trades move what was reserved, closes release what is left.

A report is not checked but believed; anything in it that cannot be is an InvariantError, and the shard stops rather
than guess. Reports are dropped as repeats by their sequence before they get here, so each takes effect once.
"""

from typing import Final

from services.domain.errors import InvariantError
from services.domain.instruments import MAX_FEE_MICROS, Symbol
from services.domain.messages import BalanceChange, ChangeKind, Closed, MatchReport, OrderClosed, Trade, TradeSettled
from services.domain.money import fee_rounded_up
from services.domain.orders import OrderStatus, Side
from services.ubscore.accounts import OpenOrder
from services.ubscore.state import State

# Looked up once: members of an enum class are slow to find, and this is hot.
_BUY: Final = Side.Buy
_SELL: Final = Side.Sell
_TRADE: Final = ChangeKind.Trade
_FEE: Final = ChangeKind.Fee
_RELEASE: Final = ChangeKind.Release
_PARTIALLY_FILLED: Final = OrderStatus.PartiallyFilled


def settle(state: State, report: MatchReport) -> None:
    symbol = state.symbols.get(report.symbol)
    if symbol is None:
        raise InvariantError(f"{report.symbol}: a matcher reports on a symbol that this shard never had")
    for trade in report.trades:
        _settle_trade(state, report, trade, symbol)
    for closed in report.closes:
        if state.owns(closed.user_id):
            _close(state, report, closed)


def _settle_trade(state: State, report: MatchReport, trade: Trade, symbol: Symbol) -> None:
    """Move this shard's sides of a trade: what was reserved goes, what was bought comes, less the fee."""
    _require_sound(trade)
    base = trade.quantity_lots * symbol.base_units_per_lot
    quote = symbol.notional_units(trade.price_ticks, trade.quantity_lots)
    maker = (trade.maker_user_id, trade.maker_order_id, trade.maker_fee_micros)
    taker = (trade.taker_user_id, trade.taker_order_id, trade.taker_fee_micros)
    buyer, seller = (taker, maker) if trade.taker_side is _BUY else (maker, taker)
    buyer_fee, seller_fee = fee_rounded_up(base, buyer[2]), fee_rounded_up(quote, seller[2])
    owns_buyer = state.owns(buyer[0])
    owns_seller = state.owns(seller[0])
    changes: list[BalanceChange] = []
    if owns_buyer:
        order = _trading_order(state, buyer[0], buyer[1], report.symbol, _BUY)
        _settle_buyer(state, trade, symbol, order, base, quote, buyer_fee, changes)
    if owns_seller:
        order = _trading_order(state, seller[0], seller[1], report.symbol, _SELL)
        _settle_seller(state, trade, symbol, order, base, quote, seller_fee, changes)
    if owns_buyer != owns_seller:
        _count_transit(state, symbol, base, quote, 1 if owns_buyer else -1)
    if changes:
        state.events.append(
            TradeSettled(
                report.matcher_shard,
                report.engine_sequence,
                report.time_ms,
                report.symbol,
                trade,
                base,
                quote,
                buyer_fee,
                seller_fee,
                changes,
            )
        )


def _require_sound(trade: Trade) -> None:
    if trade.quantity_lots <= 0 or trade.price_ticks <= 0:
        raise InvariantError(f"trade {trade.trade_id}: quantity {trade.quantity_lots}, price {trade.price_ticks}")
    for rate in (trade.maker_fee_micros, trade.taker_fee_micros):
        if not 0 <= rate <= MAX_FEE_MICROS:
            raise InvariantError(f"trade {trade.trade_id}: no fee is {rate} millionths")


def _trading_order(state: State, user_id: int, order_id: int, symbol: str, side: Side) -> OpenOrder:
    order = _open_order(state, user_id, order_id, symbol)
    if order.side is not side:
        raise InvariantError(f"order {order_id} traded on the other side")
    return order


def _open_order(state: State, user_id: int, order_id: int, symbol: str) -> OpenOrder:
    account = state.accounts.get(user_id)
    order = account.orders.get(order_id) if account is not None else None
    if order is None:
        raise InvariantError(f"order {order_id} of user {user_id} traded or closed, but is not open here")
    if order.symbol.settings.name != symbol:
        raise InvariantError(f"order {order_id} is for {order.symbol.name}, not {symbol}")
    return order


def _settle_buyer(
    state: State,
    trade: Trade,
    symbol: Symbol,
    order: OpenOrder,
    base: int,
    quote: int,
    fee: int,
    changes: list[BalanceChange],
) -> None:
    """Reserved quote pays; what the limit price had set aside beyond the trade's price is free again."""
    if trade.price_ticks > order.price_ticks:
        raise InvariantError(f"order {order.order_id}: paid {trade.price_ticks}, its limit is {order.price_ticks}")
    used = quote if order.quote_amount else symbol.notional_units(order.price_ticks, trade.quantity_lots)
    order.take(used, trade.quantity_lots, trade.price_ticks)
    account = state.accounts[order.user_id]
    changes.append(account.change(symbol.quote.name, _TRADE, used - quote, -used))
    changes.append(account.change(symbol.base.name, _TRADE, base - fee, 0))
    if fee:
        changes.append(state.fees.change(symbol.base.name, _FEE, fee, 0))


def _settle_seller(
    state: State,
    trade: Trade,
    symbol: Symbol,
    order: OpenOrder,
    base: int,
    quote: int,
    fee: int,
    changes: list[BalanceChange],
) -> None:
    if trade.price_ticks < order.price_ticks:
        raise InvariantError(f"order {order.order_id}: sold at {trade.price_ticks}, its limit is {order.price_ticks}")
    order.take(base, trade.quantity_lots, trade.price_ticks)
    account = state.accounts[order.user_id]
    changes.append(account.change(symbol.base.name, _TRADE, 0, -base))
    changes.append(account.change(symbol.quote.name, _TRADE, quote - fee, 0))
    if fee:
        changes.append(state.fees.change(symbol.quote.name, _FEE, fee, 0))


def _count_transit(state: State, symbol: Symbol, base: int, quote: int, sign: int) -> None:
    """A buyer here and a seller elsewhere (sign +1): base came in, quote went out."""
    for asset, amount in ((symbol.base.name, sign * base), (symbol.quote.name, -sign * quote)):
        state.transit[asset] = state.transit.get(asset, 0) + amount


def _close(state: State, report: MatchReport, closed: Closed) -> None:
    """Release what the matcher says is left, once: the order is gone afterwards."""
    order = _open_order(state, closed.user_id, closed.order_id, report.symbol)
    if closed.status <= _PARTIALLY_FILLED:
        raise InvariantError(f"order {order.order_id} closed as {closed.status.name}")
    if order.reserved != order.reserved_for(closed.remaining_lots):
        raise InvariantError(
            f"order {order.order_id}: {closed.remaining_lots} lots remain in the matcher, which need "
            f"{order.reserved_for(closed.remaining_lots)} units, but {order.reserved} are reserved"
        )
    account = state.accounts[order.user_id]
    change = None
    if order.reserved:
        change = account.change(order.reserved_asset, _RELEASE, order.reserved, -order.reserved)
    del account.orders[order.order_id]
    state.events.append(
        OrderClosed(
            report.matcher_shard,
            report.engine_sequence,
            report.request_id,
            report.time_ms,
            closed.order_id,
            closed.user_id,
            closed.status,
            change,
        )
    )
