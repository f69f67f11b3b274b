"""Exchange overview: is it healthy, how fast, how much, what is stuck, who is refused and why."""

from typing import Final

from exchange_dashboards import promql
from exchange_dashboards.model import Page, Query, Row, Unit, graph, stat, timeline
from exchange_dashboards.promql import grown, of, or_zero, percentile, percentiles, rate, share, sum_by

# Not those who ask whether it is well: "not ready" is an answer.
_CALLS: Final = "!~/health.*|/metrics"
_REQUESTS: Final = f"sum({rate('exchange_gateway_requests_total', route=_CALLS)})"
_BROKEN: Final = f"sum({rate('exchange_gateway_requests_total', route=_CALLS, status='=~5..')})"
_COMMAND: Final = "exchange_gateway_command_seconds_bucket"
_STAGES: Final = rate("exchange_order_stage_seconds_bucket")

_HEALTHY: Final = Row(
    "Is it healthy?",
    (
        stat(
            "Silent processes",
            "Processes that were there within a day and did not answer the last scrape. The bars below say which.",
            Unit.COUNT,
            f"sum(1 - {promql.up()})",
            width=3,
            limits=(1,),
        ),
        stat(
            "Parts that do not run",
            "Parts of processes that do not say that they are running; /health/ready of the process says why.",
            Unit.COUNT,
            f"sum(1 - {of('exchange_component_ready')})",
            width=3,
            limits=(1,),
        ),
        stat(
            "Broken invariants",
            "Processes that have found what must not be, such as a gap, and have stopped. Look at once.",
            Unit.COUNT,
            or_zero(f"sum({of('exchange_invariant_broken')})"),
            width=3,
            limits=(1,),
        ),
        stat(
            "Breaks of the hash chain",
            "Results of a matcher that do not follow from those before, in the time shown. Look at once.",
            Unit.COUNT,
            or_zero(f"sum({grown('exchange_chain_breaks_total')})"),
            width=3,
            limits=(1,),
            whole=True,
            leads_to="settlement-and-history",
        ),
        stat(
            "Answers with errors",
            "Share of answers with a status of 500 or above: the exchange's fault, not the caller's.",
            Unit.SHARE,
            share(_BROKEN, _REQUESTS),
            width=3,
            limits=(0.01, 0.05),
            leads_to="gateway",
        ),
        stat(
            "Orders taken",
            "Orders that were accepted, by all gateways.",
            Unit.PER_SECOND,
            f"sum({rate('exchange_gateway_commands_total', command='PlaceOrder', result='accepted')})",
            width=3,
            leads_to="gateway",
        ),
        stat(
            "Order latency, 99%",
            "From a gateway's sending an order until it knows the outcome: 99 of 100 are faster.",
            Unit.SECONDS,
            percentile(0.99, rate(_COMMAND, command="PlaceOrder")),
            width=3,
            limits=(0.25, 1),
            leads_to="gateway",
            traces=True,
        ),
        stat(
            "Symbols that do not trade",
            "Halted or otherwise closed; the dashboard of the matcher lists them.",
            Unit.COUNT,
            or_zero(
                f"count(max by ({promql.ONE_EXCHANGE}, symbol) ({of('exchange_symbol_info', status='!=Trading')}))"
            ),
            width=3,
            limits=(1,),
            leads_to="matcher",
        ),
        timeline(
            "Which processes answer",
            "Each process of the last day, as Prometheus reaches it. One that was replaced on purpose is gone.",
            Query(promql.up(), "{{job}} {{instance}}"),
            ("silent", "answers"),
        ),
    ),
)

_FAST: Final = Row(
    "How fast is it?",
    (
        graph(
            "Order latency",
            "From a gateway's sending an order until it knows the outcome.",
            Unit.SECONDS,
            *percentiles(rate(_COMMAND, command="PlaceOrder")),
            limits=(0.25, 1),
            leads_to="gateway",
            traces=True,
        ),
        graph(
            "Cancel latency",
            "From a gateway's sending a cancellation until it knows the outcome.",
            Unit.SECONDS,
            *percentiles(rate(_COMMAND, command="=~Cancel.*")),
            limits=(0.25, 1),
            leads_to="gateway",
            traces=True,
        ),
        graph(
            "Balance view latency",
            "From a request for balances until its answer, which ubscore's memory or the database gives.",
            Unit.SECONDS,
            *percentiles(rate("exchange_gateway_request_seconds_bucket", route="=~/api/balances.*")),
            limits=(0.25, 1),
            leads_to="gateway",
            traces=True,
        ),
        graph(
            "From event to answer, by stage",
            "From the gateway's stamp on a command until ubscore applied it (accepted), the matcher did (matched), "
            "ubscore settled what came of it (settled), and its rows are in the database (stored); 99 of 100 are "
            "faster. Stamps are whole milliseconds of the gateway's clock.",
            Unit.SECONDS,
            Query(percentile(0.99, promql.speaking(_STAGES), "stage"), "{{stage}}"),
            Query(percentile(0.99, rate("exchange_freshness_seconds_bucket"), "reader"), "stored by {{reader}}"),
            limits=(1, 5),
            leads_to="settlement-and-history",
            traces=True,
        ),
    ),
)

