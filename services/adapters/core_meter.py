"""What is measured while a core works. A frame is counted as a whole: single records would cost too much."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from services.adapters import metrics_catalogue as catalogue
from services.adapters.metrics import Distribution, Metrics
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
from services.domain.topics import account_shard

_TIME_MS: Final = attrgetter("time_ms")
_REFUSALS: Final = (OrderRejected, CommandRejected, TransferRejected)


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
        self._batch_records = 0
        self._since = 0.0

    # The batch

    def began(self, frames: Sequence[StoredFrame]) -> None:
        self._batch_frames.observe(len(frames))
        self._batch_bytes.observe(sum([len(frame.data) for frame in frames]))
        self._batch_records = 0
        self._since = time.perf_counter()

    def passed(self, stage: str) -> None:
        now = time.perf_counter()
        seconds = now - self._since
        self._since = now
        self._stages[stage].observe(seconds)
        if stage == "apply" and self._batch_records:
            self._record_seconds.observe(seconds / self._batch_records, self._batch_records)

    def flushed(self, seconds: float) -> None:
        """The journal was flushed."""
        self._flush_seconds.observe(seconds)

    # The frames

    def applied(self, frame: Frame[Any], offset: int, outputs: list[Output]) -> None:
        """An input frame was applied, and caused these outputs."""
        records = frame.records
        self._batch_records += len(records)
        self._frame_records.observe(len(records))
        if records:
            self._count("in", records)
            reached = self._reached_by_report if type(records[0]) is MatchReport else self._reached
            observe_ages(reached, map(_TIME_MS, records))
        for output in outputs:
            kinds = self._count("out", output.records)
            if TradeSettled in kinds:
                self._count_volume(output.records)
            if not kinds.keys().isdisjoint(_REFUSALS):
                self._count_refusals(output.records)

    def _count(self, direction: str, records: list[Any]) -> Counter[type]:
        kinds = Counter(map(type, records))
        for kind, number in kinds.items():
            self._records.add((self._source, direction, kind.__name__), number)
        return kinds

    def _count_refusals(self, records: list[Any]) -> None:
        for record in records:
            if type(record) in _REFUSALS:
                self._rejected.add((record.code.name,))

    def _count_volume(self, records: list[Any]) -> None:
        """A trade between two account shards is settled by both, and counted by the taker's."""
        base, quote = Counter[str](), Counter[str]()
        shard, shards = self._shard, self._account_shards
        for record in records:
            if type(record) is TradeSettled and (
                shards == 1 or account_shard(record.trade.taker_user_id, shards) == shard
            ):
                base[record.symbol] += record.base_amount
                quote[record.symbol] += record.quote_amount
        for symbol, amount in base.items():
            self._base.add((symbol,), amount)
            self._quote.add((symbol,), quote[symbol])


def observe_ages(distribution: Distribution, times_ms: Iterable[int]) -> int:
    """Count how long ago each of these times was; a clock that is ahead of ours counts as now. Returns the newest."""
    now, newest = time.time(), 0
    for time_ms, number in Counter(times_ms).items():
        distribution.observe(max(0.0, now - time_ms / 1000), number)
        newest = max(newest, time_ms)
    return newest
