"""Recompute the store's tables from the log's events, and hold them against the store, row by row.

On purpose this shares no code with the projections: it is the second opinion. What it keeps is a tuple a row.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

from services.adapters.ports import AuditStore, Log, ProjectionStore
from services.domain.core import SourceSequences
from services.domain.errors import LogError
from services.domain.messages import (
    BalanceChange,
    MatchBody,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    TradeSettled,
    TransferCompleted,
    decode_frame,
)
from services.domain.orders import OrderStatus, Side
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS, TopicPartition, matcher_source, ubscore_source
from services.matcher.chain import ChainVerifier
from services.verify.report import Check

Row = tuple[Any, ...]


class Tables:
    """What the store must hold, by table and key, as far as each reader says it has got."""

    def __init__(self) -> None:
        self.balances: dict[Row, Row] = {}
        self.ledger: dict[Row, Row] = {}
        self.trades: dict[Row, Row] = {}
        self.orders: dict[Row, Row] = {}
        self.updates: dict[Row, Row] = {}
        self.statistics: dict[Row, list[int]] = {}

    @property
    def active(self) -> dict[Row, Row]:
        """The orders that are open."""
        return {key: row for key, row in self.orders.items() if OrderStatus(row[0]).is_open}

    def add_event(self, event: Any) -> None:
        """Count one record of balance.events for settlement's tables."""
        if isinstance(event, TradeSettled):
            self._add_trade(event)
        for change in _changes(event):
            self.balances[change.user_id, change.asset] = (change.available, change.reserved, change.version)
            self.ledger[change.user_id, change.asset, change.version] = (
                change.kind.name,
                change.available_delta,
                change.reserved_delta,
                change.available,
                change.reserved,
                change.event_id,
            )

    def _add_trade(self, event: TradeSettled) -> None:
        trade = event.trade
        taker_buys = trade.taker_side == Side.Buy
        taker, maker = trade.taker_user_id, trade.maker_user_id
        buyer, seller = (taker, maker) if taker_buys else (maker, taker)
        self.trades[event.symbol, trade.trade_id] = (
            trade.price_ticks,
            trade.quantity_lots,
            event.base_amount,
            event.quote_amount,
            buyer,
            seller,
            event.buyer_fee,
            event.seller_fee,
            event.engine_sequence,
        )

    def add_refusal(self, event: Any, shard: int, sequence: int) -> None:
        """Count one record of balance.events for order_history's tables."""
        if isinstance(event, OrderRejected):
            self.orders[event.user_id, event.order_id] = (OrderStatus.Rejected, 0, 0)
            update = (event.user_id, event.order_id, OrderStatus.Rejected, 0, 0)
            self.updates[ubscore_source(shard), sequence, 0] = update
            self._count(event.user_id, -1 - shard, OrderStatus.Rejected, sequence)

    def add_result(self, body: MatchBody, shard: int, sequence: int) -> None:
        """Count one result of a matcher for order_history's tables."""
        for part, update in enumerate(body.updates):
            state = (update.status, update.filled_lots, update.filled_tick_lots)
            self.orders[update.user_id, update.order_id] = state
            seen = (update.user_id, update.order_id, update.status, update.filled_lots, update.trade_id)
            self.updates[matcher_source(shard), sequence, part] = seen
            self._count(update.user_id, shard, update.status, sequence)

    def _count(self, user_id: int, shard: int, status: OrderStatus, sequence: int) -> None:
        if status != OrderStatus.PartiallyFilled:
            counts = self.statistics.setdefault((user_id, shard), [0] * 6)
            counts[_COUNTED.index(status)] += 1
            counts[-1] = sequence


_COUNTED = (
    OrderStatus.New,
    OrderStatus.Filled,
    OrderStatus.Cancelled,
    OrderStatus.Rejected,
    OrderStatus.Expired,
)


def _changes(event: Any) -> Iterable[BalanceChange]:
    if isinstance(event, OrderAccepted | TransferCompleted):
        return (event.change,)
    if isinstance(event, TradeSettled):
        return event.changes
    if isinstance(event, OrderClosed) and event.change is not None:
        return (event.change,)
    return ()


class Recount:
    """Reads the log as far as the store's own progress says, and fills `tables`."""

    def __init__(self, log: Log, store: ProjectionStore, account_shards: int, matcher_shards: int) -> None:
        self.tables = Tables()
        self._log = log
        self._store = store
        self._account_shards = account_shards
        self._matcher_shards = matcher_shards

    async def run(self) -> list[Check]:
        """Returns a check a matcher shard: that its hash chain holds. Raises LogError when the store is ahead of it."""
        tables = self.tables
        for shard in range(self._account_shards):
            partition = TopicPartition(BALANCE_EVENTS, shard)
            settled = await self._progress("settlement", partition)
            told = await self._progress("order_history", partition)
            async for offset, sequence, event in self._records(partition, max(settled, told)):
                if offset < settled:
                    tables.add_event(event)
                if offset < told:
                    tables.add_refusal(event, shard, sequence)
        return [await self._walk_chain(shard) for shard in range(self._matcher_shards)]

    async def _progress(self, reader: str, partition: TopicPartition) -> int:
        row = await self._store.progress(reader, partition)
        reached, end = row.next_offset if row is not None else 0, await self._log.end(partition)
        if reached > end:
            raise LogError(f"{reader} has stored {partition} up to offset {reached}, but the log ends at {end}")
        return reached

    async def _walk_chain(self, shard: int) -> Check:
        partition = TopicPartition(ENGINE_OUTPUTS, shard)
        name = f"{partition}: hash chain"
        visible = await self._progress("order_history", partition)
        chain = ChainVerifier()
        async for offset, _, result in self._records(partition, await self._log.end(partition)):
            if broken := chain.feed(result):
                return Check(name, False, f"offset {offset}: {broken.reason}")
            if offset < visible:
                self.tables.add_result(result.decode_body(), shard, result.sequence)
        return Check(name, True, f"{chain.sequence:,} links, the last {chain.hash.hex()}")

    async def _records(self, partition: TopicPartition, until: int) -> AsyncIterator[tuple[int, int, Any]]:
        """(offset, sequence, record) of everything before offset `until`, repeats dropped."""
        sequences, offset = SourceSequences(), await self._log.start(partition)
        while offset < until:
            for stored in await self._log.read(partition, offset, min(256, until - offset)):
                frame = decode_frame(partition.topic, stored.data)
                repeats = sequences.repeats(frame.source, frame.first_sequence, len(frame.records))
                for i in range(repeats, len(frame.records)):
                    yield stored.offset, frame.first_sequence + i, frame.records[i]
                offset = stored.offset + 1


