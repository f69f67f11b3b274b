"""Deposits and withdrawals, each once by its transfer id."""

from services.domain.messages import (
    ChangeKind,
    TransferCompleted,
    TransferIn,
    TransferOut,
    TransferRejected,
    TransferRepeated,
)
from services.domain.money import MAX_AMOUNT, clamped
from services.domain.rejects import Reject
from services.ubscore.accounts import Account
from services.ubscore.memory import TransferAnswer
from services.ubscore.state import State


def transfer_in(state: State, op: TransferIn) -> None:
    _transfer(state, op, ChangeKind.Deposit, 1)


def transfer_out(state: State, op: TransferOut) -> None:
    _transfer(state, op, ChangeKind.Withdrawal, -1)


def _transfer(state: State, op: TransferIn | TransferOut, kind: ChangeKind, sign: int) -> None:
    first = state.transfer_answers.get(op.transfer_id)
    if first is not None and first.answers(op):
        state.events.append(
            TransferRepeated(op.request_id, op.time_ms, op.transfer_id, op.user_id, first.code, first.change)
        )
        return
    account = state.accounts.get(op.user_id)
    code = Reject.DUPLICATE_TRANSFER_ID if first is not None else _check_transfer(state, op, sign, account)
    change = None
    if code == Reject.NONE and account is not None:
        change = account.change(op.asset, kind, sign * op.amount, 0)
        state.supply[op.asset] = state.supply.get(op.asset, 0) + sign * op.amount
        state.events.append(TransferCompleted(op.request_id, op.time_ms, op.transfer_id, change))
    else:
        state.events.append(
            TransferRejected(
                op.request_id, op.time_ms, op.transfer_id, clamped(op.user_id), op.asset, clamped(op.amount), code
            )
        )
    if first is None and account is not None:
        answer = (state.now_ms, op.transfer_id, op.user_id, op.asset, op.amount, sign > 0, code, change)
        state.transfer_answers.add(TransferAnswer(*answer))


def _check_transfer(state: State, op: TransferIn | TransferOut, sign: int, account: Account | None) -> Reject:
    if account is None:
        return Reject.UNKNOWN_USER
    if op.asset not in state.assets:
        return Reject.UNKNOWN_ASSET
    if not 0 < op.amount <= MAX_AMOUNT:
        return Reject.INVALID_AMOUNT
    if sign > 0 and state.supply.get(op.asset, 0) + op.amount > state.max_supply:
        return Reject.BALANCE_TOO_LARGE
    if sign < 0 and account.suspended:
        return Reject.USER_SUSPENDED
    if sign < 0 and account.available(op.asset) < op.amount:
        return Reject.INSUFFICIENT_BALANCE
    return Reject.NONE
