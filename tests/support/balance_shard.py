"""An ubscore shard as its neighbours see it: frames in and out as bytes, and the state checked after each.

Beside it runs a twin that is restored from the snapshot before every frame: both must say the same and be the same
afterwards, so every test that uses a `Shard` is a test of snapshots too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.domain.core import Output, SourceSequences
from services.domain.instruments import SymbolSettings, SymbolStatus
from services.domain.messages import (
    CancelRequest,
    Closed,
    CreateUser,
    MatchReport,
    NewOrder,
    PlaceOrder,
    SetAsset,
    SetSymbol,
    Trade,
    TransferIn,
    decode_frame,
    encode_frame,
)
from services.domain.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, TopicPartition
from services.ubscore.core import UbsCore

T0 = 1_700_000_000_000
HOUR_MS = 60 * 60 * 1000


BTC_USDT = SymbolSettings("BTC_USDT", "BTC", "USDT", "0.1", "0.001", "1", 1000, 2000)
"""One lot is 100,000 units of BTC, one tick × lot 100 units of USDT, the smallest notional 10,000 tick lots."""
ETH_USDT = SymbolSettings("ETH_USDT", "ETH", "USDT", "0.01", "0.01", "0", 0, 500, matcher_shard=1)
"""One lot is 10,000,000 units of ETH, one tick × lot 100 units of USDT; any notional."""
LOT, TICK_LOT = 100_000, 100


@dataclass
class Said:
    """What one frame made a shard say."""

    events: list[Any] = field(default_factory=list)
    forwards: dict[int, list[NewOrder | CancelRequest]] = field(default_factory=dict)
    """By matcher shard."""

    @property
    def event(self) -> Any:
        """The only event."""
        (event,) = self.events
        return event

    @property
    def forward(self) -> Any:
        """The only record forwarded."""
        ((record,),) = self.forwards.values()
        return record


class Shard:
    """UbsCore of one account shard, with the readers of its outputs."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self.core = UbsCore(shard, shards)
        self.heard: dict[TopicPartition, SourceSequences] = {}
        self.reported = 0

    def send(self, *operations: Any) -> Said:
        """One frame of a gateway."""
        return self.deliver("gateway-1", 0, operations)

    def report(self, *reports: MatchReport) -> Said:
        """The next frame of matcher-0."""
        first = self.reported + 1
        self.reported += len(reports)
        return self.deliver("matcher-0", first, reports)

    def deliver(self, source: str, first_sequence: int, records: Iterable[Any]) -> Said:
        data = encode_frame(source, first_sequence, list(records))
        twin = UbsCore.restore(self.core.snapshot())
        assert twin.digest() == self.core.digest()
        outputs = [core.apply(decode_frame(BALANCE_OPERATIONS, data), core.next_offset) for core in (self.core, twin)]
        assert outputs[0] == outputs[1]
        assert twin.digest() == self.core.digest()
        self.core.state.check()
        return self._hear(outputs[0])

    def _hear(self, outputs: list[Output]) -> Said:
        said = Said()
        partitions = [output.partition for output in outputs]
        assert len(set(partitions)) == len(partitions)
        for partition, first, sent in outputs:
            records = decode_frame(partition.topic, encode_frame(self.core.source, first, sent)).records
            assert records == sent
            repeats = self.heard.setdefault(partition, SourceSequences()).repeats("s", first, len(records))
            assert repeats == 0
            assert records
            assert_fits_64_bits(records)
            if partition.topic == BALANCE_EVENTS:
                assert partition.partition == self.core.state.shard
                said.events = records
            else:
                said.forwards[partition.partition] = records
        return said

    def balance(self, user_id: int, asset: str) -> tuple[int, int]:
        """Available and reserved."""
        balances = self.core.state.accounts[user_id].balances
        return (balances[asset].available, balances[asset].reserved) if asset in balances else (0, 0)

    def fees(self, asset: str) -> int:
        """What the shard's fee account holds."""
        return self.core.state.fees.available(asset)


def assert_fits_64_bits(value: Any) -> None:
    """Every number in `value`, however deep, can be stored in a signed 64-bit column."""
    if isinstance(value, int):
        assert -(2**63) <= value < 2**63
    elif isinstance(value, list | tuple):
        for item in value:
            assert_fits_64_bits(item)
    elif isinstance(value, msgspec.Struct):
        assert_fits_64_bits(msgspec.structs.astuple(value))


