"""The store's own ledger, row by row in any order: whether it adds up by itself, also where the log is gone.

An entry says what the balance was after it, and by its deltas what it was before. Over a whole ledger every state
between two entries is said twice, once as an end and once as a beginning; only the beginning of the first and the end
of the last are left over. So a sum of hashes tells whether every entry continues the one before.
"""

from hashlib import blake2b
from typing import Any

from services.domain.rows import LedgerRow
from services.verify.report import Check
from services.verify.tables import Row, Tables

_COMES_IN = ("Deposit", "Withdrawal")
_MOVES = ("Trade", "Fee")
_MASK = 2**64 - 1


class _Account:
    """One balance's entries so far. last: (seq, available, reserved) of the newest."""

    __slots__ = ("entries", "last", "open_ends")

    def __init__(self) -> None:
        self.entries = 0
        self.last = (0, 0, 0)
        self.open_ends = 0


class StoredLedger:
    """Add every row, in any order; then ask. Keeps a few numbers a balance."""

    def __init__(self) -> None:
        self._accounts: dict[Row, _Account] = {}
        self._entries = 0
        self._came_in: dict[str, int] = {}
        self._moved: dict[str, int] = {}
        self._negative = ""

    def add(self, row: LedgerRow) -> None:
        self._entries += 1
        account = self._accounts.setdefault((row.user_id, row.asset_id), _Account())
        after = (row.seq, row.available, row.reserved)
        before = (row.seq - 1, row.available - row.available_delta, row.reserved - row.reserved_delta)
        account.open_ends = account.open_ends + _mark(after) - _mark(before) & _MASK
        account.entries += 1
        account.last = max(account.last, after)
        delta = row.available_delta + row.reserved_delta
        sums = self._came_in if row.kind in _COMES_IN else self._moved
        sums[row.asset_id] = sums.get(row.asset_id, 0) + delta
        if (row.available < 0 or row.reserved < 0) and not self._negative:
            self._negative = f"entry {row.seq} of user {row.user_id} in {row.asset_id} is negative"
        if delta and row.kind not in (*_COMES_IN, *_MOVES):
            self._negative = f"{row.kind} {row.seq} of user {row.user_id} in {row.asset_id} makes or destroys {delta}"

    def check_sums(self, balances: dict[Row, Row], moving: set[Row]) -> Check:
        """Every entry continues the one before, up to the balance. balances: the store's; moving: those not judged."""
        name = "ledger: every entry continues the one before, up to the balance"
        for key, account in self._accounts.items():
            seq, available, reserved = account.last
            if account.entries != seq:
                return Check(name, False, f"{seq - account.entries} of {seq} entries of {_words(key)} are missing")
            if account.open_ends != (_mark(account.last) - _mark((0, 0, 0))) & _MASK:
                return Check(name, False, f"the entries of {_words(key)} do not continue each other")
            if balances.get(key, ())[:3] != (available, reserved, seq) and key not in moving:
                return Check(name, False, f"{_words(key)}: {account.last} by the ledger, {balances.get(key)} stored")
        for key in balances.keys() - self._accounts.keys():
            return Check(name, False, f"{_words(key)} has a balance, but no ledger")
        return Check(name, True, f"{self._entries:,} entries of {len(self._accounts):,} balances")

    def check_zero_sum(self, tables: Tables, older: Any, moving: bool) -> list[Check]:
        """Per asset: what is held, fees among it, is deposits less withdrawals, and nothing is negative.

        Between two shards a trade that only one of them has settled is under way: it moved something, but not nothing
        in all. older: whether a half of a trade is older than the log. moving: the store is written meanwhile.
        """
        if self._negative:
            return [Check("zero sum", False, self._negative)]
        under_way: dict[str, int] = {}
        for key, halves in tables.half_trades.items():
            if not older(key, halves):
                for brought in halves.values():
                    for asset, amount in brought.items():
                        under_way[asset] = under_way.get(asset, 0) + amount
        held: dict[str, int] = {}
        for (_, asset), account in self._accounts.items():
            held[asset] = held.get(asset, 0) + account.last[1] + account.last[2]
        return [self._check_asset(asset, held[asset], under_way.get(asset, 0), moving) for asset in sorted(held)]

    def _check_asset(self, asset: str, held: int, under_way: int, moving: bool) -> Check:
        came_in = self._came_in.get(asset, 0)
        name, words = f"zero sum: {asset}", f"{held:,} held = deposits less withdrawals"
        if under_way:
            words += f", and {under_way:+,} of trades between shards under way"
        if held == came_in + under_way:
            return Check(name, True, words)
        if moving:
            return Check(name, True, f"{held:,} held; settlement is at work, so {held - came_in:+,} are under way")
        return Check(name, False, f"{held:,} held, {came_in:,} deposited less withdrawn, {under_way:+,} under way")


def _mark(state: tuple[int, int, int]) -> int:
    return int.from_bytes(blake2b(b"%d %d %d" % state, digest_size=8).digest())


def _words(key: Row) -> str:
    return f"user {key[0]} in {key[1]}"
