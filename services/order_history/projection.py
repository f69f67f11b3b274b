"""Order updates to rows, a pure fold: the open orders, the newest state of every order, every update, and totals.

    update                       active_orders   order_history   order_updates_stream   order_statistics
    New                          insert          insert          insert                 update
    PartiallyFilled              update          update          insert                 -
    Filled, Cancelled, Expired   delete          update          insert                 update
    Rejected                     -               insert          insert                 update

Updates come from a matcher (engine.outputs) or, for orders refused before one, from ubscore (balance.events). Within a
batch only an order's last state is written. One that came and went within it is deleted nevertheless: an earlier fold
of the same events, whose batch ended in between, may have inserted it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.adapters.ports import HistoryBatch
from services.domain.errors import LogError
from services.domain.messages import MatchBody, MatchResult, OrderRejected, OrderUpdate
from services.domain.orders import OrderStatus
from services.domain.rows import OrderRow, OrderUpdateRow, ProgressRow, StatisticsRow
from services.domain.topics import ENGINE_OUTPUTS, TopicPartition

StatisticsKey = tuple[int, int]
"""(user_id, shard)"""

MAX_KNOWN: Final = 100_000
"""Users whose totals are remembered; beyond it they are asked from the store again. About 30 MB."""

_UPDATED: Final = 5
_SEQUENCE: Final = 6
_COLUMNS: Final = {
    OrderStatus.New: 0,
    OrderStatus.Filled: 1,
    OrderStatus.Cancelled: 2,
    OrderStatus.Rejected: 3,
    OrderStatus.Expired: 4,
}
# By status number: hashing an enum is slow.
_COLUMN: Final = tuple(_COLUMNS.get(OrderStatus(number), -1) if number else -1 for number in range(7))


def statistics_shard(partition: TopicPartition) -> int:
    """Which `shard` of order_statistics counts the updates of a partition: see StatisticsRow."""
    return partition.partition if partition.topic == ENGINE_OUTPUTS else -1 - partition.partition


class OrderHistory:
    """Frames of one partition in, the rows of one batch out: `add` frames, ask for what is `unknown`, `finish`.

    It remembers totals from batch to batch, so it must see every frame once and in order.
    """

    def __init__(self, shard: int, max_known: int = MAX_KNOWN) -> None:
        """shard: of `statistics_shard`."""
        self.conflicts = 0
        """How often a user's stored totals were ahead of the events at hand."""
        self._shard = shard
        self._max_known = max_known
        self._totals: dict[int, StatisticsRow] = {}
        self._clear()

    def _clear(self) -> None:
        self._newest: dict[int, tuple[OrderUpdate, MatchBody]] = {}
        self._refused: list[OrderRow] = []
        self._updates: list[OrderUpdateRow] = []
        self._counts: dict[int, list[int]] = {}

    def add(self, source: str, first_sequence: int, records: Sequence[Any]) -> None:
        """Take the records of one frame. Raises LogError when a MatchResult's body is none."""
        for i, record in enumerate(records):
            kind = type(record)
            if kind is MatchResult:
                self._add_result(source, record)
            elif kind is OrderRejected:
                self._add_rejected(source, first_sequence + i, record)

    def unknown(self) -> list[StatisticsKey]:
        """The rows of order_statistics that `finish` needs."""
        return [(user_id, self._shard) for user_id in self._counts if user_id not in self._totals]

    def finish(self, stored: Mapping[StatisticsKey, StatisticsRow], progress: ProgressRow) -> HistoryBatch:
        """The rows of all that was added since the last batch. stored: the `unknown` rows that exist."""
        active: list[OrderRow] = []
        closed: list[tuple[int, int]] = []
        history = self._refused
        for update, body in self._newest.values():
            row = _order_row(update, body)
            history.append(row)
            if row.status.is_open:
                active.append(row)
            elif row.status is not OrderStatus.Rejected:
                closed.append((row.user_id, row.order_id))
        statistics = self._new_totals(stored)
        if len(self._totals) > self._max_known:
            self._totals.clear()
        # This batch is not written yet: the store cannot tell its totals.
        self._totals.update((row.user_id, row) for row in statistics)
        batch = HistoryBatch(active, closed, history, self._updates, statistics, progress)
        self._clear()
        return batch

    def _add_result(self, source: str, result: MatchResult) -> None:
        try:
            body = result.decode_body()
        except msgspec.DecodeError as error:
            raise LogError(f"{source} sequence {result.sequence}: not the body of a match result: {error}") from error
        newest, updates, count = self._newest, self._updates, self._count
        sequence, symbol, time_ms = result.sequence, body.symbol, body.time_ms
        for part, update in enumerate(body.updates):
            order_id, user_id, status = update.order_id, update.user_id, update.status
            updates.append(
                OrderUpdateRow(
                    source,
                    sequence,
                    part,
                    user_id,
                    order_id,
                    symbol,
                    status,
                    update.filled_lots,
                    update.last_price_ticks,
                    update.last_quantity_lots,
                    update.trade_id,
                    update.is_maker,
                    update.code,
                    time_ms,
                )
            )
            newest[order_id] = (update, body)
            if status is not OrderStatus.PartiallyFilled:
                count(user_id, status, sequence, time_ms)

    def _add_rejected(self, source: str, sequence: int, event: OrderRejected) -> None:
        self._updates.append(_rejected_update(source, sequence, event))
        self._refused.append(_rejected_row(event))
        self._count(event.user_id, OrderStatus.Rejected, sequence, event.time_ms)

    def _count(self, user_id: int, status: OrderStatus, sequence: int, time_ms: int) -> None:
        counts = self._counts.get(user_id)
        if counts is None:
            counts = self._counts[user_id] = [0, 0, 0, 0, 0, 0, 0]
        counts[_COLUMN[status]] += 1
        counts[_UPDATED] = time_ms
        counts[_SEQUENCE] = sequence

    def _new_totals(self, stored: Mapping[StatisticsKey, StatisticsRow]) -> list[StatisticsRow]:
        """The absolute rows of all users of this batch who have something to count."""
        if not self._counts:
            return []
        before = {user_id: self._totals.get(user_id) or stored.get((user_id, self._shard)) for user_id in self._counts}
        first_sequence = self._updates[0].sequence
        ahead = {user_id: row.sequence for user_id, row in before.items() if row and row.sequence >= first_sequence}
        if ahead:
            self.conflicts += len(ahead)
            self._count_behind(ahead)
        return [self._total(user_id, counts, before[user_id]) for user_id, counts in self._counts.items()]

    def _count_behind(self, counted: Mapping[int, int]) -> None:
        """Count the batch again, without what some users' rows count already: user -> last sequence counted.

        So it is after a crash in the middle of a write: those rows are of an attempt whose position was never written.
        """
        self._counts = {}
        for row in self._updates:
            if row.status is not OrderStatus.PartiallyFilled and row.sequence > counted.get(row.user_id, 0):
                self._count(row.user_id, row.status, row.sequence, row.time_ms)

    def _total(self, user_id: int, counts: list[int], row: StatisticsRow | None) -> StatisticsRow:
        """The new absolute row of a user: a new object, for an earlier batch may still hold the old one."""
        new, filled, cancelled, rejected, expired, updated_ms, sequence = counts
        if row is not None:
            new += row.new
            filled += row.filled
            cancelled += row.cancelled
            rejected += row.rejected
            expired += row.expired
        return StatisticsRow(user_id, self._shard, new, filled, cancelled, rejected, expired, updated_ms, sequence)


