"""Matcher: is it healthy, how fast, and what do the books look like."""

from typing import Final

from exchange_dashboards import cores, promql
from exchange_dashboards.model import Page, Query, Row, Unit, Variable, graph, stat, table
from exchange_dashboards.promql import of, percentiles, rate, speaking, sum_by

_CORE: Final = "matcher"
_SYMBOL: Final = Variable("symbol", "Symbol", "symbol", "exchange_symbol_info")
_BOOK: Final = f"{promql.ONE_EXCHANGE}, symbol"
_CHOSEN: Final = "=~$symbol"

_HEALTHY: Final = Row(
    "Is it healthy?",
    (
        *cores.health(_CORE),
        stat(
            "Orders that rest",
            "In the books of all shards.",
            Unit.COUNT,
            f"sum(max by ({promql.ONE_EXCHANGE}, source) ({of('exchange_open_orders')}))",
        ),
    ),
)

_ANSWERS: Final = Row(
    "How long until an order is matched, and is anything traded?",
    (
        graph(
            "Matched",
            "From the gateway's stamp on an order until the matcher applied it.",
            Unit.SECONDS,
            *percentiles(speaking(rate("exchange_order_stage_seconds_bucket", stage="matched"))),
            limits=(0.1, 0.5),
            traces=True,
        ),
        graph(
            "Trades",
            "Matches of two orders.",
            Unit.PER_SECOND,
            Query(sum_by("symbol", speaking(rate("exchange_trades_total", symbol=_CHOSEN))), "{{symbol}}"),
            stacked=True,
        ),
    ),
)


def _scaled(metric: str, step: str, *labels: str) -> str:
    """Ticks or lots as prices and quantities: the step comes from ubscore."""
    ticks = f"max by ({', '.join((_BOOK, *labels))}) ({of(metric, symbol=_CHOSEN)})"
    return f"{ticks} * on ({_BOOK}) group_left () max by ({_BOOK}) ({of(step)})"


_BOOKS: Final = Row(
    "What do the books look like?",
    (
        graph(
            "Best prices and the last",
            "In the quote asset; choose one symbol at the top. An empty side, or a market that has never "
            "traded, has no line.",
            Unit.COUNT,
            Query(_scaled("exchange_book_best_ticks", "exchange_symbol_tick_size", "side"), "{{symbol}} {{side}}"),
            Query(_scaled("exchange_last_price_ticks", "exchange_symbol_tick_size"), "{{symbol}} last"),
            width=8,
            from_zero=False,
        ),
        graph(
            "Spread",
            "Best ask less best bid, in the quote asset; no line where a side is empty.",
            Unit.COUNT,
            Query(_scaled("exchange_book_spread_ticks", "exchange_symbol_tick_size"), "{{symbol}}"),
            width=8,
        ),
        graph(
            "Depth",
            "What the best 20 prices of a side hold, in the base asset.",
            Unit.COUNT,
            Query(_scaled("exchange_book_depth_lots", "exchange_symbol_lot_size", "side"), "{{symbol}} {{side}}"),
            width=8,
        ),
        graph(
            "Prices with orders",
            "By symbol and side.",
            Unit.COUNT,
            Query(
                f"max by (symbol, side) ({of('exchange_book_levels', symbol=_CHOSEN)})",
                "{{symbol}} {{side}}",
            ),
            width=8,
        ),
        graph(
            "Orders that rest",
            "By shard.",
            Unit.COUNT,
            Query(f"max by (source) ({of('exchange_open_orders')})", "{{source}}"),
            width=8,
        ),
        table(
            "Which symbols trade",
            "The status of each, and how many trades it has ever had.",
            Unit.COUNT,
            f"max by (symbol, status) ({of('exchange_symbol_info', symbol=_CHOSEN)}) "
            f"* on (symbol) group_left () max by (symbol) ({of('exchange_trades_total', symbol=_CHOSEN)})",
            width=8,
            value="trades",
        ),
    ),
)

PAGE: Final = Page(
    "matcher",
    "Exchange: matcher",
    "The matching engine: is it healthy, how fast, and what do the books look like.",
    (_HEALTHY, _ANSWERS, _BOOKS, cores.speed(_CORE), cores.work(_CORE), cores.stuck(_CORE)),
    (*promql.CHOSEN, _SYMBOL),
)
