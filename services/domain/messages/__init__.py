"""Every message on the log. msgspec structs, encoded as msgpack arrays that begin with a tag.

New fields come only at the end, with a default; a new meaning is a new tag; golden bytes under schema/messages must
decode for ever. A broker message carries many records, as one `Frame`.

    balance.operations   `operations.Operation`
    balance.events       `events.Event`
    orders               `orders.OrderCommand`
    engine.outputs       `engine.MatchResult`
"""

from services.domain.messages.engine import (
    Closed,
    LevelChange,
    MatchBody,
    MatchResult,
    OrderUpdate,
    Trade,
)
from services.domain.messages.events import (
    AssetUpdated,
    BalanceChange,
    CancelAccepted,
    ChangeKind,
    CommandRejected,
    Event,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderRepeated,
    PolicyUpdated,
    SymbolUpdated,
    TradeSettled,
    TransferCompleted,
    TransferRejected,
    TransferRepeated,
    UserUpdated,
)
from services.domain.messages.frame import Frame, decode_frame, decode_header, decode_kind, encode_frame
from services.domain.messages.operations import (
    CancelAll,
    CancelOrder,
    CreateUser,
    MatchReport,
    Operation,
    PlaceOrder,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    TransferIn,
    TransferOut,
)
from services.domain.messages.orders import CancelRequest, NewOrder, OrderCommand

__all__ = [
    "AssetUpdated",
    "BalanceChange",
    "CancelAccepted",
    "CancelAll",
    "CancelOrder",
    "CancelRequest",
    "ChangeKind",
    "Closed",
    "CommandRejected",
    "CreateUser",
    "Event",
    "Frame",
    "LevelChange",
    "MatchBody",
    "MatchReport",
    "MatchResult",
    "NewOrder",
    "Operation",
    "OrderAccepted",
    "OrderClosed",
    "OrderCommand",
    "OrderRejected",
    "OrderRepeated",
    "OrderUpdate",
    "PlaceOrder",
    "PolicyUpdated",
    "SetAsset",
    "SetPolicy",
    "SetSymbol",
    "SetUserStatus",
    "SymbolUpdated",
    "Trade",
    "TradeSettled",
    "TransferCompleted",
    "TransferIn",
    "TransferOut",
    "TransferRejected",
    "TransferRepeated",
    "UserUpdated",
    "decode_frame",
    "decode_header",
    "decode_kind",
    "encode_frame",
]
