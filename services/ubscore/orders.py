"""Orders and cancels: check, reserve, remember, forward.

An order that may not pass leaves nothing behind but its refusal, and the memory of it. A cancel releases nothing: it
passes through the matcher, and only what the matcher says is left will be released (settling.py).
"""

from typing import Final

from services.domain.instruments import Symbol
from services.domain.messages import (
    BalanceChange,
    CancelAccepted,
    CancelAll,
    CancelOrder,
    CancelRequest,
    ChangeKind,
    NewOrder,
    OrderAccepted,
    OrderRejected,
    OrderRepeated,
    PlaceOrder,
)
from services.domain.money import clamped
from services.domain.orders import CLIENT_ORDER_ID, OrderType
from services.domain.rejects import Reject
from services.domain.topics import ORDER_SHARD_SHIFT
from services.ubscore.accounts import Account, OpenOrder
from services.ubscore.checks import check_filters, check_form, check_symbol, notional_of, reservation_of
from services.ubscore.memory import OrderAnswer
from services.ubscore.state import State

# Looked up once: members of an enum class are slow to find, and this is the hottest code.
_NONE: Final = Reject.NONE
_ILL_FORMED: Final = Reject.INVALID_CLIENT_ORDER_ID
_RESERVE: Final = ChangeKind.Reserve
_MARKET: Final = OrderType.Market


def place(state: State, op: PlaceOrder) -> None:
    account = state.accounts.get(op.user_id)
    first = state.order_answers.get(op.user_id, op.cid)
    if first is not None and first.answers(op):
        state.events.append(OrderRepeated(op.request_id, op.time_ms, op.user_id, op.cid, first.order_id, first.code))
        return
    state.orders_seen += 1
    order_id = state.shard << ORDER_SHARD_SHIFT | state.orders_seen
    code = Reject.DUPLICATE_CLIENT_ORDER_ID if first is not None else _accept(state, op, order_id, account)
    if code is not _NONE:
        _reject(state, op, order_id, code)
    # A user that does not exist may come into being: only what was said to a user is remembered. An ill-formed
    # client order id is refused again by itself, and must not fill the memory.
    if first is None and account is not None and code is not _ILL_FORMED:
        _remember(state, op, account, order_id, code)


def _accept(state: State, op: PlaceOrder, order_id: int, account: Account | None) -> Reject:
    """Check, reserve and forward; or return why not, having changed nothing."""
    if account is None:
        return Reject.UNKNOWN_USER
    if CLIENT_ORDER_ID.fullmatch(op.cid) is None:
        return _ILL_FORMED
    if account.suspended:
        return Reject.USER_SUSPENDED
    symbol = state.symbols.get(op.symbol)
    code = check_symbol(symbol) or check_form(op)
    if code is not _NONE or symbol is None:
        return code
    notional = notional_of(op, symbol)
    code = check_filters(op, symbol, notional)
    if code is not _NONE:
        return code
    if len(account.orders) >= state.policy.max_open_orders:
        return Reject.TOO_MANY_OPEN_ORDERS
    need = reservation_of(op, symbol, notional)
    if isinstance(need, Reject):
        return need
    if account.available(need.asset) < need.amount:
        return Reject.INSUFFICIENT_BALANCE
    change = account.change(need.asset, _RESERVE, -need.amount, need.amount)
    account.orders[order_id] = OpenOrder(
        order_id,
        account.user_id,
        op.cid,
        symbol,
        op.side,
        op.order_type,
        op.time_in_force,
        op.price_ticks,
        need.quantity_lots,
        op.quote_amount,
        op.time_ms,
        need.amount,
    )
    _say_accepted(state, op, order_id, symbol, need.quantity_lots, change)
    return _NONE


def _say_accepted(
    state: State, op: PlaceOrder, order_id: int, symbol: Symbol, quantity_lots: int, change: BalanceChange
) -> None:
    state.events.append(
        OrderAccepted(
            op.request_id,
            op.time_ms,
            order_id,
            op.user_id,
            op.cid,
            op.symbol,
            op.side,
            op.order_type,
            op.time_in_force,
            op.price_ticks,
            quantity_lots,
            op.quote_amount,
            change,
        )
    )
    settings = symbol.settings
    state.forward(
        settings.matcher_shard,
        NewOrder(
            op.request_id,
            op.time_ms,
            order_id,
            op.user_id,
            op.cid,
            op.symbol,
            op.side,
            op.order_type,
            op.time_in_force,
            op.self_trade_prevention,
            op.price_ticks,
            quantity_lots,
            op.quote_amount // symbol.quote_units_per_tick_lot,
            settings.maker_fee_micros,
            settings.taker_fee_micros,
        ),
    )


def _reject(state: State, op: PlaceOrder, order_id: int, code: Reject) -> None:
    state.events.append(
        OrderRejected(
            op.request_id,
            op.time_ms,
            order_id,
            clamped(op.user_id),
            op.cid,
            op.symbol,
            op.side,
            op.order_type,
            op.time_in_force,
            clamped(op.price_ticks),
            clamped(op.quantity_lots),
            clamped(op.quote_amount),
            code,
        )
    )


def _remember(state: State, op: PlaceOrder, account: Account, order_id: int, code: Reject) -> None:
    # What many answers have in common is one object: they are many.
    symbol = state.symbols.get(op.symbol)
    state.order_answers.add(
        OrderAnswer(
            state.now_ms,
            account.user_id,
            op.cid,
            order_id,
            code,
            symbol.settings.name if symbol is not None else op.symbol,
            op.side,
            op.order_type,
            op.time_in_force,
            op.self_trade_prevention,
            0 if op.order_type is _MARKET else op.price_ticks,
            op.quantity_lots,
            op.quote_amount,
        )
    )


def cancel(state: State, op: CancelOrder) -> None:
    order = state.find_open(op.user_id, op.order_id, op.cid)
    if order is None:
        code = Reject.UNKNOWN_ORDER if op.user_id in state.accounts else Reject.UNKNOWN_USER
        state.refuse(op.request_id, op.time_ms, op.user_id, code)
        return
    _cancel_orders(state, op, [order])


def cancel_all(state: State, op: CancelAll) -> None:
    account = state.accounts.get(op.user_id)
    if account is None or (op.symbol and op.symbol not in state.symbols):
        code = Reject.UNKNOWN_USER if account is None else Reject.UNKNOWN_SYMBOL
        state.refuse(op.request_id, op.time_ms, op.user_id, code)
        return
    _cancel_orders(state, op, [o for o in account.orders.values() if op.symbol in ("", o.symbol.name)])


def _cancel_orders(state: State, op: CancelOrder | CancelAll, orders: list[OpenOrder]) -> None:
    """Nothing is released here: only what the matcher says is left will be."""
    ids = [order.order_id for order in orders]
    state.events.append(CancelAccepted(op.request_id, op.time_ms, op.user_id, ids))
    for order in orders:
        request = CancelRequest(op.request_id, op.time_ms, order.order_id, op.user_id)
        state.forward(order.symbol.settings.matcher_shard, request)
