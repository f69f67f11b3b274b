"""The words of an order. Member names are the words of the API; numbers are what the log holds, for ever."""

import re
from enum import IntEnum
from typing import Final

CLIENT_ORDER_ID: Final = re.compile(r"[A-Za-z0-9._:/-]{1,36}", re.ASCII)
"""What a client order id (`cid`) may be."""


class Side(IntEnum):
    Buy = 1
    Sell = 2


class OrderType(IntEnum):
    Limit = 1
    Market = 2
    """By quantity or by quote amount, never beyond its protection price."""
    LimitMaker = 3
    """Post-only: refused when it would take liquidity."""


class TimeInForce(IntEnum):
    GTC = 1
    """Good till cancelled: what does not match rests."""
    IOC = 2
    """Immediate or cancel: what does not match at once expires."""
    FOK = 3
    """Fill or kill: matches at once and whole, or expires."""


class SelfTradePrevention(IntEnum):
    """What happens when an order would match another of the same user."""

    ExpireTaker = 1
    ExpireMaker = 2
    ExpireBoth = 3


class OrderStatus(IntEnum):
    New = 1
    PartiallyFilled = 2
    Filled = 3
    Cancelled = 4
    Rejected = 5
    Expired = 6

    @property
    def is_open(self) -> bool:
        return self <= OrderStatus.PartiallyFilled
