"""The state of an ubscore shard as bytes: canonical, so that equal states are equal bytes.

What has an order of its own (open orders by age, answers by time, instruments by declaration) keeps it; the rest is
sorted by key.
"""

from typing import Final

import msgspec

from services.domain.core import SourceSequences
from services.domain.errors import JournalError
from services.domain.instruments import Asset, SymbolSettings, build_symbol
from services.domain.orders import OrderType, Side, TimeInForce
from services.domain.topics import TopicPartition
from services.ubscore.accounts import Account, Balance, OpenOrder
from services.ubscore.memory import OrderAnswer, OrderMemory, TransferAnswer, TransferMemory
from services.ubscore.policy import Policy
from services.ubscore.state import State

STATE_VERSION: Final = 1


class _Order(msgspec.Struct, array_like=True, gc=False):
    order_id: int
    cid: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    created_ms: int
    reserved: int
    filled_lots: int
    filled_tick_lots: int


class _Account(msgspec.Struct, array_like=True, gc=False):
    user_id: int
    suspended: bool
    balances: list[tuple[str, int, int, int]]
    orders: list[_Order]


class _State(msgspec.Struct, array_like=True, gc=False):
    version: int
    shard: int
    shards: int
    next_offset: int
    now_ms: int
    orders_seen: int
    policy: tuple[int, int, int]
    assets: list[tuple[str, int]]
    symbols: list[SymbolSettings]
    accounts: list[_Account]
    fees: _Account
    supply: list[tuple[str, int]]
    transit: list[tuple[str, int]]
    sequences: list[tuple[str, int]]
    said: list[tuple[str, int, int]]
    order_answers: list[OrderAnswer]
    transfer_answers: list[TransferAnswer]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_State)


def encode_state(state: State) -> bytes:
    """All of it."""
    return _ENCODER.encode(
        _State(
            STATE_VERSION,
            state.shard,
            state.shards,
            state.next_offset,
            state.now_ms,
            state.orders_seen,
            (*state.policy,),
            [(asset.name, asset.scale) for asset in state.assets.values()],
            [symbol.settings for symbol in state.symbols.values()],
            [_pack_account(state.accounts[user_id]) for user_id in sorted(state.accounts)],
            _pack_account(state.fees),
            sorted(state.supply.items()),
            sorted(state.transit.items()),
            sorted(state.sequences.last.items()),
            [(*partition, last) for partition, last in sorted(state.said.items())],
            state.order_answers.in_order(),
            state.transfer_answers.in_order(),
        )
    )


def decode_state(data: bytes) -> State:
    """The state that `encode_state` wrote. Raises msgspec.DecodeError, or JournalError on another version."""
    packed = _DECODER.decode(data)
    if packed.version != STATE_VERSION:
        raise JournalError(f"snapshot of state version {packed.version}, this program reads {STATE_VERSION}")
    state = State(packed.shard, packed.shards)
    state.next_offset, state.now_ms, state.orders_seen = packed.next_offset, packed.now_ms, packed.orders_seen
    state.policy = Policy(*packed.policy)
    state.assets = {name: Asset(name, scale) for name, scale in packed.assets}
    for settings in packed.symbols:
        base, quote = state.assets[settings.base], state.assets[settings.quote]
        state.symbols[settings.name] = build_symbol(settings, base, quote)
    state.accounts = {account.user_id: _unpack_account(state, account) for account in packed.accounts}
    state.fees = _unpack_account(state, packed.fees)
    state.supply, state.transit = dict(packed.supply), dict(packed.transit)
    state.sequences = SourceSequences(dict(packed.sequences))
    state.said = {TopicPartition(topic, partition): last for topic, partition, last in packed.said}
    state.order_answers = OrderMemory(packed.order_answers)
    state.transfer_answers = TransferMemory(packed.transfer_answers)
    return state


def _pack_account(account: Account) -> _Account:
    balances = [(asset, b.available, b.reserved, b.version) for asset, b in sorted(account.balances.items())]
    orders = [_pack_order(order) for order in account.orders.values()]
    return _Account(account.user_id, account.suspended, balances, orders)


def _pack_order(order: OpenOrder) -> _Order:
    return _Order(
        order.order_id,
        order.cid,
        order.symbol.name,
        order.side,
        order.order_type,
        order.time_in_force,
        order.price_ticks,
        order.quantity_lots,
        order.quote_amount,
        order.created_ms,
        order.reserved,
        order.filled_lots,
        order.filled_tick_lots,
    )


def _unpack_account(state: State, packed: _Account) -> Account:
    account = Account(packed.user_id, packed.suspended)
    account.balances = {asset: Balance(*amounts) for asset, *amounts in packed.balances}
    account.orders = {order.order_id: _unpack_order(state, packed.user_id, order) for order in packed.orders}
    return account


def _unpack_order(state: State, user_id: int, packed: _Order) -> OpenOrder:
    return OpenOrder(
        packed.order_id,
        user_id,
        packed.cid,
        state.symbols[packed.symbol],
        packed.side,
        packed.order_type,
        packed.time_in_force,
        packed.price_ticks,
        packed.quantity_lots,
        packed.quote_amount,
        packed.created_ms,
        packed.reserved,
        packed.filled_lots,
        packed.filled_tick_lots,
    )