def instruments(**changes: Any) -> list[Any]:
    """Commands that declare BTC, ETH, USDT and both symbols; `changes` are to BTC_USDT."""
    assets = [SetAsset(1, T0, name, scale) for name, scale in (("BTC", 8), ("ETH", 8), ("USDT", 6))]
    return [*assets, SetSymbol(1, T0, msgspec.structs.replace(BTC_USDT, **changes)), SetSymbol(1, T0, ETH_USDT)]


def halted(status: SymbolStatus) -> SetSymbol:
    """BTC_USDT with this status."""
    return SetSymbol(1, T0, msgspec.structs.replace(BTC_USDT, status=status))


def funded(*user_ids: int, amount: int = 10**12, assets: Iterable[str] = ("BTC", "ETH", "USDT")) -> list[Any]:
    """Commands that open accounts and deposit `amount` smallest units of every asset to each."""
    commands: list[Any] = []
    for user_id in user_ids:
        commands.append(CreateUser(1, T0, user_id))
        commands += [TransferIn(1, T0, f"deposit_{user_id}_{asset}", user_id, asset, amount) for asset in assets]
    return commands


def venue(*user_ids: int, shard: int = 0, shards: int = 1, **changes: Any) -> Shard:
    """A shard with instruments and funded users."""
    made = Shard(shard, shards)
    made.send(*instruments(**changes), *funded(*user_ids))
    return made


def place(user_id: int, side: Side, price: int, lots: int, cid: str = "c-1", **changes: Any) -> PlaceOrder:
    """A Limit GTC order for BTC_USDT, unless `changes` says otherwise."""
    fields: dict[str, Any] = {
        "request_id": 1,
        "time_ms": T0,
        "symbol": "BTC_USDT",
        "order_type": OrderType.Limit,
        "time_in_force": TimeInForce.GTC,
        "self_trade_prevention": SelfTradePrevention.ExpireTaker,
        **changes,
    }
    return PlaceOrder(user_id=user_id, cid=cid, side=side, price_ticks=price, quantity_lots=lots, **fields)


def buy(user_id: int, price: int, lots: int, cid: str = "c-1", **changes: Any) -> PlaceOrder:
    return place(user_id, Side.Buy, price, lots, cid, **changes)


def sell(user_id: int, price: int, lots: int, cid: str = "c-1", **changes: Any) -> PlaceOrder:
    return place(user_id, Side.Sell, price, lots, cid, **changes)


def trade(maker: NewOrder, taker: NewOrder, lots: int, price: int | None = None, **changes: Any) -> Trade:
    """`lots` traded between two forwarded orders, at the maker's price."""
    made = Trade(
        1,
        maker.price_ticks if price is None else price,
        lots,
        taker.side,
        maker.order_id,
        taker.order_id,
        maker.user_id,
        taker.user_id,
        maker.maker_fee_micros,
        taker.taker_fee_micros,
    )
    return msgspec.structs.replace(made, **changes)


def closed(order: NewOrder, remaining: int = 0, status: OrderStatus = OrderStatus.Filled) -> Closed:
    return Closed(order.order_id, order.user_id, status, remaining, Reject.NONE)


def match(
    trades: list[Trade] | None = None, closes: list[Closed] | None = None, sequence: int = 1, **changes: Any
) -> MatchReport:
    """A report of matcher 0 on BTC_USDT."""
    report = MatchReport(0, sequence, 1, T0, "BTC_USDT", trades or [], closes or [])
    return msgspec.structs.replace(report, **changes)


def essence(shard: Shard) -> tuple[Any, ...]:
    """What a refused command must not change: all but the log's position and time, and the memory of answers."""
    state = shard.core.state
    accounts = [
        (
            account.user_id,
            account.suspended,
            {asset: (b.available, b.reserved, b.version) for asset, b in account.balances.items()},
            [(o.order_id, o.reserved, o.filled_lots, o.filled_tick_lots) for o in account.orders.values()],
        )
        for account in (*state.accounts.values(), state.fees)
    ]
    settings = (dict(state.assets), dict(state.symbols), state.policy)
    return accounts, settings, dict(state.supply), dict(state.transit)
