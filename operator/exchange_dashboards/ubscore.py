"""UBSCore: the balances' authority. Is it healthy, how fast, whom does it refuse and why, which markets are there."""

from typing import Final

from exchange_dashboards import cores, promql
from exchange_dashboards.model import Page, Query, Row, Unit, graph, stat, table
from exchange_dashboards.promql import of, or_zero, rate, speaking, sum_by

_CORE: Final = "ubscore"

_HEALTHY: Final = Row(
    "Is it healthy?",
    (
        *cores.health(_CORE),
        stat(
            "Accounts",
            "Users with an account, of all shards.",
            Unit.COUNT,
            f"sum(max by ({promql.ONE_EXCHANGE}, source) ({of('exchange_accounts')}))",
        ),
    ),
)

_ANSWERS: Final = Row(
    "How long until an order is accepted, and until it is settled?",
    (
        graph(
            "Accepted",
            "From the gateway's stamp on an order until ubscore has reserved its funds.",
            Unit.SECONDS,
            *promql.percentiles(speaking(rate("exchange_order_stage_seconds_bucket", stage="accepted"))),
            limits=(0.1, 0.5),
            traces=True,
        ),
        graph(
            "Settled",
            "From the gateway's stamp on an order until what the matcher made of it is in the balances.",
            Unit.SECONDS,
            *promql.percentiles(speaking(rate("exchange_order_stage_seconds_bucket", stage="settled"))),
            limits=(0.25, 1),
            traces=True,
        ),
    ),
)

_REFUSED: Final = Row(
    "Who is refused, and why?",
    (
        graph(
            "Refused commands",
            "By the rule that they break.",
            Unit.PER_SECOND,
            Query(or_zero(sum_by("code", speaking(rate("exchange_rejected_total"))), "code"), "{{code}}"),
            stacked=True,
            leads_to="gateway",
        ),
        table(
            "Refused commands, in the time shown",
            "By the rule that they break.",
            Unit.COUNT,
            or_zero(sum_by("code", speaking(promql.grown("exchange_rejected_total"))), "code"),
            whole=True,
            value="times",
        ),
    ),
)

_MARKETS: Final = Row(
    "Which markets are there, and what is traded?",
    (
        table(
            "Symbols",
            "Each symbol, its assets and status, and its tick: the step of its prices.",
            Unit.COUNT,
            f"max by (symbol, base, quote, status) ({of('exchange_symbol_info')} "
            f"* on (namespace, instance, symbol) group_left () {of('exchange_symbol_tick_size')})",
            width=8,
            value="tick",
            leads_to="matcher",
        ),
        graph(
            "Volume in the base asset",
            "Settled trades, in smallest units of the base asset.",
            Unit.PER_SECOND,
            Query(sum_by("symbol", speaking(rate("exchange_traded_base_units_total"))), "{{symbol}}"),
            width=8,
        ),
        graph(
            "Volume in the quote asset",
            "Settled trades, in smallest units of the quote asset.",
            Unit.PER_SECOND,
            Query(sum_by("symbol", speaking(rate("exchange_traded_quote_units_total"))), "{{symbol}}"),
            width=8,
        ),
    ),
)

PAGE: Final = Page(
    "ubscore",
    "Exchange: ubscore",
    "The balances' authority: is it healthy, how fast, whom does it refuse and why.",
    (_HEALTHY, _ANSWERS, cores.speed(_CORE), cores.work(_CORE), cores.stuck(_CORE), _REFUSED, _MARKETS),
    promql.CHOSEN,
)