_MUCH: Final = Row(
    "How much happens?",
    (
        graph(
            "Commands",
            "What gateways were asked to do, with an outcome or without.",
            Unit.PER_SECOND,
            Query(sum_by("command", rate("exchange_gateway_commands_total")), "{{command}}"),
            width=8,
            stacked=True,
            leads_to="gateway",
        ),
        graph(
            "Trades",
            "Matches of two orders.",
            Unit.PER_SECOND,
            Query(sum_by("symbol", promql.speaking(rate("exchange_trades_total"))), "{{symbol}}"),
            width=8,
            stacked=True,
            leads_to="matcher",
        ),
        graph(
            "Processors in use",
            "Processor time of each kind of process. A shard of a core takes one processor core at most.",
            Unit.CORES,
            Query(sum_by("job", promql.process("process_cpu_seconds_total")), "{{job}}"),
            width=8,
            stacked=True,
        ),
    ),
)

_STUCK: Final = Row(
    "What is stuck?",
    (
        graph(
            "Frames behind on the log, by reader",
            "Kafka lag: frames on the log that a reader has not applied, all its partitions together. It comes and "
            "goes with load; one that only grows is stuck.",
            Unit.FRAMES,
            Query(sum_by("reader", promql.lag()), "{{reader}}"),
            width=8,
            limits=(1_000, 10_000),
            leads_to="broker-lag",
        ),
        graph(
            "Settlement backlog",
            "What settlement has not read yet, and what it has read and not written yet.",
            Unit.COUNT,
            Query(f"sum({promql.lag(reader='settlement')})", "frames to read"),
            Query(f"sum({promql.unwritten(reader='settlement')})", "records to write"),
            width=8,
            limits=(1_000, 10_000),
            leads_to="settlement-and-history",
        ),
        graph(
            "Commands that wait",
            "For an outcome (in flight), and for the log to have them (unwritten).",
            Unit.COUNT,
            Query(f"sum({of('exchange_gateway_commands_in_flight')})", "in flight"),
            Query(f"sum({of('exchange_gateway_commands_unwritten')})", "unwritten"),
            width=8,
            limits=(5_000, 10_000),
            leads_to="gateway",
        ),
    ),
)

_REFUSED: Final = Row(
    "Who is refused, and why?",
    (
        graph(
            "Refused by the exchange",
            "Commands that break a rule, by the rule's name.",
            Unit.PER_SECOND,
            Query(
                or_zero(sum_by("reject", rate("exchange_gateway_refused_total", reject="!=")), "reject"), "{{reject}}"
            ),
            width=8,
            stacked=True,
            leads_to="gateway",
        ),
        graph(
            "Other errors",
            "Errors before any rule is asked, by the API's code, such as -1002 (not allowed), -1003 (too many).",
            Unit.PER_SECOND,
            Query(or_zero(sum_by("code", rate("exchange_gateway_refused_total", reject="")), "code"), "{{code}}"),
            width=8,
            stacked=True,
            leads_to="gateway",
        ),
        graph(
            "Too many requests",
            "Refused for their rate (429): of a user, or of an address without credentials.",
            Unit.REQUESTS,
            Query(or_zero(sum_by("caller", rate("exchange_gateway_rate_limited_total")), "caller"), "{{caller}}"),
            width=8,
            stacked=True,
            limits=(10,),
            leads_to="gateway",
        ),
    ),
)

PAGE: Final = Page(
    "overview",
    "Exchange overview",
    "Is the exchange healthy, how fast, what is stuck, who is refused and why. Panels lead to the dashboard that knows "
    "more, by the arrow in their corner.",
    (_HEALTHY, _FAST, _MUCH, _STUCK, _REFUSED),
    promql.CHOSEN,
)
