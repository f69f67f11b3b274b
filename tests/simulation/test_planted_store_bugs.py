"""Tests of the tests: what goes wrong with a store without transactions, planted one by one; few seeds must see each.

Without a planted fault the same seeds show nothing (test_seeds.py), so whatever is found is found because of it.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from services.adapters.cql.writes import Write, history_phases, settlement_phases
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.orders import OrderStatus
from services.domain.rows import StatisticsRow
from services.domain.topics import TopicPartition
from services.order_history.projection import OrderHistory, StatisticsKey, statistics_shard
from services.order_history.service import HistoryProjection
from services.shell.projection_shell import ProjectionShell
from services.simulation.programs import Parts
from services.simulation.tables import Tables
from tests.support.planted import check_found, planted

Phases = list[list[Write]]


class BalancesFirst(Tables):
    """Settlement then takes a ledger for written that is not."""

    @staticmethod
    def settlement_phases(batch: SettlementBatch) -> Phases:
        *rows, progress = settlement_phases(batch)
        return [*rows[::-1], progress]


class AllAtOnce(Tables):
    """One unlogged batch of everything: any of it may be there alone."""

    @staticmethod
    def settlement_phases(batch: SettlementBatch) -> Phases:
        return [[write for phase in settlement_phases(batch) for write in phase]]


class ProgressFirst(Tables):
    """What a crash leaves out is never written."""

    @staticmethod
    def settlement_phases(batch: SettlementBatch) -> Phases:
        return settlement_phases(batch)[::-1]

    @staticmethod
    def history_phases(batch: HistoryBatch) -> Phases:
        return history_phases(batch)[::-1]


class KeepsWhatCameAndWent(Tables):
    """An order that was opened in this batch cannot be active, it says."""

    @staticmethod
    def history_phases(batch: HistoryBatch) -> Phases:
        opened = {(row.user_id, row.order_id) for row in batch.updates if row.status == OrderStatus.New}
        return history_phases(batch._replace(closed=[key for key in batch.closed if key not in opened]))


class LastComeWins(Tables):
    """A table whose writes carry no timestamp: the database takes the time of their arrival."""

    table = ""

    def __init__(self) -> None:
        super().__init__()
        self._arrivals = count(1)

    def land(self, write: Write) -> None:
        if write.table == self.table:
            write = write._replace(timestamp=next(self._arrivals))
        super().land(write)


class LastBalanceWins(LastComeWins):
    table = "user_balances"


class LastStatisticsWin(LastComeWins):
    table = "order_statistics"


class LastActiveOrderWins(LastComeWins):
    table = "active_orders"


class LastHistoryWins(LastComeWins):
    table = "order_history"


class CountsAgain(OrderHistory):
    """Adds to the stored row whatever is new since the stored position."""

    def _new_totals(self, stored: Mapping[StatisticsKey, StatisticsRow]) -> list[StatisticsRow]:
        before = {user_id: self._totals.get(user_id) or stored.get((user_id, self._shard)) for user_id in self._counts}
        return [self._total(user_id, counts, before[user_id]) for user_id, counts in self._counts.items()]


def counting_again(partition: TopicPartition, frames: Any, store: Any, clock: Any) -> ProjectionShell[HistoryBatch]:
    shard = statistics_shard(partition)
    projection = HistoryProjection(shard, store)
    projection._history = CountsAgain(shard)
    return ProjectionShell(projection, partition, frames, store, clock)


BUGS: Sequence[tuple[Parts, str]] = [
    (Parts(tables=BalancesFirst), "table balance_ledger"),
    (Parts(tables=AllAtOnce), "table|the store has version"),
    (Parts(tables=ProgressFirst), "table|the store has version"),
    (Parts(tables=KeepsWhatCameAndWent), "table active_orders"),
    (Parts(tables=LastBalanceWins), "table user_balances|the store has version"),
    (Parts(tables=LastStatisticsWin), "table order_statistics"),
    (Parts(tables=LastActiveOrderWins), "table active_orders"),
    (Parts(tables=LastHistoryWins), "table order_history"),
    (Parts(order_history_shell=counting_again), "table order_statistics"),
]


@pytest.mark.parametrize(("parts", "sentence"), BUGS, ids=planted)
def test_planted_bug_of_a_store_without_transactions_is_found_by_few_seeds(parts: Parts, sentence: str) -> None:
    check_found(parts, sentence)
