"""Records of `balance.events`: what happened to accounts, balances and commands. Written by ubscore alone.

A balance change carries the absolute values after it and the balance's new version, so that a repeat is harmless
and a gap is seen. Every change has an event id that anyone can derive: see `BalanceChange.event_id`.
"""

from enum import IntEnum

import msgspec

from services.domain.instruments import SymbolSettings
from services.domain.messages.engine import Trade
from services.domain.orders import OrderStatus, OrderType, Side, TimeInForce
from services.domain.rejects import Reject


class ChangeKind(IntEnum):
    """Why a balance changed. Member names are the words of the ledger; in lower case, of event ids."""

    Deposit = 1
    Withdrawal = 2
    Reserve = 3
    Release = 4
    Trade = 5
    Fee = 6


class BalanceChange(msgspec.Struct, array_like=True, gc=False):
    """One balance after one change; amounts in the asset's smallest units."""

    user_id: int
    """Negative for a shard's fee account."""
    asset: str
    kind: ChangeKind
    available_delta: int
    reserved_delta: int
    available: int
    reserved: int
    version: int
    """+1 at every change of this user's balance of this asset, from 1."""

    @property
    def event_id(self) -> str:
        """Such as deposit_1001_BTC_1: kind, user, asset, version. Unique, and the same in every service."""
        return f"{self.kind.name.lower()}_{self.user_id}_{self.asset}_{self.version}"


class OrderAccepted(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Checked and reserved; it is on its way to the matcher. Amounts as in PlaceOrder."""

    request_id: int
    time_ms: int
    order_id: int
    user_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    change: BalanceChange


class OrderRejected(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Refused before the matcher; nothing was reserved. Every order gets an id, so that history can tell refusals."""

    request_id: int
    time_ms: int
    order_id: int
    user_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    code: Reject


class OrderRepeated(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The same order came again: this is the first answer; a refusal when `code` is not NONE."""

    request_id: int
    time_ms: int
    user_id: int
    cid: str
    order_id: int
    code: Reject


class CancelAccepted(msgspec.Struct, array_like=True, tag=4, gc=False):
    """Cancels of `order_ids` are on their way to the matchers, each with this request id. May be empty."""

    request_id: int
    time_ms: int
    user_id: int
    order_ids: list[int]


class CommandRejected(msgspec.Struct, array_like=True, tag=5, gc=False):
    """A cancel or an administrative command was refused; nothing changed."""

    request_id: int
    time_ms: int
    user_id: int
    code: Reject


class TransferCompleted(msgspec.Struct, array_like=True, tag=6, gc=False):
    """A deposit or withdrawal took effect; `change.kind` says which."""

    request_id: int
    time_ms: int
    transfer_id: str
    change: BalanceChange


class TransferRejected(msgspec.Struct, array_like=True, tag=7, gc=False):
    """A deposit or withdrawal was refused."""

    request_id: int
    time_ms: int
    transfer_id: str
    user_id: int
    asset: str
    amount: int
    code: Reject


class TransferRepeated(msgspec.Struct, array_like=True, tag=8, gc=False):
    """The same transfer came again: this is the first answer, as it was. `change` is None when it was refused."""

    request_id: int
    time_ms: int
    transfer_id: str
    user_id: int
    code: Reject
    change: BalanceChange | None


class TradeSettled(msgspec.Struct, array_like=True, tag=9, gc=False):
    """A trade took effect on this shard's users. A trade across shards is settled once by each, with its own sides.

    buyer_fee: smallest base units; seller_fee: smallest quote units; both are always filled in.
    """

    matcher_shard: int
    engine_sequence: int
    time_ms: int
    symbol: str
    trade: Trade
    base_amount: int
    quote_amount: int
    buyer_fee: int
    seller_fee: int
    changes: list[BalanceChange]


class OrderClosed(msgspec.Struct, array_like=True, tag=10, gc=False):
    """An order is done; what it still reserved was released (`change` is None when that was nothing)."""

    matcher_shard: int
    engine_sequence: int
    request_id: int
    time_ms: int
    order_id: int
    user_id: int
    status: OrderStatus
    change: BalanceChange | None


class UserUpdated(msgspec.Struct, array_like=True, tag=11, gc=False):
    """An account exists, and is suspended or not."""

    request_id: int
    time_ms: int
    user_id: int
    suspended: bool


class AssetUpdated(msgspec.Struct, array_like=True, tag=12, gc=False):
    """An asset exists."""

    request_id: int
    time_ms: int
    name: str
    scale: int


class SymbolUpdated(msgspec.Struct, array_like=True, tag=13, gc=False):
    """A symbol exists, with these settings."""

    request_id: int
    time_ms: int
    settings: SymbolSettings


class PolicyUpdated(msgspec.Struct, array_like=True, tag=14, gc=False):
    """Limits of this account shard."""

    request_id: int
    time_ms: int
    order_window_ms: int
    transfer_window_ms: int
    max_open_orders: int


Event = (
    OrderAccepted
    | OrderRejected
    | OrderRepeated
    | CancelAccepted
    | CommandRejected
    | TransferCompleted
    | TransferRejected
    | TransferRepeated
    | TradeSettled
    | OrderClosed
    | UserUpdated
    | AssetUpdated
    | SymbolUpdated
    | PolicyUpdated
)
