"""Users, assets, symbols and limits: settings that travel through the log, because a replay must find them again.

Every command is idempotent.
"""

from services.domain.errors import FormatError
from services.domain.instruments import Asset, Symbol, SymbolSettings, build_symbol, check_asset
from services.domain.messages import (
    AssetUpdated,
    CreateUser,
    PolicyUpdated,
    SetAsset,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    SymbolUpdated,
    UserUpdated,
)
from services.domain.money import MAX_AMOUNT
from services.domain.rejects import Reject
from services.ubscore.accounts import Account
from services.ubscore.policy import Policy
from services.ubscore.state import State


def create_user(state: State, op: CreateUser) -> None:
    if op.user_id <= 0 or op.user_id > MAX_AMOUNT or not state.owns(op.user_id):
        state.refuse(op.request_id, op.time_ms, op.user_id, Reject.UNKNOWN_USER)
        return
    account = state.accounts.setdefault(op.user_id, Account(op.user_id))
    state.events.append(UserUpdated(op.request_id, op.time_ms, op.user_id, account.suspended))


def set_user_status(state: State, op: SetUserStatus) -> None:
    account = state.accounts.get(op.user_id)
    if account is None:
        state.refuse(op.request_id, op.time_ms, op.user_id, Reject.UNKNOWN_USER)
        return
    account.suspended = op.suspended
    state.events.append(UserUpdated(op.request_id, op.time_ms, op.user_id, op.suspended))


def set_asset(state: State, op: SetAsset) -> None:
    asset = Asset(op.name, op.scale)
    code = _check_asset(state, asset)
    if code != Reject.NONE:
        state.refuse(op.request_id, op.time_ms, 0, code)
        return
    state.assets.setdefault(op.name, asset)
    state.events.append(AssetUpdated(op.request_id, op.time_ms, op.name, op.scale))


def _check_asset(state: State, asset: Asset) -> Reject:
    known = state.assets.get(asset.name)
    if known is not None:
        return Reject.NONE if known == asset else Reject.ASSET_SCALE_FIXED
    try:
        check_asset(asset)
    except FormatError:
        return Reject.INVALID_SETTING
    return Reject.NONE


def set_symbol(state: State, op: SetSymbol) -> None:
    symbol = _build_symbol(state, op.settings)
    if isinstance(symbol, Reject):
        state.refuse(op.request_id, op.time_ms, 0, symbol)
        return
    state.symbols[symbol.name] = symbol
    state.events.append(SymbolUpdated(op.request_id, op.time_ms, op.settings))


def _build_symbol(state: State, settings: SymbolSettings) -> Symbol | Reject:
    """Everything about a symbol may change but what its open orders and its history are counted in."""
    known = state.symbols.get(settings.name)
    if known is not None and (known.base.name, known.quote.name) != (settings.base, settings.quote):
        return Reject.SYMBOL_ASSETS_FIXED
    base, quote = state.assets.get(settings.base), state.assets.get(settings.quote)
    if base is None or quote is None:
        return Reject.UNKNOWN_ASSET
    try:
        symbol = build_symbol(settings, base, quote)
    except FormatError:
        return Reject.INVALID_SETTING
    if known is not None and _steps(known) != _steps(symbol):
        return Reject.SYMBOL_STEPS_FIXED
    return symbol


def _steps(symbol: Symbol) -> tuple[int, int, int]:
    return symbol.tick_units, symbol.lot_units, symbol.settings.matcher_shard


def set_policy(state: State, op: SetPolicy) -> None:
    policy = Policy(op.order_window_ms, op.transfer_window_ms, op.max_open_orders)
    if not policy.is_valid:
        state.refuse(op.request_id, op.time_ms, 0, Reject.INVALID_SETTING)
        return
    state.policy = policy
    state.events.append(PolicyUpdated(op.request_id, op.time_ms, *policy))
