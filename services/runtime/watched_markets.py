"""The numbers of accounts, symbols and books, looked up in the cores when somebody scrapes /metrics."""

from collections.abc import Callable, Iterable
from typing import Final

from services.adapters.metrics import catalogue
from services.adapters.metrics.prometheus import Metrics, Samples
from services.domain.orders import Side
from services.matcher.book import Book
from services.matcher.engine import MatcherEngine
from services.ubscore.core import UbsCore

DEPTH_LEVELS: Final = 20
"""Prices a side whose lots are summed."""


def watch_accounts(metrics: Metrics, core: Callable[[], UbsCore]) -> None:
    """An account shard. core: as it is at that moment, for a recovery replaces it."""

    def symbols() -> Samples:
        found = [symbol.settings for symbol in core().state.symbols.values()]
        return [((one.name, one.base, one.quote, one.status.name), 1) for one in found]

    def ticks() -> Samples:
        return [((name,), float(symbol.settings.tick_size)) for name, symbol in core().state.symbols.items()]

    def lots() -> Samples:
        return [((name,), float(symbol.settings.lot_size)) for name, symbol in core().state.symbols.items()]

    metrics.watch_all(catalogue.SYMBOL_INFO, symbols)
    metrics.watch_all(catalogue.SYMBOL_TICK, ticks)
    metrics.watch_all(catalogue.SYMBOL_LOT, lots)
    metrics.watch(catalogue.ACCOUNTS, lambda: len(core().state.accounts), source=core().source)


def watch_books(metrics: Metrics, engine: Callable[[], MatcherEngine]) -> None:
    """A matcher shard. engine: as it is at that moment."""

    def of_books(number: Callable[[Book], float | None]) -> Callable[[], Samples]:
        def samples() -> Samples:
            numbers = [(book.symbol, number(book)) for book in engine().books]
            return [((symbol,), value) for symbol, value in numbers if value is not None]

        return samples

    def of_sides(numbers: Callable[[Book, Side], float | None]) -> Callable[[], Samples]:
        def samples() -> Iterable[tuple[tuple[str, ...], float]]:
            for book in engine().books:
                for side in Side:
                    value = numbers(book, side)
                    if value is not None:
                        yield (book.symbol, side.name), value

        return samples

    metrics.watch_all(catalogue.TRADES, of_books(lambda book: book.last_trade_id))
    metrics.watch_all(catalogue.LAST_PRICE, of_books(lambda book: book.last_price_ticks or None))
    metrics.watch_all(catalogue.BOOK_SPREAD, of_books(_spread))
    metrics.watch_all(catalogue.BOOK_BEST, of_sides(_best))
    metrics.watch_all(catalogue.BOOK_LEVELS, of_sides(lambda book, side: book.side(side).price_count))
    metrics.watch_all(catalogue.BOOK_DEPTH, of_sides(_depth))
    metrics.watch(catalogue.OPEN_ORDERS, lambda: engine().open_orders, source=engine().source)


def _best(book: Book, side: Side) -> float | None:
    best = book.side(side).best
    return None if best is None else best.price_ticks


def _spread(book: Book) -> float | None:
    bid, ask = book.bids.best, book.asks.best
    return None if bid is None or ask is None else ask.price_ticks - bid.price_ticks


def _depth(book: Book, side: Side) -> float:
    return sum(lots for _, lots in book.side(side).depth(DEPTH_LEVELS))
