"""Why a command was refused: stable numbers in bands by the stage that refuses.

    100s accounts   200s instruments   300s the order itself   400s balances   500s matching   600s administration

A number never changes its meaning and is never used again. The gateway turns them into the API's codes.
"""

from enum import IntEnum


class Reject(IntEnum):
    """A refusal. `NONE` (0) means that the command was not refused."""

    NONE = 0

    UNKNOWN_USER = 101
    USER_SUSPENDED = 102

    UNKNOWN_ASSET = 201
    UNKNOWN_SYMBOL = 202
    SYMBOL_HALTED = 203
    SYMBOL_CANCEL_ONLY = 204

    INVALID_PRICE = 301
    INVALID_QUANTITY = 302
    MIN_NOTIONAL = 303
    NOTIONAL_TOO_LARGE = 304
    PRICE_BAND = 305
    DUPLICATE_CLIENT_ORDER_ID = 306
    TOO_MANY_OPEN_ORDERS = 307
    INVALID_ORDER_TYPE = 308
    NO_REFERENCE_PRICE = 309
    INVALID_CLIENT_ORDER_ID = 310

    INSUFFICIENT_BALANCE = 401
    DUPLICATE_TRANSFER_ID = 402
    BALANCE_TOO_LARGE = 403
    INVALID_AMOUNT = 404

    UNKNOWN_ORDER = 501
    WOULD_TAKE_LIQUIDITY = 502

    ASSET_SCALE_FIXED = 601
    SYMBOL_ASSETS_FIXED = 602
    SYMBOL_STEPS_FIXED = 603
    INVALID_SETTING = 604
