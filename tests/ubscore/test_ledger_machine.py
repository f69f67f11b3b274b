"""Two ubscore shards and two matchers in a closed loop, against naive ledgers, on whatever hypothesis thinks of.

Every stream between them is cut into frames anew at every delivery, and what was delivered may come again; any core
may be replaced by its own snapshot at any time. After each step every balance, reservation, order and answer is what
the naive ledger says, and every ledger adds up event by event.
"""

import random
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.domain.instruments import SymbolStatus
from services.domain.messages import (
    BalanceChange,
    CancelAccepted,
    CancelAll,
    CancelOrder,
    CommandRejected,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderRepeated,
    PlaceOrder,
    SetPolicy,
    SetSymbol,
    SetUserStatus,
    TradeSettled,
    TransferCompleted,
    TransferIn,
    TransferOut,
    TransferRejected,
    TransferRepeated,
    decode_frame,
    encode_frame,
)
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ORDERS, TopicPartition
from services.matcher.engine import MatcherEngine
from services.ubscore.core import UbsCore
from tests.support.balance_shard import BTC_USDT, ETH_USDT, T0, assert_fits_64_bits, funded, instruments
from tests.support.naive_ledger import Answer, NaiveLedger

SHARDS = 2
USERS = (1, 2, 3, 4)
FUNDS = 300_000_000


