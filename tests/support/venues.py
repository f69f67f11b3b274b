"""The fast matcher and its oracle behind one face, so that one contract suite can run on both."""

from typing import Protocol

from services.domain.messages import (
    CancelRequest,
    Closed,
    MatchBody,
    MatchReport,
    MatchResult,
    NewOrder,
    decode_frame,
    encode_frame,
)
from services.domain.orders import Side
from services.domain.topics import BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS
from services.matcher.engine import MatcherEngine
from tests.support.matcher_commands import random_commands
from tests.support.naive_book import NaiveBook, NaiveMatcher

Levels = list[tuple[int, int]]


class Venue(Protocol):
    """Something that matches orders."""

    def handle(self, command: NewOrder | CancelRequest) -> tuple[MatchBody, list[Closed]]: ...

    def depth(self, symbol: str) -> tuple[Levels, Levels]:
        """Bids and asks, best first."""

    def last_price(self, symbol: str) -> int: ...


class NaiveVenue:
    """The oracle."""

    def __init__(self) -> None:
        self.matcher = NaiveMatcher()

    def handle(self, command: NewOrder | CancelRequest) -> tuple[MatchBody, list[Closed]]:
        return self.matcher.handle(command)

    def depth(self, symbol: str) -> tuple[Levels, Levels]:
        book = self.matcher.books.get(symbol, NaiveBook())
        return book.depth(Side.Buy), book.depth(Side.Sell)

    def last_price(self, symbol: str) -> int:
        return self.matcher.books.get(symbol, NaiveBook()).last_price


class EngineVenue:
    """The production core; what goes in and comes out travels as bytes, as on the log."""

    def __init__(self, engine: MatcherEngine | None = None) -> None:
        self.engine = engine or MatcherEngine(0, 1)
        self.results: list[MatchResult] = []
        self.sent = 0

    def send(self, commands: list[NewOrder | CancelRequest], repeated: int = 0) -> list[tuple[MatchBody, list[Closed]]]:
        """Apply one frame; its first `repeated` commands were sent before, and get no answer."""
        data = encode_frame("ubscore-0", self.sent + 1 - repeated, commands)
        self.sent += len(commands) - repeated
        outputs = self.engine.apply(decode_frame(ORDERS, data), self.engine.next_offset)
        results: list[MatchResult] = []
        reports: dict[int, MatchReport] = {}
        for output in outputs:
            frame = decode_frame(
                output.partition.topic, encode_frame(self.engine.source, output.first_sequence, output.records)
            )
            if output.partition.topic == ENGINE_OUTPUTS:
                results = frame.records
            else:
                assert output.partition.topic == BALANCE_OPERATIONS
                reports |= {report.engine_sequence: report for report in frame.records}
        self.results += results
        self.engine.check()
        return [_answer(result, reports.get(result.sequence)) for result in results]

    def handle(self, command: NewOrder | CancelRequest) -> tuple[MatchBody, list[Closed]]:
        return self.send([command])[0]

    def depth(self, symbol: str) -> tuple[Levels, Levels]:
        view = self.engine.depth(symbol, 1000)
        return view.bids, view.asks

    def last_price(self, symbol: str) -> int:
        return self.engine.depth(symbol, 0).last_price_ticks


def _answer(result: MatchResult, report: MatchReport | None) -> tuple[MatchBody, list[Closed]]:
    body = result.decode_body()
    if report is None:
        assert not body.trades
        return body, []
    assert (report.request_id, report.time_ms, report.symbol) == (body.request_id, body.time_ms, body.symbol)
    assert report.trades == body.trades
    return body, report.closes


def played(seed: int, count: int = 300) -> EngineVenue:
    """An engine after a seeded stream of commands."""
    venue = EngineVenue()
    for command in random_commands(seed, count):
        venue.handle(command)
    return venue
