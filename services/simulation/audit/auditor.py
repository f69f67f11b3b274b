"""Holds a whole exchange against the naive one: the log as it grows, and at the end cores, store and promises.

`follow` may be called at any moment: what is on the log must be right so far. `finish` is for the end, when nothing is
on its way any more: then nothing may be missing either. Both raise Contradiction with one sentence.
"""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from services.domain.messages import MatchReport, MatchResult
from services.domain.orders import Side
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.simulation.audit.accounts import Contradiction, NaiveAccounts
from services.simulation.audit.book import Answer, NaiveMatcher
from services.simulation.audit.streams import Expectation, PartitionReader, Said
from services.simulation.audit.tables import NaiveTables

Contents = list[tuple[str, list[Any]]]


class Promise(NamedTuple):
    """What a client was told about one command.

    written: whether it is on the log; None when that was left open. events, results: as in the gateway's Outcome.
    """

    command: Any
    shards: list[int]
    written: bool | None
    events: Mapping[int, Any]
    results: Mapping[int, Any]


class _Books:
    """One matcher shard: its naive books, its chain, and the depth that its level changes add up to."""

    def __init__(self) -> None:
        self.matcher = NaiveMatcher()
        self.hash = bytes(16)
        self.commands = 0
        self.answers: list[tuple[int, Answer, dict[tuple[Side, int], int]]] = []
        """Per command: the offset that brought it, what must be said, and the depth behind it."""
        self.depths: dict[str, dict[tuple[Side, int], int]] = {}

    def is_right(self, expected: tuple[int, Answer, dict[tuple[Side, int], int]], said: Said) -> bool:
        """A result: content, place, link of the chain, and the levels that it changes."""
        offset, answer, depth = expected
        result: MatchResult = said.record
        body = result.decode_body()
        numbers = result.sequence.to_bytes(8, "big") + offset.to_bytes(8, "big")
        link = blake2b(self.hash + numbers + bytes(result.body), digest_size=16).digest()
        if (result.sequence, result.position, result.previous_hash, result.hash) != (
            said.sequence, offset, self.hash, link
        ):  # fmt: skip
            return False
        self.hash = link
        levels = self.depths.setdefault(body.symbol, {})
        for change in body.levels:
            levels[change.side, change.price_ticks] = change.quantity_lots
            if not change.quantity_lots:
                del levels[change.side, change.price_ticks]
        bids = [price for side, price in levels if side == Side.Buy]
        asks = [price for side, price in levels if side == Side.Sell]
        crossed = bool(bids and asks) and max(bids) >= min(asks)
        return answer.matches(body) and levels == depth and not crossed