def random_command(chance: random.Random) -> Any:
    """A command of a crowded little market; most pass, many meet, some are wrong. Its time is stamped when sent.

    Drawn from a seed, because hypothesis left to itself prefers few and simple orders that never meet.
    """
    user_id = chance.choice(USERS) if chance.random() < 0.97 else 9
    kind = chance.random()
    if kind < 0.72:
        return _random_order(chance, user_id)
    if kind < 0.84:
        order_id = chance.choice([0, (user_id % SHARDS << 44) + chance.randint(1, 300)])
        return CancelOrder(1, 0, user_id, order_id, f"c-{chance.randrange(500)}")
    if kind < 0.86:
        return CancelAll(1, 0, user_id, chance.choice(["", "BTC_USDT", "DOGE_USDT"]))
    make: Any = chance.choice([TransferIn, TransferOut])
    amount = chance.choice([0, 1, 1_000_000, FUNDS // 2, 2 * FUNDS, 2**62])
    return make(1, 0, f"t-{chance.randrange(20)}", user_id, chance.choice(["BTC", "ETH", "USDT", "DOGE"]), amount)


def _random_order(chance: random.Random, user_id: int) -> PlaceOrder:
    order_type = chance.choice([OrderType.Limit] * 5 + [OrderType.Market] * 3 + [OrderType.LimitMaker])
    by_quote = order_type is OrderType.Market and chance.random() < 0.6
    side = chance.choice(list(Side))
    price = chance.randint(994, 1006) if order_type is not OrderType.Market else 1010 if side is Side.Buy else 990
    return PlaceOrder(
        chance.randint(1, 10**6),
        0,
        user_id,
        f"c-{chance.randrange(1_500)}" if chance.random() < 0.98 else "no spaces",
        chance.choice(["BTC_USDT"] * 10 + ["ETH_USDT"] * 6 + ["DOGE_USDT"]),
        side,
        order_type,
        chance.choice([TimeInForce.GTC] * 6 + [TimeInForce.IOC, TimeInForce.FOK]),
        chance.choice(list(SelfTradePrevention)),
        price,
        0 if by_quote else chance.choice([1, 10, 11, 17, 40, 60, 400]),
        chance.randint(900_000, 9_000_000) if by_quote else 0,
        chance.choice([0, 0, 1000, 1003]),
    )


def random_change(chance: random.Random) -> SetSymbol | SetPolicy | None:
    """A setting for every shard; None: suspend or resume somebody."""
    kind = chance.random()
    if kind < 0.4:
        status = chance.choice([SymbolStatus.Trading] * 8 + [SymbolStatus.Halted, SymbolStatus.CancelOnly])
        known = chance.choice([BTC_USDT, ETH_USDT])
        changed = msgspec.structs.replace(known, status=status, maker_fee_micros=chance.randint(0, 100_000))
        return SetSymbol(1, 0, changed)
    window_ms = chance.randint(1_000, 9_000)
    return SetPolicy(1, 0, window_ms, 2 * window_ms, chance.randint(5, 60)) if kind < 0.8 else None


seeds = st.integers(0, 2**32)


class Exchange(RuleBasedStateMachine):
    """streams: all that was said on an edge, by (from, to); delivered: how much of it the reader has."""

    def __init__(self) -> None:
        super().__init__()
        self.cores = [UbsCore(shard, SHARDS) for shard in range(SHARDS)]
        self.ledgers = [NaiveLedger(shard, SHARDS) for shard in range(SHARDS)]
        self.matchers = [MatcherEngine(shard, SHARDS) for shard in range(2)]
        self.streams: dict[tuple[str, TopicPartition], list[Any]] = defaultdict(list)
        self.delivered: dict[tuple[str, TopicPartition], int] = defaultdict(int)
        self.booked: dict[tuple[int, str], tuple[int, int, int]] = {}
        self.sent: list[Any] = []
        self.now_ms = T0

    @initialize(fees=st.tuples(st.integers(0, 100_000), st.integers(0, 100_000)))
    def open(self, fees: tuple[int, int]) -> None:
        for shard in range(SHARDS):
            mine = [user for user in USERS if user % SHARDS == shard]
            settings = instruments(maker_fee_micros=fees[0], taker_fee_micros=fees[1], band_micros=9_000)
            self._send(shard, [*settings, *funded(*mine, amount=FUNDS)])

    # What people do

    @rule(seed=seeds, count=st.integers(1, 20), passed_ms=st.sampled_from([0, 1, 1, 100, 2_000]))
    def command(self, seed: int, count: int, passed_ms: int) -> None:
        chance = random.Random(seed)
        batch = [random_command(chance) for _ in range(count)]
        self.now_ms += passed_ms
        self.sent += batch
        self._send_by_user(batch)

    @rule(which=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
    def command_again(self, which: list[int]) -> None:
        if self.sent:
            self._send_by_user([self.sent[number % len(self.sent)] for number in which])

    @rule(seed=seeds, user_id=st.sampled_from(USERS))
    def administer(self, seed: int, user_id: int) -> None:
        """Change a setting on every shard; or resume who is suspended, else suspend the user."""
        change = random_change(random.Random(seed))
        for shard in range(SHARDS):
            if change is not None:
                self._send(shard, [msgspec.structs.replace(change, time_ms=self.now_ms)])
            elif suspended := [user for user, is_so in self.ledgers[shard].suspended.items() if is_so]:
                self._send(shard, [SetUserStatus(1, self.now_ms, user, False) for user in suspended])
            elif shard == user_id % SHARDS:
                self._send(shard, [SetUserStatus(1, self.now_ms, user_id, True)])

    # What the log does

    @rule(edge=st.integers(0, 7), back=st.sampled_from([0, 0, 0, 1, 3, 50]), count=st.integers(1, 12))
    def deliver(self, edge: int, back: int, count: int) -> None:
        if edges := self._edges():
            self._deliver(edges[edge % len(edges)], back, count)

    @rule()
    def deliver_everything(self) -> None:
        while waiting := [edge for edge in self._edges() if self.delivered[edge] < len(self.streams[edge])]:
            self._deliver(waiting[0], 0, 7)
        for asset in ("BTC", "ETH", "USDT"):
            assert sum(core.state.transit.get(asset, 0) for core in self.cores) == 0
        open_here = sum(len(account.orders) for core in self.cores for account in core.state.accounts.values())
        assert open_here == sum(matcher.open_orders for matcher in self.matchers)

    @rule(number=st.integers(0, 3))
    def restart(self, number: int) -> None:
        if number < SHARDS:
            core = self.cores[number]
            self.cores[number] = UbsCore.restore(core.snapshot())
            assert self.cores[number].digest() == core.digest()
        else:
            self.matchers[number - SHARDS] = MatcherEngine.restore(self.matchers[number - SHARDS].snapshot())

    # The machinery

    def _send_by_user(self, batch: list[Any]) -> None:
        stamped = [msgspec.structs.replace(op, time_ms=self.now_ms) for op in batch]
        for shard in range(SHARDS):
            mine = [op for op in stamped if op.user_id % SHARDS == shard]
            if mine:
                self._send(shard, mine)

    def _send(self, shard: int, operations: list[Any]) -> None:
        self._apply_to_core(shard, encode_frame("gateway-1", 0, operations), operations)

    def _edges(self) -> list[tuple[str, TopicPartition]]:
        """Streams between cores."""
        return sorted(edge for edge in self.streams if edge[1].topic in (BALANCE_OPERATIONS, ORDERS))

    def _deliver(self, edge: tuple[str, TopicPartition], back: int, count: int) -> None:
        source, to = edge
        have = self.delivered[edge]
        start = max(0, have - back)
        records = self.streams[edge][start : start + count]
        if not records:
            return
        self.delivered[edge] = max(have, start + len(records))
        data = encode_frame(source, start + 1, records)
        if to.topic == BALANCE_OPERATIONS:
            self._apply_to_core(to.partition, data, records[have - start :])
        else:
            matcher = self.matchers[to.partition]
            self._route(matcher.source, matcher.apply(decode_frame(ORDERS, data), matcher.next_offset))

    def _apply_to_core(self, shard: int, data: bytes, fresh: list[Any]) -> None:
        core = self.cores[shard]
        outputs = core.apply(decode_frame(BALANCE_OPERATIONS, data), core.next_offset)
        events = [event for output in outputs if output.partition.topic == BALANCE_EVENTS for event in output.records]
        assert [_answer_of(event) for event in events] == self.ledgers[shard].frame(fresh)
        for event in events:
            assert_fits_64_bits(event)
            for change in _changes_of(event):
                self._book(change)
        self._route(core.source, outputs)

    def _route(self, source: str, outputs: list[Any]) -> None:
        for partition, first, records in outputs:
            stream = self.streams[source, partition]
            assert first == len(stream) + 1
            stream += records

    def _book(self, change: BalanceChange) -> None:
        """Every ledger entry follows the one before, and adds up."""
        key = (change.user_id, change.asset)
        available, reserved, version = self.booked.get(key, (0, 0, 0))
        expected = (available + change.available_delta, reserved + change.reserved_delta, version + 1)
        assert (change.available, change.reserved, change.version) == expected
        assert min(change.available, change.reserved) >= 0
        self.booked[key] = expected

    @invariant()
    def every_shard_adds_up_and_is_what_the_ledger_says(self) -> None:
        for core, ledger in zip(self.cores, self.ledgers, strict=True):
            core.state.check()
            for user_id, account in core.state.accounts.items():
                assert list(account.orders) == ledger.open_ids(user_id)
                assert account.suspended == ledger.suspended[user_id]
                for asset in ledger.scales:
                    balance = account.balances.get(asset)
                    mine = (balance.available, balance.reserved) if balance is not None else (0, 0)
                    assert mine == (
                        ledger.units(ledger.available(user_id, asset), asset),
                        ledger.units(ledger.reserved(user_id, asset), asset),
                    )
                    version = balance.version if balance is not None else 0
                    assert self.booked.get((user_id, asset), (0, 0, 0)) == (*mine, version)
            for asset in ledger.scales:
                assert core.state.fees.available(asset) == ledger.units(ledger.total(0, asset), asset)
            assert len(core.state.order_answers) == len(ledger.order_answers)
            assert len(core.state.transfer_answers) == len(ledger.transfer_answers)

    def teardown(self) -> None:
        self.deliver_everything()
        self.every_shard_adds_up_and_is_what_the_ledger_says()


def _answer_of(event: Any) -> Answer:
    match event:
        case OrderAccepted():
            return ("accepted", event.order_id)
        case OrderRejected():
            return ("rejected", event.order_id, event.code)
        case OrderRepeated():
            return ("repeated", event.order_id, event.code)
        case CancelAccepted():
            return ("cancels", event.order_ids)
        case CommandRejected():
            return ("refused", event.code)
        case TransferCompleted():
            return ("transferred", abs(event.change.available_delta))
        case TransferRejected():
            return ("transfer rejected", event.code)
        case TransferRepeated():
            return ("transfer repeated", event.code)
        case TradeSettled():
            return ("settled", event.trade.trade_id, event.buyer_fee, event.seller_fee)
        case OrderClosed():
            return ("closed", event.order_id, event.status)
        case _:
            return ("updated",)


def _changes_of(event: Any) -> list[BalanceChange]:
    match event:
        case TradeSettled():
            return event.changes
        case OrderAccepted() | TransferCompleted() | OrderClosed():
            return [event.change] if event.change is not None else []
        case _:
            return []


Exchange.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
test_exchange_of_two_shards_and_two_matchers_is_what_the_naive_ledgers_say = Exchange.TestCase


@pytest.mark.parametrize("seed", range(4))
def test_exchange_on_a_long_day_is_what_the_naive_ledgers_say(seed: int) -> None:
    chance, exchange = random.Random(seed), Exchange()
    exchange.open(fees=(1_000, 2_000))
    for step in range(500):
        exchange.command(chance.randrange(2**32), chance.randint(1, 12), chance.choice([0, 1, 60]))
        if step % 7 == 0:
            exchange.command_again([chance.randrange(10**6) for _ in range(3)])
        for _ in range(chance.randrange(8)):
            exchange.deliver(chance.randrange(8), chance.choice([0, 0, 0, 2, 30]), chance.randint(1, 12))
        if chance.random() < 0.3:
            chance.choice([exchange.deliver_everything, lambda: exchange.restart(chance.randrange(4))])()
        if chance.random() < 0.04:
            exchange.administer(chance.randrange(2**32), chance.choice(USERS))
        if step % 10 == 0:
            exchange.every_shard_adds_up_and_is_what_the_ledger_says()
    exchange.teardown()
    assert all(matcher.sequence > 200 for matcher in exchange.matchers), "too little happened to prove anything"