def _order_row(update: OrderUpdate, body: MatchBody) -> OrderRow:
    return OrderRow(
        update.user_id,
        update.order_id,
        update.cid,
        body.symbol,
        update.side,
        update.order_type,
        update.time_in_force,
        update.status,
        update.price_ticks,
        update.quantity_lots,
        update.filled_lots,
        update.filled_tick_lots,
        update.code,
        update.created_ms,
        body.time_ms,
    )


def _rejected_row(event: OrderRejected) -> OrderRow:
    return OrderRow(
        event.user_id,
        event.order_id,
        event.cid,
        event.symbol,
        event.side,
        event.order_type,
        event.time_in_force,
        OrderStatus.Rejected,
        event.price_ticks,
        event.quantity_lots,
        0,
        0,
        event.code,
        event.time_ms,
        event.time_ms,
    )


def _rejected_update(source: str, sequence: int, event: OrderRejected) -> OrderUpdateRow:
    return OrderUpdateRow(
        source=source,
        sequence=sequence,
        part=0,
        user_id=event.user_id,
        order_id=event.order_id,
        symbol=event.symbol,
        status=OrderStatus.Rejected,
        filled_lots=0,
        last_price_ticks=0,
        last_quantity_lots=0,
        trade_id=0,
        is_maker=False,
        code=event.code,
        time_ms=event.time_ms,
    )
