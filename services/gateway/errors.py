"""Every answer that is not a success: one shape, stable numbers.

The numbers follow the Binance spot API where it has one for the case; -4000 and below are the platform's own.
A message says what is wrong and, for input, which field; it never carries a secret or an internal text.
"""

from typing import Any, Final, NamedTuple

from services.domain.rejects import Reject


class Code:
    """The `code` of an error answer. A number never changes its meaning."""

    UNKNOWN: Final = -1000
    UNAUTHORIZED: Final = -1002
    TOO_MANY_REQUESTS: Final = -1003
    TIMEOUT: Final = -1007
    OVERLOADED: Final = -1008
    FILTER_FAILURE: Final = -1013
    INVALID_TIMESTAMP: Final = -1021
    INVALID_SIGNATURE: Final = -1022
    ILLEGAL_PARAMETER: Final = -1100
    UNKNOWN_PARAMETER: Final = -1101
    MISSING_PARAMETER: Final = -1102
    UNREADABLE_BODY: Final = -1103
    PARAMETER_NOT_REQUIRED: Final = -1106
    TOO_PRECISE: Final = -1111
    INVALID_TIME_IN_FORCE: Final = -1115
    INVALID_ORDER_TYPE: Final = -1116
    INVALID_SIDE: Final = -1117
    INVALID_SYMBOL: Final = -1121
    ORDER_REJECTED: Final = -2010
    CANCEL_REJECTED: Final = -2011
    NO_SUCH_ORDER: Final = -2013
    INVALID_KEY: Final = -2015
    NOT_FOUND: Final = -4000
    UNKNOWN_USER: Final = -4001
    UNKNOWN_ASSET: Final = -4002
    DUPLICATE_TRANSFER: Final = -4003
    BALANCE_TOO_LARGE: Final = -4004
    INVALID_AMOUNT: Final = -4005
    SETTING_FIXED: Final = -4006
    INVALID_SETTING: Final = -4007


class ApiError(Exception):
    """An answer that is not a success. headers: of the response. extra: more members of its body."""

    def __init__(
        self,
        status: int,
        code: int,
        msg: str,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(msg)
        self.status = status
        self.code = code
        self.msg = msg
        self.headers = headers
        self.extra = extra

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.msg, **(self.extra or {})}


class Overloaded(ApiError):
    """Refused at the door: nothing was written. The caller may try again."""

    def __init__(self, msg: str = "Too many commands are in flight; nothing was done, try again.") -> None:
        super().__init__(503, Code.OVERLOADED, msg, {"Retry-After": "1"})


class ExecutionUnknown(ApiError):
    """The outcome did not arrive in time: it may have taken effect, or may still."""

    def __init__(self) -> None:
        super().__init__(
            504,
            Code.TIMEOUT,
            "Timeout waiting for the outcome: execution status unknown. Ask with the same id, or repeat the command.",
        )


class StaleTimestamp(ApiError):
    """The signed timestamp is not within its receive window; nothing was written."""

    def __init__(self, msg: str = "Timestamp for this request is outside of the recvWindow.") -> None:
        super().__init__(400, Code.INVALID_TIMESTAMP, msg)


def bad_input(msg: str, code: int = Code.ILLEGAL_PARAMETER, status: int = 400) -> ApiError:
    """Input that cannot be a command. msg: a sentence that names the field."""
    return ApiError(status, code, msg)


def unauthorized(msg: str, code: int = Code.UNAUTHORIZED) -> ApiError:
    """Who asks is not known."""
    return ApiError(401, code, msg, {"WWW-Authenticate": "Bearer"})


def forbidden(msg: str) -> ApiError:
    """Who asks is known and may not."""
    return ApiError(403, Code.UNAUTHORIZED, msg)


def not_found(msg: str, code: int = Code.NOT_FOUND) -> ApiError:
    """What was asked for does not exist."""
    return ApiError(404, code, msg)


class RejectAnswer(NamedTuple):
    """How the API says a Reject."""

    status: int
    code: int
    msg: str


