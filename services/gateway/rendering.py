"""From the domain's integers and rows to what the API answers."""

from msgspec import UNSET

from services.adapters.ports import BalanceView, OpenOrderView
from services.domain.instruments import Asset, Symbol
from services.domain.messages import MatchBody, OrderUpdate, Trade
from services.domain.money import fee_rounded_up, format_units
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rows import ApiKeyRow, LedgerRow, OrderRow, SettledTradeRow, StatisticsRow
from services.gateway.answers import (
    BalanceAnswer,
    FillAnswer,
    KeyAnswer,
    LedgerEntryAnswer,
    OrderAnswer,
    StatisticsAnswer,
    SymbolAnswer,
    TradeAnswer,
)


def order_from_update(update: OrderUpdate, symbol: Symbol) -> OrderAnswer:
    """The order as the matcher's update says it."""
    return _order(update, symbol, update.status)


def order_from_row(row: OrderRow, symbol: Symbol) -> OrderAnswer:
    """The order as the store has it."""
    return _order(row, symbol, row.status)


def order_from_view(view: OpenOrderView, symbol: Symbol) -> OrderAnswer:
    """The open order as ubscore has it."""
    status = OrderStatus.PartiallyFilled if view.filled_lots else OrderStatus.New
    return _order(view, symbol, status)


def _order(order: OrderUpdate | OrderRow | OpenOrderView, symbol: Symbol, status: OrderStatus) -> OrderAnswer:
    market = order.order_type == OrderType.Market
    return OrderAnswer(
        order.order_id,
        order.cid,
        symbol.name,
        _SIDES[order.side],
        _TYPES[order.order_type],
        _TIMES[order.time_in_force],
        _STATUSES[status],
        "0" if market else symbol.format_price(order.price_ticks),
        symbol.format_quantity(order.quantity_lots),
        symbol.format_quantity(order.filled_lots),
        symbol.format_notional(order.filled_tick_lots),
        order.created_ms,
    )


# An enum member's name is a property that costs several dictionary look-ups; these are on the hot path.
_SIDES = {side: side.name for side in Side}
_TYPES = {kind: kind.name for kind in OrderType}
_TIMES = {time: time.name for time in TimeInForce}
_STATUSES = {status: status.name for status in OrderStatus}


def taker_fills(body: MatchBody, side: Side, symbol: Symbol) -> list[FillAnswer]:
    """The fills of the order that `body` is about, with its fees."""
    return [_fill(trade, side, symbol) for trade in body.trades]


def _fill(trade: Trade, side: Side, symbol: Symbol) -> FillAnswer:
    if side == Side.Buy:
        asset, amount = symbol.base, trade.quantity_lots * symbol.base_units_per_lot
    else:
        asset, amount = symbol.quote, symbol.notional_units(trade.price_ticks, trade.quantity_lots)
    return FillAnswer(
        trade.trade_id,
        symbol.format_price(trade.price_ticks),
        symbol.format_quantity(trade.quantity_lots),
        format_units(fee_rounded_up(amount, trade.taker_fee_micros), asset.scale),
        asset.name,
    )


def balance_answer(view: BalanceView, asset: Asset) -> BalanceAnswer:
    available, reserved = format_units(view.available, asset.scale), format_units(view.reserved, asset.scale)
    return BalanceAnswer(view.asset, available, reserved, view.version)


def ledger_entry(row: LedgerRow, asset: Asset) -> LedgerEntryAnswer:
    return LedgerEntryAnswer(
        row.asset_id,
        row.seq,
        row.kind,
        format_units(row.available_delta, asset.scale),
        format_units(row.reserved_delta, asset.scale),
        format_units(row.available, asset.scale),
        format_units(row.reserved, asset.scale),
        row.reference,
        row.event_id,
        row.time_ms,
    )


def public_trade(row: SettledTradeRow, symbol: Symbol) -> TradeAnswer:
    """A trade without whose it was."""
    return TradeAnswer(
        row.trade_id,
        row.symbol,
        symbol.format_price(row.price_ticks),
        symbol.format_quantity(row.quantity_lots),
        format_units(row.quote_amount, symbol.quote.scale),
        row.buyer_is_maker,
        row.time_ms,
    )


def own_trade(row: SettledTradeRow, symbol: Symbol, user_id: int) -> TradeAnswer:
    """A trade as its user sees it."""
    trade = public_trade(row, symbol)
    if row.buyer_user_id == user_id:
        trade.order_id, trade.side, trade.is_maker = row.buyer_order_id, Side.Buy.name, row.buyer_is_maker
        trade.fee, trade.fee_asset = format_units(row.buyer_fee, symbol.base.scale), symbol.base.name
    else:
        trade.order_id, trade.side, trade.is_maker = row.seller_order_id, Side.Sell.name, not row.buyer_is_maker
        trade.fee, trade.fee_asset = format_units(row.seller_fee, symbol.quote.scale), symbol.quote.name
    return trade


def statistics_answer(row: StatisticsRow) -> StatisticsAnswer:
    return StatisticsAnswer(row.user_id, row.new, row.filled, row.cancelled, row.rejected, row.expired, row.updated_ms)


def symbol_answer(symbol: Symbol) -> SymbolAnswer:
    s = symbol.settings
    return SymbolAnswer(
        s.name,
        s.base,
        s.quote,
        s.tick_size,
        s.lot_size,
        s.min_notional,
        s.maker_fee_micros,
        s.taker_fee_micros,
        s.band_micros,
        s.matcher_shard,
        s.status.name,
    )


def key_answer(row: ApiKeyRow, secret: str = "") -> KeyAnswer:
    return KeyAnswer(row.api_key, row.user_id, row.scopes, row.created_ms, row.revoked, secret or UNSET)
