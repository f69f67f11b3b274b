"""What is measured while a core works. Records are counted a batch at a time: one by one they would cost too much."""

import time
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter, index
from typing import Any, Final

from services.adapters.metrics import catalogue
from services.adapters.metrics.prometheus import Distribution, Metrics
from services.adapters.ports import StoredFrame
from services.domain.core import Output
from services.domain.messages import (
    CommandRejected,
    Frame,
    MatchReport,
    OrderRejected,
    TradeSettled,
    TransferRejected,
)
from services.domain.rejects import Reject
from services.domain.topics import account_shard

AGES: Final = 4
"""Of how many records of a frame, or rows of a batch, it is looked how old they are; each stands for its neighbours."""
_CODE: Final = attrgetter("code")
_SYMBOL: Final = attrgetter("symbol")
_BASE: Final = attrgetter("base_amount")
_QUOTE: Final = attrgetter("quote_amount")
_REFUSALS: Final = frozenset((OrderRejected, CommandRejected, TransferRejected))


class CoreMeter:
    """The numbers of one core: `applied` is for CoreShell.on_applied, `flushed` for the journal, itself a BatchWatch.

    account_shards: 0 for a matcher. shard: its own.
    """

    def __init__(self, metrics: Metrics, source: str, shard: int, account_shards: int = 0) -> None:
        self._source = source
        self._shard, self._account_shards = shard, account_shards
        self._frame_records = metrics.distribution(catalogue.FRAME_RECORDS, source)
        self._batch_frames = metrics.distribution(catalogue.BATCH_FRAMES, source)
        self._batch_bytes = metrics.distribution(catalogue.BATCH_BYTES, source)
        self._record_seconds = metrics.distribution(catalogue.CORE_RECORD, source)
        self._flush_seconds = metrics.distribution(catalogue.JOURNAL_FLUSH, source)
        self._stages = {
            stage: metrics.distribution(catalogue.CORE_STAGE, source, stage)
            for stage in ("journal", "apply", "publish")
        }
        reached = ("accepted", "settled") if account_shards else ("matched", "matched")
        self._reached, self._reached_by_report = [
            metrics.distribution(catalogue.ORDER_STAGE, stage) for stage in reached
        ]
        self._records = metrics.tally(catalogue.RECORDS)
        if account_shards:
            self._rejected = metrics.tally(catalogue.REJECTED)
            self._base = metrics.tally(catalogue.TRADED_BASE)
            self._quote = metrics.tally(catalogue.TRADED_QUOTE)
        self._applied: list[Any] = []
        self._said: list[Any] = []
        self._since = 0.0

    # The batch

    def began(self, frames: Sequence[StoredFrame]) -> None:
        self._batch_frames.observe(len(frames))
        self._batch_bytes.observe(sum([len(frame.data) for frame in frames]))
        self._since = time.perf_counter()

    def passed(self, stage: str) -> None:
        now = time.perf_counter()
        seconds = now - self._since
        self._stages[stage].observe(seconds)
        if stage == "apply":
            self._count_batch(seconds)
            now = time.perf_counter()
        self._since = now

    def flushed(self, seconds: float) -> None:
        """The journal was flushed."""
        self._flush_seconds.observe(seconds)

    # The frames

    def applied(self, frame: Frame[Any], offset: int, outputs: list[Output]) -> None:
        """An input frame was applied, and caused these outputs."""
        records = frame.records
        self._frame_records.observe(len(records))
        if records:
            self._applied += records
            reached = self._reached_by_report if type(records[0]) is MatchReport else self._reached
            observe_ages(reached, records)
        for output in outputs:
            self._said += output.records

    def _count_batch(self, seconds: float) -> None:
        applied, said = self._applied, self._said
        if applied:
            self._record_seconds.observe(seconds / len(applied), len(applied))
        self._count("in", applied)
        kinds = self._count("out", said)
        if TradeSettled in kinds:
            self._count_volume([record for record in said if type(record) is TradeSettled])
        if not _REFUSALS.isdisjoint(kinds):
            self._count_refusals(said)
        self._applied, self._said = [], []

    def _count(self, direction: str, records: list[Any]) -> Counter[type]:
        kinds = Counter(map(type, records))
        for kind, number in kinds.items():
            self._records.add((self._source, direction, kind.__name__), number)
        return kinds

    def _count_refusals(self, records: list[Any]) -> None:
        refusals = [record for record in records if type(record) in _REFUSALS]
        # Of numbers, since hashing an enum is slow.
        for code, number in Counter(map(index, map(_CODE, refusals))).items():
            self._rejected.add((Reject(code).name,), number)

    def _count_volume(self, trades: list[TradeSettled]) -> None:
        """A trade between two account shards is settled by both, and counted by the taker's."""
        shard, shards = self._shard, self._account_shards
        if shards > 1:
            trades = [trade for trade in trades if account_shard(trade.trade.taker_user_id, shards) == shard]
        symbols = set(map(_SYMBOL, trades))
        for symbol in symbols:
            own = trades if len(symbols) == 1 else [trade for trade in trades if trade.symbol == symbol]
            self._base.add((symbol,), sum(map(_BASE, own)))
            self._quote.add((symbol,), sum(map(_QUOTE, own)))


def observe_ages(distribution: Distribution, stamped: Sequence[Any]) -> int:
    """Count how long ago each of these was stamped (its `time_ms`), as AGES of them tell.

    A clock that is ahead of ours counts as now. Returns the newest stamp that it saw; 0 of nothing.
    """
    count, now, newest = len(stamped), time.time(), 0
    step = -(-count // AGES)
    for at in range(0, count, step or 1):
        time_ms = stamped[min(at + step // 2, count - 1)].time_ms
        distribution.observe(max(0.0, now - time_ms / 1000), min(step, count - at))
        newest = max(newest, time_ms)
    return newest