_A = RejectAnswer
REJECT_ANSWERS: Final[dict[Reject, RejectAnswer]] = {
    Reject.UNKNOWN_USER: _A(404, Code.UNKNOWN_USER, "Account does not exist."),
    Reject.USER_SUSPENDED: _A(403, Code.ORDER_REJECTED, "This action is disabled on this account: it is suspended."),
    Reject.UNKNOWN_ASSET: _A(400, Code.UNKNOWN_ASSET, "Invalid asset."),
    Reject.UNKNOWN_SYMBOL: _A(400, Code.INVALID_SYMBOL, "Invalid symbol."),
    Reject.SYMBOL_HALTED: _A(400, Code.ORDER_REJECTED, "Market is closed."),
    Reject.SYMBOL_CANCEL_ONLY: _A(400, Code.ORDER_REJECTED, "Market is closed for new orders; it takes cancels only."),
    Reject.INVALID_PRICE: _A(400, Code.FILTER_FAILURE, "Filter failure: PRICE_FILTER"),
    Reject.INVALID_QUANTITY: _A(400, Code.FILTER_FAILURE, "Filter failure: LOT_SIZE"),
    Reject.MIN_NOTIONAL: _A(400, Code.FILTER_FAILURE, "Filter failure: NOTIONAL"),
    Reject.NOTIONAL_TOO_LARGE: _A(400, Code.FILTER_FAILURE, "Filter failure: NOTIONAL"),
    Reject.PRICE_BAND: _A(400, Code.FILTER_FAILURE, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    Reject.DUPLICATE_CLIENT_ORDER_ID: _A(400, Code.ORDER_REJECTED, "Duplicate order sent."),
    Reject.TOO_MANY_OPEN_ORDERS: _A(400, Code.FILTER_FAILURE, "Filter failure: MAX_NUM_ORDERS"),
    Reject.INVALID_ORDER_TYPE: _A(400, Code.INVALID_ORDER_TYPE, "Order type and time in force do not fit each other."),
    Reject.NO_REFERENCE_PRICE: _A(400, Code.ORDER_REJECTED, "Market has no price yet; place a Limit order."),
    Reject.INVALID_CLIENT_ORDER_ID: _A(400, Code.ILLEGAL_PARAMETER, "Illegal characters found in parameter 'cid'."),
    Reject.INSUFFICIENT_BALANCE: _A(400, Code.ORDER_REJECTED, "Account has insufficient balance for requested action."),
    Reject.DUPLICATE_TRANSFER_ID: _A(
        409, Code.DUPLICATE_TRANSFER, "Another transfer has this transfer_id; nothing was moved."
    ),
    Reject.BALANCE_TOO_LARGE: _A(400, Code.BALANCE_TOO_LARGE, "The balance would become too large."),
    Reject.INVALID_AMOUNT: _A(400, Code.INVALID_AMOUNT, "Parameter 'amount' must be above 0."),
    Reject.UNKNOWN_ORDER: _A(400, Code.CANCEL_REJECTED, "Unknown order sent."),
    Reject.WOULD_TAKE_LIQUIDITY: _A(400, Code.ORDER_REJECTED, "Order would immediately match and take."),
    Reject.ASSET_SCALE_FIXED: _A(409, Code.SETTING_FIXED, "The scale of an asset cannot change."),
    Reject.SYMBOL_ASSETS_FIXED: _A(409, Code.SETTING_FIXED, "The assets of a symbol cannot change."),
    Reject.SYMBOL_STEPS_FIXED: _A(409, Code.SETTING_FIXED, "The tick and lot size of a symbol cannot change."),
    Reject.INVALID_SETTING: _A(400, Code.INVALID_SETTING, "A setting is out of range."),
}


def rejected(reject: Reject, **extra: Any) -> ApiError:
    """The error that says `reject`, with its name in `reject`; extra: more members of the body."""
    answer = REJECT_ANSWERS[reject]
    return ApiError(answer.status, answer.code, answer.msg, extra={"reject": reject.name, **extra})