class Auditor:
    """partitions: the log's, as it grows."""

    def __init__(
        self, partitions: Mapping[TopicPartition, list[bytes]], account_shards: int, matcher_shards: int
    ) -> None:
        self._log = partitions
        self._account_shards = range(account_shards)
        self._matcher_shards = range(matcher_shards)
        self.accounts = [NaiveAccounts(shard, account_shards) for shard in self._account_shards]
        self._books = [_Books() for _ in self._matcher_shards]
        self._tables = NaiveTables()
        self._readers: dict[TopicPartition, PartitionReader] = {}
        self._expectations: dict[tuple[TopicPartition, str], Expectation] = {}
        self._written: Counter[tuple[int, int]] = Counter()
        """(account shard, request id) -> how often it is on the log."""
        self._words: dict[tuple[int, int], Any] = {}
        """(account shard, request id) -> the first event about it."""
        self._results: dict[tuple[int, int], Any] = {}
        """(request id, order id) -> the first result about it."""
        self.trades = 0
        for shard in self._matcher_shards:
            partition, source = TopicPartition(ENGINE_OUTPUTS, shard), f"matcher-{shard}"
            books = self._books[shard]
            self._expectations[partition, source] = Expectation(f"{source} on {partition}", books.is_right)

    def follow(self) -> None:
        """Read on, and check what is there."""
        for shard in self._account_shards:
            for frame in self._new(BALANCE_OPERATIONS, shard):
                for said in frame:
                    self._operation(shard, said)
                self.accounts[shard].end_frame()
        for shard in self._matcher_shards:
            for frame in self._new(ORDERS, shard):
                for said in frame:
                    self._order(shard, said)
        for shard in self._account_shards:
            for frame in self._new(BALANCE_EVENTS, shard):
                for said in frame:
                    self._event(shard, said)
        for shard in self._matcher_shards:
            for frame in self._new(ENGINE_OUTPUTS, shard):
                for said in frame:
                    self._result(shard, said)
        for expectation in self._expectations.values():
            expectation.compare()
        self._check_sums()

    def finish(
        self, stored: Contents, balances: Mapping[tuple[int, str], tuple[int, int, int]], promises: list[Promise]
    ) -> None:
        """The verdict. stored: the store's tables. balances: of the live cores, as (available, reserved, version)."""
        self.follow()
        for expectation in self._expectations.values():
            expectation.finish()
        self._check_balances(balances)
        self._check_open_orders()
        self._check_store(stored)
        _check_ledger(dict(stored))
        for promise in promises:
            self._check_promise(promise)

    def _new(self, topic: str, shard: int) -> list[list[Said]]:
        partition = TopicPartition(topic, shard)
        reader = self._readers.setdefault(partition, PartitionReader(partition))
        return reader.read(self._log.get(partition, []))

    def _expectation(self, topic: str, shard: int, source: str) -> Expectation:
        partition = TopicPartition(topic, shard)
        key = (partition, source)
        if key not in self._expectations:
            self._expectations[key] = Expectation(f"{source} on {partition}")
        return self._expectations[key]

    # One record after the other

    def _operation(self, shard: int, said: Said) -> None:
        if isinstance(said.record, MatchReport):
            self._expectation(BALANCE_OPERATIONS, shard, said.source).say(said)
        else:
            self._written[shard, said.record.request_id] += 1
        events, forwards = self.accounts[shard].apply(said.record)
        source = f"ubscore-{shard}"
        for event in events:
            self._expectation(BALANCE_EVENTS, shard, source).expect(event)
        for matcher_shard, record in forwards:
            self._expectation(ORDERS, matcher_shard, source).expect(record)

    def _order(self, shard: int, said: Said) -> None:
        self._expectation(ORDERS, shard, said.source).say(said)
        books = self._books[shard]
        answer = books.matcher.apply(said.record)
        books.commands += 1
        books.answers.append((said.offset, answer, books.matcher.depth(answer.symbol)))
        self._expectations[TopicPartition(ENGINE_OUTPUTS, shard), f"matcher-{shard}"].expect(books.answers[-1])
        self.trades += len(answer.trades)
        if not answer.closes and not answer.trades:
            return
        users = [closed.user_id for closed in answer.closes]
        users += [user for trade in answer.trades for user in (trade.maker_user_id, trade.taker_user_id)]
        command = answer.command
        report = MatchReport(
            shard, books.commands, command.request_id, command.time_ms, answer.symbol, answer.trades, answer.closes
        )
        for account_shard in sorted({user % len(self.accounts) for user in users}):
            self._expectation(BALANCE_OPERATIONS, account_shard, f"matcher-{shard}").expect(report)

    def _event(self, shard: int, said: Said) -> None:
        self._expectation(BALANCE_EVENTS, shard, said.source).say(said)
        request_id = getattr(said.record, "request_id", 0)
        if request_id and not hasattr(said.record, "engine_sequence"):
            self._words.setdefault((shard, request_id), said.record)
        self._tables.event(shard, said)

    def _result(self, shard: int, said: Said) -> None:
        self._expectation(ENGINE_OUTPUTS, shard, said.source).say(said)
        body = said.record.decode_body()
        self._results.setdefault((body.request_id, body.order_id), body)
        self._tables.result(shard, said)

    # Sums and comparisons

    def _check_sums(self) -> None:
        """What trades moved between shards is on its way until both have settled it, so sums hold when all is read."""
        for shard, accounts in enumerate(self.accounts):
            reserved: Counter[tuple[int, str]] = Counter()
            for order in accounts.orders.values():
                reserved[order.op.user_id, order.asset] += order.reserved
            for key, balance in accounts.balances.items():
                if balance[1] != reserved[key]:
                    raise Contradiction(
                        f"shard {shard}: {key} has {balance[1]} reserved, its orders need {reserved[key]}"
                    )

    def _check_balances(self, balances: Mapping[tuple[int, str], tuple[int, int, int]]) -> None:
        held: Counter[str] = Counter()
        deposited: Counter[str] = Counter()
        expected: dict[tuple[int, str], tuple[int, int, int]] = {}
        for accounts in self.accounts:
            deposited.update(accounts.deposited)
            expected |= accounts.balances
        for (user_id, asset), balance in balances.items():
            if balance != expected.get((user_id, asset)):
                raise Contradiction(
                    f"user {user_id} has {balance} {asset}, the log gives {expected.get((user_id, asset))}"
                )
            if min(balance) < 0:
                raise Contradiction(f"user {user_id} has {balance} {asset}")
            held[asset] += balance[0] + balance[1]
        if balances.keys() != expected.keys():
            raise Contradiction(f"cores hold {len(balances)} balances, the log gives {len(expected)}")
        for asset in sorted(held.keys() | deposited.keys()):
            if held[asset] != deposited[asset]:
                raise Contradiction(
                    f"{held[asset]} {asset} are held, but deposits less withdrawals are {deposited[asset]}"
                )

    def _check_open_orders(self) -> None:
        reserved = sorted(order_id for accounts in self.accounts for order_id in accounts.orders)
        resting = sorted(order.terms.order_id for books in self._books for order in books.matcher.resting)
        if reserved != resting:
            raise Contradiction(f"orders {reserved} are open for ubscore, {resting} rest in books")

    def _check_store(self, stored: Contents) -> None:
        for (name, rows), (_, expected) in zip(stored, self._tables.contents(), strict=True):
            for row, right in zip(rows, expected, strict=False):
                if row != right:
                    raise Contradiction(f"table {name} has {row}, expected {right}")
            if len(rows) != len(expected):
                raise Contradiction(f"table {name} has {len(rows)} rows, expected {len(expected)}")

    def _check_promise(self, promise: Promise) -> None:
        request_id = promise.command.request_id
        for shard in promise.shards:
            times = self._written[shard, request_id]
            if promise.written is True and not times:
                raise Contradiction(f"{promise.command} was acknowledged, but is not on the log")
            if promise.written is False and times:
                raise Contradiction(f"{promise.command} was refused at the door, but is on the log")
        for shard, event in promise.events.items():
            if self._words.get((shard, request_id)) != event:
                raise Contradiction(f"{promise.command} was answered {event}, which the log does not hold")
        for order_id, body in promise.results.items():
            if self._results.get((request_id, order_id)) != body:
                raise Contradiction(f"{promise.command} was answered {body}, which the log does not hold")


def _check_ledger(tables: dict[str, list[Any]]) -> None:
    """Every balance is the sum of its ledger, without a hole."""
    sums: dict[tuple[int, str], tuple[int, int, int]] = {}
    for row in tables["balance_ledger"]:
        key = (row.user_id, row.asset_id)
        before = sums.get(key, (0, 0, 0))
        after = (before[0] + row.available_delta, before[1] + row.reserved_delta, before[2] + 1)
        if after != (row.available, row.reserved, row.seq):
            raise Contradiction(f"ledger of {key} says {row} after {before}")
        sums[key] = after
    for row in tables["user_balances"]:
        key = (row.user_id, row.asset_id)
        if sums.pop(key, None) != (row.available, row.reserved, row.version):
            raise Contradiction(f"ledger of {key} does not add up to {row}")
    if sums:
        raise Contradiction(f"ledger entries without a balance: {sorted(sums)}")
