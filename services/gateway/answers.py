"""What the API answers. Decimals are texts, words are those of the domain, times are milliseconds since the epoch."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response


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
    filled_quote: Annotated[str, Meta(description="Σ price × quantity of its trades, fees aside.")]
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
    band_micros: Annotated[int, Meta(description="How far a price may be off, in millionths of it; 0: any.")]
    matcher_shard: int
    status: str


class InstrumentsAnswer(msgspec.Struct):
    """Everything that can be owned or traded."""

    assets: list[AssetAnswer]
    symbols: list[SymbolAnswer]


Differing = Annotated[list[str], Meta(description="Names that not every account shard has alike: set them again.")]


class AssetsAnswer(msgspec.Struct):
    """All assets."""

    assets: list[AssetAnswer]
    differing: Differing


class SymbolsAnswer(msgspec.Struct):
    """All symbols."""

    symbols: list[SymbolAnswer]
    differing: Differing


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
    expires_in: Annotated[int, Meta(description="Seconds.")]
    token_type: str = "Bearer"  # noqa: S105 (the word, not a secret)


class PolicyAnswer(msgspec.Struct):
    """Limits of every account shard."""

    order_window_ms: int
    transfer_window_ms: int
    max_open_orders: int


class CurrentPolicyAnswer(PolicyAnswer):
    """The limits of the first account shard."""

    differing: Annotated[bool, Meta(description="Whether another account shard has others: set them again.")]


class HealthAnswer(msgspec.Struct):
    """The state of each component."""

    status: str
    components: dict[str, str]


class CoreAnswer(msgspec.Struct):
    """A core's state at one moment. digest: blake2b-256 of the whole state, in hexadecimal."""

    source: str
    next_offset: Annotated[int, Meta(description="The first frame of its input that it has not applied.")]
    digest: str


class CoresAnswer(msgspec.Struct):
    """Every core of the exchange."""

    cores: list[CoreAnswer]


class LogLevelAnswer(msgspec.Struct):
    """The level of one logger; empty: of everything that has none of its own."""

    logger: str
    level: str
    until_ms: Annotated[int | None, Meta(description="When it falls back by itself.")] = None


class LogLevelsAnswer(msgspec.Struct):
    """What one process logs."""

    levels: list[LogLevelAnswer]


_ENCODER = msgspec.json.Encoder()


def answer(content: Any, status: int = 200) -> Response:
    """An HTTP response with `content` as JSON."""
    return Response(_ENCODER.encode(content), status, media_type="application/json")
