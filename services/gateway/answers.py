"""What the API answers. Decimals are texts, words are those of the domain, times are milliseconds since the epoch."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from services.adapters.ports import BalanceView, OpenOrderView
from services.domain.instruments import Asset, Symbol
from services.domain.messages import MatchBody, OrderUpdate, Trade
from services.domain.money import fee_rounded_up, format_units
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rows import ApiKeyRow, LedgerRow, OrderRow, SettledTradeRow, StatisticsRow


class ErrorAnswer(msgspec.Struct):
    """Every answer that is not a success. `code` is stable; `reject` names a refusal by the exchange itself."""

    code: int
    msg: str
    reject: str | UnsetType = UNSET
    order_id: int | UnsetType = UNSET
    cid: str | UnsetType = UNSET
    order_status: str | UnsetType = UNSET


class FillAnswer(msgspec.Struct):
    """The order's side of one trade."""

    trade_id: int
    price: str
    quantity: str
    fee: str
    fee_asset: str


class OrderAnswer(msgspec.Struct):
    """An order's newest state. `price` of a Market order is 0. `fills` are there when the answer is FULL."""

    order_id: int
    cid: str
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    order_status: str
    price: str
    quantity: str
    filled_quantity: str
    filled_quote: str
    """Σ price × quantity of its trades, fees aside."""
    time_ms: int
    fills: list[FillAnswer] | UnsetType = UNSET


class AckAnswer(msgspec.Struct):
    """The order is durable; what becomes of it is not known yet. Ask with the cid."""

    cid: str
    symbol: str
    time_ms: int


class OrdersAnswer(msgspec.Struct):
    """Orders. `next`: the cursor of the next page; absent on the last."""

    orders: list[OrderAnswer]
    next: str | UnsetType = UNSET


class TransferAnswer(msgspec.Struct):
    """A transfer that took effect, and the balance after it."""

    status: str
    transfer_id: str
    event_id: str
    user_id: int
    asset: str
    available: str
    reserved: str


class BalanceAnswer(msgspec.Struct):
    """One balance. version: +1 at every change."""

    asset: str
    available: str
    reserved: str
    version: int


class BalancesAnswer(msgspec.Struct):
    """All balances of a user."""

    user_id: int
    balances: list[BalanceAnswer]


class LedgerEntryAnswer(msgspec.Struct):
    """One change of one balance; seq is the balance's version after it."""

    asset: str
    seq: int
    kind: str
    available_delta: str
    reserved_delta: str
    available: str
    reserved: str
    reference: str
    event_id: str
    time_ms: int


class LedgerAnswer(msgspec.Struct):
    """Ledger entries. `next`: the `before` of the next page; absent on the last."""

    user_id: int
    entries: list[LedgerEntryAnswer]
    next: str | UnsetType = UNSET


class StatisticsAnswer(msgspec.Struct):
    """How many orders of a user came to each status."""

    user_id: int
    new: int
    filled: int
    cancelled: int
    rejected: int
    expired: int
    updated_ms: int


class TradeAnswer(msgspec.Struct):
    """A settled trade; what is only the user's is there when a user's trades were asked for."""

    trade_id: int
    symbol: str
    price: str
    quantity: str
    quote_quantity: str
    buyer_is_maker: bool
    time_ms: int
    order_id: int | UnsetType = UNSET
    side: str | UnsetType = UNSET
    is_maker: bool | UnsetType = UNSET
    fee: str | UnsetType = UNSET
    fee_asset: str | UnsetType = UNSET


class TradesAnswer(msgspec.Struct):
    """Trades. `next`: the cursor of the next page; absent on the last."""

    trades: list[TradeAnswer]
    next: str | UnsetType = UNSET


Level = Annotated[list[str], Meta(min_length=2, max_length=2, description="[price, quantity]")]


class DepthAnswer(msgspec.Struct):
    """A book's best levels as [price, quantity], best first. sequence: of the newest change in it."""

    symbol: str
    sequence: int
    last_price: str
    bids: list[Level]
    asks: list[Level]


class AssetAnswer(msgspec.Struct):
    """An asset. scale: decimals of its smallest unit."""

    name: str
    scale: int


class SymbolAnswer(msgspec.Struct):
    """A symbol's settings."""

    name: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    min_notional: str
    maker_fee_micros: int
    taker_fee_micros: int
    band_micros: int
    matcher_shard: int
    status: str


class InstrumentsAnswer(msgspec.Struct):
    """Everything that can be owned or traded."""

    assets: list[AssetAnswer]
    symbols: list[SymbolAnswer]


class UserAnswer(msgspec.Struct):
    """An account."""

    user_id: int
    suspended: bool


class KeyAnswer(msgspec.Struct):
    """An API key. `secret_key` is shown once, when the key is made, and absent for a key with a public key."""

    api_key: str
    user_id: int
    scopes: list[str]
    created_ms: int
    revoked: bool
    secret_key: str | UnsetType = UNSET


class KeysAnswer(msgspec.Struct):
    """A user's keys, oldest first."""

    keys: list[KeyAnswer]


class TokenAnswer(msgspec.Struct):
    """A bearer token."""

    access_token: str
    expires_in: int
    """Seconds."""
    token_type: str = "Bearer"  # noqa: S105 (the word, not a secret)


class PolicyAnswer(msgspec.Struct):
    """Limits of every account shard."""

    order_window_ms: int
    transfer_window_ms: int
    max_open_orders: int


class HealthAnswer(msgspec.Struct):
    """The state of each component."""

    status: str
    components: dict[str, str]


_ENCODER = msgspec.json.Encoder()


def answer(content: Any, status: int = 200) -> Response:
    """An HTTP response with `content` as JSON."""
    return Response(_ENCODER.encode(content), status, media_type="application/json")


def order_from_update(update: OrderUpdate, symbol: Symbol) -> OrderAnswer:
    """The order as the matcher's update says it."""
    return _order(update, symbol, update.status, update.created_ms)


def order_from_row(row: OrderRow, symbol: Symbol) -> OrderAnswer:
    """The order as the store has it."""
    return _order(row, symbol, row.status, row.created_ms)


def order_from_view(view: OpenOrderView, symbol: Symbol) -> OrderAnswer:
    """The open order as ubscore has it."""
    status = OrderStatus.PartiallyFilled if view.filled_lots else OrderStatus.New
    return _order(view, symbol, status, view.created_ms)


def _order(
    order: OrderUpdate | OrderRow | OpenOrderView, symbol: Symbol, status: OrderStatus, created_ms: int
) -> OrderAnswer:
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
        created_ms,
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


def statistics_answer(row: StatisticsRow, user_id: int) -> StatisticsAnswer:
    return StatisticsAnswer(user_id, row.new, row.filled, row.cancelled, row.rejected, row.expired, row.updated_ms)


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