async def compare_tables(tables: Tables, store: AuditStore) -> list[Check]:
    """A check a table: every row that should be there is, as it should be, and no other."""
    return [
        await _compare("user_balances", tables.balances, store.all_balances(), _balance),
        await _compare("balance_ledger", tables.ledger, store.all_ledger(), _ledger),
        await _compare("settled_trades", tables.trades, store.all_trades(), _trade),
        await _compare("active_orders", tables.active, store.all_active_orders(), _order),
        await _compare("order_history", tables.orders, store.all_orders(), _order),
        await _compare("order_updates_stream", tables.updates, store.all_order_updates(), _update),
        await _compare(
            "order_statistics",
            {key: tuple(counts) for key, counts in tables.statistics.items()},
            store.all_statistics(),
            _statistics,
        ),
    ]


def _balance(row: Any) -> tuple[Row, Row]:
    return (row.user_id, row.asset_id), (row.available, row.reserved, row.version)


def _ledger(row: Any) -> tuple[Row, Row]:
    amounts = (row.available_delta, row.reserved_delta, row.available, row.reserved)
    return (row.user_id, row.asset_id, row.seq), (row.kind, *amounts, row.event_id)


def _trade(row: Any) -> tuple[Row, Row]:
    amounts = (row.price_ticks, row.quantity_lots, row.base_amount, row.quote_amount)
    users = (row.buyer_user_id, row.seller_user_id)
    return (row.symbol, row.trade_id), (*amounts, *users, row.buyer_fee, row.seller_fee, row.engine_sequence)


def _order(row: Any) -> tuple[Row, Row]:
    return (row.user_id, row.order_id), (row.status, row.filled_lots, row.filled_tick_lots)


def _update(row: Any) -> tuple[Row, Row]:
    state = (row.user_id, row.order_id, row.status, row.filled_lots, row.trade_id)
    return (row.source, row.sequence, row.part), state


def _statistics(row: Any) -> tuple[Row, Row]:
    return (row.user_id, row.shard), (row.new, row.filled, row.cancelled, row.rejected, row.expired, row.sequence)


R = TypeVar("R")


async def _compare(table: str, expected: dict[Row, Row], rows: AsyncIterator[R], split: Any) -> Check:
    name = f"store: {table}"
    count = 0
    async for row in rows:
        key, value = split(row)
        count += 1
        wanted = expected.get(key)
        if wanted is None:
            return Check(name, False, f"row {key} is in the store, but not in the log")
        if wanted != value:
            return Check(name, False, f"row {key} is {value} in the store, {wanted} by the log")
    if count != len(expected):
        return Check(name, False, f"{len(expected) - count} of {len(expected)} rows are missing in the store")
    return Check(name, True, f"{count:,} rows")


def check_sums(tables: Tables) -> Check:
    """Every ledger adds up to its balance, entry by entry."""
    name = "ledger: every entry continues the one before, up to the balance"
    state: dict[Row, tuple[int, int, int]] = {}
    for user_id, asset, seq in sorted(tables.ledger):
        kind, available_delta, reserved_delta, available, reserved, _ = tables.ledger[user_id, asset, seq]
        before = state.get((user_id, asset), (0, 0, 0))
        after = (before[0] + available_delta, before[1] + reserved_delta, before[2] + 1)
        if after != (available, reserved, seq):
            return Check(name, False, f"{kind} {seq} of user {user_id} in {asset}: {after} by its deltas")
        state[user_id, asset] = after
    if state != tables.balances:
        return Check(name, False, "balances and the ends of their ledgers differ")
    return Check(name, True, f"{len(tables.ledger):,} entries of {len(state):,} balances")


def check_zero_sum(tables: Tables) -> list[Check]:
    """Per asset: Σ available + Σ reserved, fees among them, is deposits less withdrawals; nothing is negative."""
    held: dict[str, int] = {}
    came_in: dict[str, int] = {}
    for (_, asset), (available, reserved, _version) in tables.balances.items():
        if available < 0 or reserved < 0:
            return [Check(f"zero sum: {asset}", False, "a balance is negative")]
        held[asset] = held.get(asset, 0) + available + reserved
    for (_, asset, _seq), (kind, delta, *_rest) in tables.ledger.items():
        if kind in ("Deposit", "Withdrawal"):
            came_in[asset] = came_in.get(asset, 0) + delta
    return [
        Check(
            f"zero sum: {asset}",
            held[asset] == came_in.get(asset, 0),
            f"{held[asset]:,} held = deposits less withdrawals",
        )
        for asset in sorted(held)
    ]
