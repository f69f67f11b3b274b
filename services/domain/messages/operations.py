"""Records of `balance.operations`: commands of gateways, and what a matcher reports back.

`request_id` is the gateway's, so that it finds the answer again; `time_ms` is when it stamped the command, in
milliseconds since the epoch, and the only time that a core ever sees.
"""

import msgspec

from services.domain.instruments import SymbolSettings
from services.domain.messages.engine import Closed, Trade
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce


class PlaceOrder(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Reserve for an order and send it to the matcher.

    price_ticks: the limit; for a Market order its protection price. quantity_lots: 0 when a Market order is by
    `quote_amount` (smallest quote units), which is 0 otherwise. reference_price_ticks: what the symbol's band is held
    against, as the gateway saw it; 0 when there was none.
    """

    request_id: int
    time_ms: int
    user_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    self_trade_prevention: SelfTradePrevention
    price_ticks: int
    quantity_lots: int
    quote_amount: int = 0
    reference_price_ticks: int = 0


class CancelOrder(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Cancel one open order, by `order_id`, or by `cid` when `order_id` is 0."""

    request_id: int
    time_ms: int
    user_id: int
    order_id: int
    cid: str = ""


class CancelAll(msgspec.Struct, array_like=True, tag=3, gc=False):
    """Cancel all open orders of a user; of one symbol when `symbol` is not empty."""

    request_id: int
    time_ms: int
    user_id: int
    symbol: str = ""


class TransferIn(msgspec.Struct, array_like=True, tag=4, gc=False):
    """Credit `amount` smallest units of `asset`. A repeat of `transfer_id` gets the first answer."""

    request_id: int
    time_ms: int
    transfer_id: str
    user_id: int
    asset: str
    amount: int


class TransferOut(msgspec.Struct, array_like=True, tag=5, gc=False):
    """Debit `amount` smallest units of `asset` from what is available. Idempotent as TransferIn."""

    request_id: int
    time_ms: int
    transfer_id: str
    user_id: int
    asset: str
    amount: int


class CreateUser(msgspec.Struct, array_like=True, tag=6, gc=False):
    """Open an account. Idempotent."""

    request_id: int
    time_ms: int
    user_id: int


class SetUserStatus(msgspec.Struct, array_like=True, tag=7, gc=False):
    """Suspend an account (no orders, no withdrawals; cancels and deposits go on) or resume it. Idempotent."""

    request_id: int
    time_ms: int
    user_id: int
    suspended: bool


class SetAsset(msgspec.Struct, array_like=True, tag=8, gc=False):
    """Declare an asset. Its scale never changes. Sent to every account shard."""

    request_id: int
    time_ms: int
    name: str
    scale: int


class SetSymbol(msgspec.Struct, array_like=True, tag=9, gc=False):
    """Declare or change a symbol. Its assets, tick and lot never change. Sent to every account shard."""

    request_id: int
    time_ms: int
    settings: SymbolSettings


class SetPolicy(msgspec.Struct, array_like=True, tag=10, gc=False):
    """Limits of an account shard; they travel through the log because a replay must find them again."""

    request_id: int
    time_ms: int
    order_window_ms: int
    """How long, in log time, client order ids are kept."""
    transfer_window_ms: int
    """How long, in log time, transfer ids are kept."""
    max_open_orders: int
    """Per user."""


class MatchReport(msgspec.Struct, array_like=True, tag=11, gc=False):
    """What one command did in the matcher, to every account shard that it touches.

    engine_sequence: of the MatchResult on `engine.outputs` of matcher shard `matcher_shard`. A shard settles only
    its own users' sides.
    """

    matcher_shard: int
    engine_sequence: int
    request_id: int
    time_ms: int
    symbol: str
    trades: list[Trade]
    closes: list[Closed]


Operation = (
    PlaceOrder
    | CancelOrder
    | CancelAll
    | TransferIn
    | TransferOut
    | CreateUser
    | SetUserStatus
    | SetAsset
    | SetSymbol
    | SetPolicy
    | MatchReport
)
