"""What requests may hold. Every struct forbids unknown fields; decimals are texts.

Patterns end with \\Z, as $ would let a newline pass; the OpenAPI document says $, which is the same in JSON schema.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from services.adapters.logs.levels import MAX_FOR_MS
from services.domain.instruments import MAX_FEE_MICROS, MAX_SCALE
from services.domain.money import MAX_AMOUNT, MAX_DECIMAL_LENGTH, MICROS

UserId = Annotated[int, Meta(ge=1, le=MAX_AMOUNT, description="A positive 63-bit number.", examples=[1001])]
OrderId = Annotated[int, Meta(ge=1, le=2**53 - 1, examples=[1])]
Decimal = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_DECIMAL_LENGTH,
        pattern=r"^[0-9]{1,20}(\.[0-9]{1,20})?\Z",
        description="A plain decimal number, as a text.",
        examples=["0.01"],
    ),
]
Cid = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._:/-]{1,36}\Z",
        description="Client order id: unique among the user's open and recent orders.",
        examples=["test_1234567890"],
    ),
]
SymbolName = Annotated[str, Meta(min_length=3, max_length=33, pattern=r"^[A-Z0-9_]+\Z", examples=["BTC_USDT"])]
AssetName = Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^[A-Z0-9]+\Z", examples=["BTC"])]
TransferId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._:/-]{1,64}\Z",
        description="Chosen by the caller; the same transfer sent again takes effect once.",
        examples=["deposit_1001_BTC_1"],
    ),
]
Limit = Annotated[int, Meta(ge=1, le=1000, description="At most so many rows.")]
TimeMs = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, description="Milliseconds since the epoch.")]
Cursor = Annotated[str, Meta(max_length=100, description="`next` of the page before.")]
Window = Annotated[int, Meta(ge=1, le=366 * 86_400_000, description="Milliseconds for which such ids are remembered.")]
FeeMicros = Annotated[int, Meta(ge=0, le=MAX_FEE_MICROS, description="Millionths: 1000 is 0.1 %.", examples=[1000])]
ScopeName = Literal["read", "trade", "treasury", "admin"]

DEFAULT_LIMIT: Final = 100


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """The base of everything that is read."""


class OrderBody(_Strict):
    """An order to place.

    Limit and LimitMaker need `price` and `quantity`; Market needs `quantity` or `quote_quantity` (how much to spend or
    to receive, fees aside) and takes no price.
    """

    symbol: SymbolName
    side: Literal["Buy", "Sell"]
    order_type: Literal["Limit", "Market", "LimitMaker"]
    cid: Cid | None = None
    price: Decimal | None = None
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    time_in_force: Annotated[
        Literal["GTC", "IOC", "FOK"] | None, Meta(description="GTC when absent; IOC of a Market order.")
    ] = None
    self_trade_prevention: Annotated[
        Literal["ExpireTaker", "ExpireMaker", "ExpireBoth"],
        Meta(description="Which order expires when this one would match another of the same user."),
    ] = "ExpireTaker"
    response: Annotated[
        Literal["ACK", "RESULT", "FULL"],
        Meta(description="ACK: as soon as it is durable. RESULT: with the outcome. FULL: with the fills too."),
    ] = "RESULT"


class CancelBody(_Strict):
    """The order to cancel: exactly one of the two."""

    order_id: OrderId | None = None
    cid: Cid | None = None


class CancelAllBody(_Strict):
    """Which orders to cancel: of one symbol, or all."""

    symbol: SymbolName | None = None


class TransferBody(_Strict):
    """Funds that come in or go out."""

    transfer_id: TransferId
    user_id: UserId
    asset: AssetName
    amount: Decimal


class LoginBody(_Strict):
    """An API key and its secret."""

    api_key: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]+\Z")]
    secret_key: Annotated[str, Meta(min_length=1, max_length=128)]


class NewUserBody(_Strict):
    """An account to open."""

    user_id: UserId


class EmptyBody(_Strict):
    """Nothing."""


class NewKeyBody(_Strict):
    """A key to make. With `public_key` (an Ed25519 key as PEM) there is no secret: its owner signs with his own."""

    scopes: Annotated[list[ScopeName], Meta(min_length=1, max_length=4, examples=[["read", "trade"]])]
    public_key: Annotated[str, Meta(max_length=1000)] = ""


class AssetBody(_Strict):
    """An asset's settings. scale: decimals of its smallest unit; it never changes."""

    scale: Annotated[int, Meta(ge=0, le=MAX_SCALE, examples=[8])]


class SymbolBody(_Strict):
    """A symbol's settings. Its tick and lot size never change."""

    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal
    maker_fee_micros: FeeMicros
    taker_fee_micros: FeeMicros
    band_micros: Annotated[
        int, Meta(ge=0, le=100 * MICROS, description="How far a price may be off, in millionths of it; 0: any.")
    ] = 0
    matcher_shard: Annotated[int, Meta(ge=0, le=511)] = 0
    status: Literal["Trading", "Halted", "CancelOnly"] = "Trading"


class PolicyBody(_Strict):
    """Limits of every account shard."""

    order_window_ms: Window
    transfer_window_ms: Window
    max_open_orders: Annotated[int, Meta(ge=1, le=1_000_000, description="Per user.")]


class LogLevelBody(_Strict):
    """A level for what is logged, as long as `for_ms`, else until the process ends. No level: that of the settings."""

    level: Literal["debug", "info", "warning", "error"] | None = None
    logger: Annotated[
        str,
        Meta(
            max_length=100,
            pattern=r"^[A-Za-z0-9_.-]*\Z",
            description="Only of this service, or of this library's logger; empty: of everything.",
            examples=["settlement"],
        ),
    ] = ""
    for_ms: Annotated[int, Meta(ge=1, le=MAX_FOR_MS, description="Then it falls back by itself.")] | None = None


class NoQuery(_Strict):
    """Takes no parameters."""


class UserQuery(_Strict):
    """Whose data; the caller's own when absent."""

    user_id: UserId | None = None


class OrdersQuery(_Strict):
    """Whose orders, and of which symbol."""

    user_id: UserId | None = None
    symbol: SymbolName | None = None


class FindOrderQuery(_Strict):
    """One order by its client order id."""

    cid: Cid
    user_id: UserId | None = None


class HistoryQuery(_Strict, rename={"from_ms": "from", "to_ms": "to"}):
    """Orders created in [from, to], newest first."""

    user_id: UserId | None = None
    symbol: SymbolName | None = None
    from_ms: TimeMs = 0
    to_ms: TimeMs = MAX_AMOUNT
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class LedgerQuery(_Strict):
    """Ledger entries, newest of each asset first."""

    user_id: UserId | None = None
    asset: AssetName | None = None
    limit: Limit = DEFAULT_LIMIT
    before: Cursor | None = None


class TradesQuery(_Strict):
    """Settled trades of a user, or of a symbol; newest first. At least one of the two."""

    user_id: UserId | None = None
    symbol: SymbolName | None = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class DepthQuery(_Strict):
    """A book's best levels."""

    symbol: SymbolName
    limit: Limit = DEFAULT_LIMIT
