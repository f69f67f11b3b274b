"""The matcher's core: a pure fold of `orders` into results on `engine.outputs` and reports to `balance.operations`.

Every command gets exactly one MatchResult, refused cancels too. When there were trades or orders closed, every
account shard that owns one of their users gets the same MatchReport. services/matcher/service.py drives it.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, Self

import msgspec

from services.adapters.ports import DepthView
from services.domain.core import Output, SourceSequences
from services.domain.errors import GapError, InvariantError
from services.domain.messages import CancelRequest, Frame, MatchBody, MatchReport, MatchResult, NewOrder
from services.domain.orders import OrderType
from services.domain.rejects import Reject
from services.domain.topics import (
    BALANCE_OPERATIONS,
    ENGINE_OUTPUTS,
    ORDERS,
    TopicPartition,
    account_shard,
    matcher_source,
)
from services.matcher.book import Book, Order
from services.matcher.chain import GENESIS, link
from services.matcher.matching import Outcome, cancel, place
from services.matcher.snapshot import EngineState, book_state, decode_state, encode_state, restore_book

_MARKET: Final = OrderType.Market
_NONE: Final = Reject.NONE
_UNKNOWN_ORDER: Final = Reject.UNKNOWN_ORDER

_ENCODE_BODY: Final = msgspec.msgpack.Encoder().encode


class MatcherEngine:
    """All books of one matcher shard. Implements domain.core.Core.

    account_shards: how many shards own the users, which decides who is told about a trade. sequence, hash: of the
    newest MatchResult; 0 and GENESIS before the first.

    Every sum it says (a level's lots, an order's ticks × lots) fits 63 bits, because everything in its books is
    reserved and ubscore keeps the supply of an asset within MAX_AMOUNT.
    """

    def __init__(self, shard: int, account_shards: int) -> None:
        self.shard = shard
        self.account_shards = account_shards
        self.sequence = 0
        self.hash = GENESIS
        self._next_offset = 0
        self._sources = SourceSequences()
        self._books: dict[str, Book] = {}
        self._orders: dict[int, Order] = {}
        self._report_sequences = [0] * account_shards
        self._source = matcher_source(shard)
        self._input = TopicPartition(ORDERS, shard)
        self._results_to = TopicPartition(ENGINE_OUTPUTS, shard)

    @property
    def source(self) -> str:
        return self._source

    @property
    def layout(self) -> str:
        return f"matcher shard {self.shard} on a log with account shards: {self.account_shards}"

    @property
    def input(self) -> TopicPartition:
        return self._input

    @property
    def next_offset(self) -> int:
        return self._next_offset

    @property
    def said(self) -> dict[TopicPartition, int]:
        """See `Core.said`."""
        reports = {TopicPartition(BALANCE_OPERATIONS, n): last for n, last in enumerate(self._report_sequences)}
        return {partition: last for partition, last in {self._results_to: self.sequence, **reports}.items() if last}

    @property
    def heard(self) -> dict[str, int]:
        """See `Core.heard`."""
        return dict(self._sources.last)

    @property
    def books(self) -> Iterable[Book]:
        """The book of every symbol that ever had an order."""
        return self._books.values()

    @property
    def open_orders(self) -> int:
        """How many orders rest in its books."""
        return len(self._orders)

    def apply(self, frame: Frame[Any], offset: int) -> list[Output]:
        """See domain.core.Core. A command that ubscore must never send raises InvariantError."""
        if offset != self._next_offset:
            raise GapError(f"{self._input}: expected offset {self._next_offset}, got {offset}")
        records = frame.records
        repeats = self._sources.repeats(frame.source, frame.first_sequence, len(records))
        if repeats:
            records = records[repeats:]
        self._next_offset = offset + 1
        first_sequence = self.sequence + 1
        results: list[MatchResult] = []
        reports: dict[int, list[MatchReport]] = {}
        for record in records:
            if type(record) is NewOrder:
                results.append(self._place(record, offset, reports))
            elif type(record) is CancelRequest:
                results.append(self._cancel(record, offset, reports))
            else:
                raise InvariantError(f"{self._input}: offset {offset} holds a {type(record).__name__}")
        outputs = [Output(self._results_to, first_sequence, results)] if results else []
        outputs += [self._report_output(shard, reports[shard]) for shard in sorted(reports)]
        return outputs

    def _place(self, order: NewOrder, offset: int, reports: dict[int, list[MatchReport]]) -> MatchResult:
        orders = self._orders
        order_id = order.order_id
        if order_id in orders:
            raise InvariantError(f"{self._input}: offset {offset} places open order {order_id} again")
        _require_sound(order)
        book = self._books.get(order.symbol)
        if book is None:
            book = self._books[order.symbol] = Book(order.symbol)
        outcome = Outcome()
        resting = place(book, order, outcome)
        if resting is not None:
            orders[order_id] = resting
        return self._finish(order, book.symbol, _NONE, outcome, offset, reports)

    def _cancel(self, request: CancelRequest, offset: int, reports: dict[int, list[MatchReport]]) -> MatchResult:
        order = self._orders.get(request.order_id)
        outcome = Outcome()
        if order is None or order.user_id != request.user_id:
            return self._finish(request, "", _UNKNOWN_ORDER, outcome, offset, reports)
        book = order.level.book_side.book
        cancel(book, order, outcome)
        return self._finish(request, book.symbol, _NONE, outcome, offset, reports)

    def _finish(
        self,
        command: NewOrder | CancelRequest,
        symbol: str,
        code: Reject,
        outcome: Outcome,
        offset: int,
        reports: dict[int, list[MatchReport]],
    ) -> MatchResult:
        """Chain the result of a command, forget the orders that it closed, and report what ubscore must settle."""
        body = _ENCODE_BODY(
            MatchBody(
                command.request_id,
                command.time_ms,
                symbol,
                command.order_id,
                command.user_id,
                code,
                outcome.updates,
                outcome.trades,
                outcome.levels(),
            )
        )
        sequence = self.sequence + 1
        previous = self.hash
        self.sequence = sequence
        self.hash = link(previous, sequence, offset, body)
        if outcome.closes or outcome.trades:
            orders = self._orders
            for closed in outcome.closes:
                orders.pop(closed.order_id, None)
            self._report(command, symbol, outcome, reports)
        return MatchResult(sequence, offset, previous, self.hash, msgspec.Raw(body))

    def _report(
        self,
        command: NewOrder | CancelRequest,
        symbol: str,
        outcome: Outcome,
        reports: dict[int, list[MatchReport]],
    ) -> None:
        report = MatchReport(
            self.shard,
            self.sequence,
            command.request_id,
            command.time_ms,
            symbol,
            outcome.trades,
            outcome.closes,
        )
        shards = self.account_shards
        if shards == 1:
            reports.setdefault(0, []).append(report)
            return
        # The taker and all makers: a command without trades has only closes.
        users = [closed.user_id for closed in outcome.closes]
        if outcome.trades:
            users.append(command.user_id)
            users += [trade.maker_user_id for trade in outcome.trades]
        for shard in dict.fromkeys(account_shard(user_id, shards) for user_id in users):
            reports.setdefault(shard, []).append(report)

    def _report_output(self, shard: int, reports: list[MatchReport]) -> Output:
        first_sequence = self._report_sequences[shard] + 1
        self._report_sequences[shard] += len(reports)
        return Output(TopicPartition(BALANCE_OPERATIONS, shard), first_sequence, reports)

    def remaining(self) -> dict[int, int]:
        """What is left of every resting order, in lots, by order id."""
        return {order_id: order.remaining_lots for order_id, order in self._orders.items()}

    def depth(self, symbol: str, limit: int) -> DepthView:
        """A book's best `limit` levels a side; empty when the symbol never had an order."""
        book = self._books.get(symbol)
        if book is None:
            return DepthView([], [], 0, self.sequence)
        return DepthView(book.bids.depth(limit), book.asks.depth(limit), book.last_price_ticks, self.sequence)

    def snapshot(self) -> bytes:
        """See domain.core.Core."""
        state = EngineState(
            self.shard,
            self.account_shards,
            self._next_offset,
            self.sequence,
            self.hash,
            self._report_sequences,
            sorted(self._sources.last.items()),
            [book_state(self._books[symbol]) for symbol in sorted(self._books)],
        )
        return encode_state(state)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """See domain.core.Core. Raises InvariantError when the books in `data` cannot be."""
        state = decode_state(data)
        engine = cls(state.shard, state.account_shards)
        engine._next_offset = state.next_offset
        engine.sequence = state.sequence
        engine.hash = state.hash
        engine._report_sequences = state.report_sequences
        engine._sources = SourceSequences(dict(state.sources))
        for book in state.books:
            engine._books[book.symbol] = restore_book(book, engine._orders)
        engine.check()
        return engine

    def digest(self) -> bytes:
        """See domain.core.Core."""
        return blake2b(self.snapshot(), digest_size=32).digest()

    def check(self) -> None:
        """Raises InvariantError unless every book is consistent and the index holds exactly their orders."""
        if len(self._report_sequences) != self.account_shards:
            raise InvariantError(f"{self._source}: {len(self._report_sequences)} report sequences")
        resting = 0
        for book in self._books.values():
            book.check()
            for level in (*book.bids.levels(), *book.asks.levels()):
                for order in level.orders():
                    resting += 1
                    if self._orders.get(order.order_id) is not order:
                        raise InvariantError(f"{self._source}: order {order.order_id} is not in the index")
        if resting != len(self._orders):
            raise InvariantError(f"{self._source}: the index holds {len(self._orders)} orders, the books {resting}")


def _require_sound(order: NewOrder) -> None:
    """ubscore lets no such order through; resting one would spoil the book."""
    quantity, budget = order.quantity_lots, order.quote_budget
    if order.order_type is _MARKET:
        sound = quantity >= 0 and budget >= 0 and quantity + budget > 0
    else:
        sound = quantity > 0 and budget == 0 and order.price_ticks > 0
    if not sound:
        raise InvariantError(f"order {order.order_id} has a quantity, budget or price that cannot be")
