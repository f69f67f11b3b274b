"""Tests of the tests: faults that others have shipped, planted one by one; few seeds must be enough to see each.

Without a planted fault the same seeds show nothing (test_seeds.py), so whatever is found is found because of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import pytest

from services.adapters.journal.journal import Journal
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.core import Output
from services.domain.errors import LogError, StoreUnavailable
from services.domain.messages import Frame, decode_frame
from services.domain.orders import OrderStatus
from services.domain.rows import StatisticsRow
from services.gateway.commands import CommandBus
from services.gateway.errors import ApiError, Overloaded
from services.gateway.outcomes import OutcomeTracker
from services.gateway.partition_reader import RETRY_S, PartitionReader
from services.matcher.engine import MatcherEngine
from services.matcher.snapshot import decode_state, encode_state
from services.settlement.service import SettlementProjection
from services.shell.core_shell import BATCH_FRAMES, CoreShell
from services.shell.projection_shell import ProjectionShell
from services.simulation.programs import Parts
from services.simulation.tables import Tables
from services.ubscore.core import UbsCore
from tests.support.planted import check_found, planted


class PublishesBeforeTheFlush(CoreShell[Any]):
    """Acknowledged, and gone after a power cut."""

    async def run(self) -> None:
        while not self._stopping:
            frames = await self._log.read(self.core.input, self.core.next_offset, BATCH_FRAMES)
            if not frames:
                await self._wait()
                continue
            await self._journal.append(frames)
            await self._publish(self._apply(frames))
            await self._journal.flush()


class SaysNothingAgain(CoreShell[Any]):
    """Takes what the journal holds for said."""

    async def recover(self) -> None:
        self._publish = self._forget  # type: ignore[method-assign]
        await super().recover()
        del self._publish  # type: ignore[method-assign]

    async def _forget(self, outputs: list[Output]) -> None:
        for partition, first, records in outputs:
            self._published[partition] = first + len(records) - 1


class ForgetsTransferIds(UbsCore):
    """Its keys against double deposits are in memory only."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        core = super().restore(data)
        core.state.transfer_answers = type(core.state.transfer_answers)()
        return core


class ForgetsClientOrderIds(UbsCore):
    @classmethod
    def restore(cls, data: bytes) -> Self:
        core = super().restore(data)
        core.state.order_answers = type(core.state.order_answers)()
        return core


class SettlesRepeats(UbsCore):
    """Believes that the log holds everything once."""

    def apply(self, frame: Frame[Any], offset: int) -> list[Output]:
        return super().apply(Frame(frame.version, frame.source, 0, frame.records), offset)


class LosesPriority(MatcherEngine):
    """The youngest order of a level is the first in line after a restart."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        state = decode_state(data)
        for book in state.books:
            for level in (*book.bids, *book.asks):
                level.orders.reverse()
        return super().restore(encode_state(state))


class KeepsTornTails(Journal):
    async def _cut(self, name: str, segment: Any) -> None:
        pass


class NeverSyncs(Journal):
    async def _sync(self) -> None:
        pass


class GivesUpOnAnError(SettlementProjection):
    """Goes on with the next batch when the store does not answer."""

    async def write(self, batch: SettlementBatch) -> None:
        try:
            await super().write(batch)
        except StoreUnavailable:
            return


def giving_up_settlement(shard: int, log: Any, store: Any, clock: Any) -> ProjectionShell[SettlementBatch]:
    partition = Parts().settlement_shell(shard, log, store, clock).partition
    return ProjectionShell(GivesUpOnAnError(store), partition, log, store, clock)


class CountsInPlace(Tables):
    """Adds to what is there, as `SET filled = filled + 1` does: a batch that is written twice counts twice."""

    def apply_history(self, batch: HistoryBatch) -> None:
        before = dict(self.statistics)
        super().apply_history(batch)
        self.statistics = before
        for row in batch.statistics:
            old = before.get((row.user_id, row.shard)) or StatisticsRow(row.user_id, row.shard, *[0] * 7)
            filled = [u for u in batch.updates if (u.user_id, u.status) == (row.user_id, OrderStatus.Filled)]
            new = StatisticsRow(*(getattr(row, name) for name in row.__struct_fields__))
            new.filled = old.filled + len(filled)
            self.statistics[row.user_id, row.shard] = new


class NoVersions(Tables):
    """The position is not written with the effects: after a crash, the newest batch comes once more or never."""

    def apply_settlement(self, batch: SettlementBatch) -> None:
        self._stand(batch.progress)
        if len(batch.ledger) % 5:
            super().apply_settlement(batch)


class SaysNotDone(CommandBus):
    """Tells clients that nothing was done when the log did not answer."""

    def __init__(self, *args: Any) -> None:
        *before, on_failure, limits = args
        tell: Callable[[int, ApiError], None] = on_failure
        super().__init__(*before, lambda request_id, _: tell(request_id, Overloaded()), limits)


class AnswersBeforeSettlement(OutcomeTracker):
    def _await_settlement(self, *_: Any) -> None:
        pass


class WaitsForNews(PartitionReader):
    """Was real: a failed start was over only when the next frame came, which nobody could send."""

    async def run(self, log: Any, clock: Any) -> None:
        while True:
            try:
                if not self.started:
                    await self._start(log)
                await log.wait(self.partition, self._next_offset)
                frames = await log.read(self.partition, self._next_offset)
                self.error = ""
            except LogError as error:
                self.error = str(error)
                await clock.sleep(RETRY_S)
                continue
            for stored in frames:
                self._take(decode_frame(self.partition.topic, stored.data), stored.offset)


class TrackerOfWaiters(OutcomeTracker):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._readers = [WaitsForNews(reader.partition, reader._apply) for reader in self._readers]


class SpeaksForAllShards(CommandBus):
    """Was real: a command that one of two shards dropped as stale was called not done."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for writer in self._writers:
            add = writer.add
            writer.add = lambda pending, add=add: add(pending._replace(alone=True))  # type: ignore[method-assign]


_ANYTHING = "."
"""A fault with so many consequences that which one shows first depends on the seed."""

BUGS: Sequence[tuple[Parts, str]] = [
    (Parts(core_shell=PublishesBeforeTheFlush), "unsynced"),
    (Parts(core_shell=SaysNothingAgain), _ANYTHING),
    (Parts(ubscore=ForgetsTransferIds), _ANYTHING),
    (Parts(ubscore=ForgetsClientOrderIds), _ANYTHING),
    (Parts(ubscore=SettlesRepeats), _ANYTHING),
    (Parts(matcher=LosesPriority), _ANYTHING),
    (Parts(journal=KeepsTornTails), "does not come to rest|still wait"),
    (Parts(journal=NeverSyncs), "unsynced"),
    (Parts(settlement_shell=giving_up_settlement), "table|the store has version|it was set back"),
    (Parts(tables=CountsInPlace), "order_statistics"),
    (Parts(tables=NoVersions), "table|the store has version"),
    (Parts(command_bus=SaysNotDone), "refused at the door"),
    (Parts(tracker=AnswersBeforeSettlement), "still sees order"),
    (Parts(tracker=TrackerOfWaiters), "still wait|does not come to rest"),
    (Parts(command_bus=SpeaksForAllShards), "refused at the door"),
]


@pytest.mark.parametrize(("parts", "sentence"), BUGS, ids=planted)
def test_planted_bug_is_found_by_few_seeds(parts: Parts, sentence: str) -> None:
    check_found(parts, sentence)
