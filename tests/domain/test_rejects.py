"""Reject codes are for ever: this table is the promise. New codes are added here; none is changed or removed."""

from services.domain.rejects import Reject

PROMISED = {
    "NONE": 0,
    "UNKNOWN_USER": 101,
    "USER_SUSPENDED": 102,
    "UNKNOWN_ASSET": 201,
    "UNKNOWN_SYMBOL": 202,
    "SYMBOL_HALTED": 203,
    "SYMBOL_CANCEL_ONLY": 204,
    "INVALID_PRICE": 301,
    "INVALID_QUANTITY": 302,
    "MIN_NOTIONAL": 303,
    "NOTIONAL_TOO_LARGE": 304,
    "PRICE_BAND": 305,
    "DUPLICATE_CLIENT_ORDER_ID": 306,
    "TOO_MANY_OPEN_ORDERS": 307,
    "INVALID_ORDER_TYPE": 308,
    "NO_REFERENCE_PRICE": 309,
    "INVALID_CLIENT_ORDER_ID": 310,
    "INSUFFICIENT_BALANCE": 401,
    "DUPLICATE_TRANSFER_ID": 402,
    "BALANCE_TOO_LARGE": 403,
    "INVALID_AMOUNT": 404,
    "UNKNOWN_ORDER": 501,
    "WOULD_TAKE_LIQUIDITY": 502,
    "ASSET_SCALE_FIXED": 601,
    "SYMBOL_ASSETS_FIXED": 602,
    "SYMBOL_STEPS_FIXED": 603,
    "INVALID_SETTING": 604,
}


def test_reject_numbers_are_as_promised() -> None:
    numbers = {code.name: code.value for code in Reject}
    assert {name: numbers.get(name) for name in PROMISED} == PROMISED


def test_reject_every_code_is_in_the_promise_and_a_band() -> None:
    assert {code.name for code in Reject} == set(PROMISED)
    assert all(code == Reject.NONE or 101 <= code <= 699 for code in Reject)
    assert len(Reject.__members__) == len(list(Reject))
    assert not Reject.NONE
