"""Holds the store against the log while settlement runs: what was written is read back and compared with its event.

A few balances at a time, so that settlement does not feel it. A store that does not answer proves nothing, and a row
that is newer than the event has been overtaken by a later one; everything else stops settlement.
"""

import asyncio
import contextlib
from enum import Enum
from typing import Final, NamedTuple

from services.adapters.ports import Clock, ProjectionStore, SettlementBatch
from services.domain.errors import InvariantError, StoreUnavailable
from services.domain.rows import BalanceRow, LedgerRow
from services.settlement.postings import BalanceKey

SAMPLE: Final = 16
"""Balances that are compared at one time."""
PAUSE_SECONDS: Final = 0.25
"""From one comparison to the next."""
LOOKS: Final = 10
"""How often a row that is older than its event is looked at before it is one: views follow their tables late."""
LOOK_SECONDS: Final = 1.0


class Sample(NamedTuple):
    """What an event says of a balance, as rows."""

    balance: BalanceRow
    ledger: LedgerRow


class Verdict(Enum):
    """What the store's rows of a balance are beside an event's."""

    EQUAL = "equal"
    NEWER = "newer"
    """At least one of the two rows is of a later event; the other one is that or equal."""
    OLDER = "older"
    """At least one of them is missing, or of an earlier event."""
    DIFFERENT = "different"
    """Of the same event, with other values."""


class Reconciliation:
    """Compares some of what settlement writes; see the metrics.

    checked: balances that were equal. overtaken: those that were newer in the store. last_checked_ms: when it last
    compared anything; 0 before.
    """

    def __init__(self, store: ProjectionStore, clock: Clock) -> None:
        self.checked = 0
        self.overtaken = 0
        self.last_checked_ms = 0
        self._store = store
        self._clock = clock
        self._samples: dict[BalanceKey, Sample] = {}
        self._taken = asyncio.Event()
        self._batches = 0

    @property
    def comparing(self) -> bool:
        """Whether something that was written is still to be compared."""
        return bool(self._samples)

    def written(self, batch: SettlementBatch) -> None:
        """Take samples of a batch that the store has, unless there are some."""
        self._batches += 1
        if not self._samples and batch.balances:
            self._samples = samples_of(batch, self._batches)
            self._taken.set()

    async def run(self) -> None:
        """Compare until cancelled. Raises InvariantError that names the balance and both rows."""
        while True:
            await self._taken.wait()
            await self._compare()
            self._samples = {}
            self._taken.clear()
            await self._clock.sleep(PAUSE_SECONDS)

    async def _compare(self) -> None:
        """Compare all samples; those that are older in the store, and all when it is away, again and again."""
        samples, looks = self._samples, 0
        while True:
            with contextlib.suppress(StoreUnavailable):
                balances = await self._store.balances(list(samples))
                ledger = await self._store.latest_ledger(list(samples))
                looks += 1
                samples = self._older(samples, balances, ledger, looks == LOOKS)
                self.last_checked_ms = self._clock.time_ms()
            if not samples:
                return
            await self._clock.sleep(LOOK_SECONDS)

    def _older(
        self,
        samples: dict[BalanceKey, Sample],
        balances: dict[BalanceKey, BalanceRow],
        ledger: dict[BalanceKey, LedgerRow],
        last: bool,
    ) -> dict[BalanceKey, Sample]:
        """Those that are older in the store. last: then there must be none."""
        older = {}
        for key, sample in samples.items():
            stored = balances.get(key), ledger.get(key)
            verdict = judge(sample, *stored)
            if verdict is Verdict.DIFFERENT or (last and verdict is Verdict.OLDER):
                raise InvariantError(_words(key, sample, *stored))
            if verdict is Verdict.OLDER:
                older[key] = sample
            self.checked += verdict is Verdict.EQUAL
            self.overtaken += verdict is Verdict.NEWER
        return older


def samples_of(batch: SettlementBatch, turn: int) -> dict[BalanceKey, Sample]:
    """Up to SAMPLE balances from all over the batch, others at each turn, with their newest ledger rows."""
    step = -(-len(batch.balances) // SAMPLE)
    rows = {(row.user_id, row.asset_id): row for row in batch.balances[turn % step :: step]}
    samples = {}
    for entry in reversed(batch.ledger):
        key = (entry.user_id, entry.asset_id)
        if key in rows:
            samples[key] = Sample(rows.pop(key), entry)
            if not rows:
                break
    return samples


def judge(sample: Sample, balance: BalanceRow | None, ledger: LedgerRow | None) -> Verdict:
    """What the store's rows are beside the event's."""
    version = sample.balance.version
    if balance is None or ledger is None or balance.version < version or ledger.seq < version:
        return Verdict.OLDER
    if balance.version == version and balance != sample.balance:
        return Verdict.DIFFERENT
    if ledger.seq == version and ledger != sample.ledger:
        return Verdict.DIFFERENT
    return Verdict.EQUAL if balance.version == ledger.seq == version else Verdict.NEWER


def _words(key: BalanceKey, sample: Sample, balance: BalanceRow | None, ledger: LedgerRow | None) -> str:
    event = sample.balance
    parts = [
        f"user {key[0]}, asset {key[1]}: the event said {_values(event.version, event.available, event.reserved)}",
        "the store has no balance"
        if balance is None
        else f"the store has {_values(balance.version, balance.available, balance.reserved)}",
        "and no ledger entry"
        if ledger is None
        else f"and the ledger entry {_values(ledger.seq, ledger.available, ledger.reserved)}",
    ]
    return ", ".join(parts)


def _values(version: int, available: int, reserved: int) -> str:
    return f"version {version} (available {available}, reserved {reserved})"
