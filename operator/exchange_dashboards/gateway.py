"""Gateway: who asks for what, how fast it is answered, what waits, who is refused and why."""

from typing import Final

from exchange_dashboards import promql
from exchange_dashboards.model import Page, Query, Row, Unit, graph, heatmap, stat, table
from exchange_dashboards.promql import grown, of, or_zero, percentile, percentiles, rate, share, sum_by

# Not those who ask whether it is well: "not ready" is an answer.
_CALLS: Final = "!~/health.*|/metrics"
_REQUESTS: Final = rate("exchange_gateway_requests_total")
_REQUEST: Final = "exchange_gateway_request_seconds_bucket"
_COMMAND: Final = "exchange_gateway_command_seconds_bucket"
_REFUSED: Final = "exchange_gateway_refused_total"

_HEALTHY: Final = Row(
    "Is it healthy, and who asks for what?",
    (
        stat(
            "Gateways",
            "Gateways that answer Prometheus.",
            Unit.COUNT,
            or_zero(f"count({of('exchange_gateway_commands_in_flight')})"),
            limits=(1,),
            low_is_bad=True,
        ),
        stat("Requests a second", "Answered, whatever the answer.", Unit.REQUESTS, f"sum({_REQUESTS})"),
        stat(
            "Answers that are errors",
            "Share of answers with a status of 500 or above.",
            Unit.SHARE,
            share(
                f"sum({rate('exchange_gateway_requests_total', route=_CALLS, status='=~5..')})",
                f"sum({rate('exchange_gateway_requests_total', route=_CALLS)})",
            ),
            limits=(0.01, 0.05),
            traces=True,
        ),
        stat(
            "Commands without outcome",
            "Share of commands whose outcome the gateway did not learn in time (504). Whether they happened, "
            "the caller finds by asking with the same id.",
            Unit.SHARE,
            share(
                f"sum({rate('exchange_gateway_commands_total', result='failed')})",
                f"sum({rate('exchange_gateway_commands_total')})",
            ),
            limits=(0.001, 0.01),
            traces=True,
        ),
        stat(
            "Commands in flight",
            "Commands that wait for an outcome. From 10,000 a gateway on (gateway.maxInFlight), more are refused.",
            Unit.COUNT,
            f"sum({of('exchange_gateway_commands_in_flight')})",
            limits=(5_000, 10_000),
        ),
        stat(
            "Frames behind",
            "Frames with outcomes on the log that the slowest gateway has not read: its callers wait for them.",
            Unit.FRAMES,
            f"sum({promql.lag(reader='gateway')})",
            limits=(100, 1_000),
            leads_to="broker-lag",
        ),
        graph(
            "Requests by route",
            "What callers ask for.",
            Unit.REQUESTS,
            Query(sum_by("method, route", _REQUESTS), "{{method}} {{route}}"),
            stacked=True,
        ),
        graph(
            "Answers by status",
            "2xx done, 4xx refused, 429 too many requests, 5xx the exchange's fault.",
            Unit.REQUESTS,
            Query(sum_by("status", _REQUESTS), "{{status}}"),
            stacked=True,
        ),
    ),
)

_FAST: Final = Row(
    "How fast does it answer?",
    (
        graph(
            "Order latency",
            "From sending an order until its outcome is known.",
            Unit.SECONDS,
            *percentiles(rate(_COMMAND, command="PlaceOrder")),
            width=8,
            limits=(0.25, 1),
            traces=True,
        ),
        graph(
            "Cancel latency",
            "From sending a cancellation until its outcome is known.",
            Unit.SECONDS,
            *percentiles(rate(_COMMAND, command="=~Cancel.*")),
            width=8,
            limits=(0.25, 1),
            traces=True,
        ),
        graph(
            "Balance view latency",
            "From a request for balances until its answer.",
            Unit.SECONDS,
            *percentiles(rate(_REQUEST, route="=~/api/balances.*")),
            width=8,
            limits=(0.25, 1),
            traces=True,
        ),
        heatmap(
            "All orders by their latency",
            "How many orders were answered within how long. Two bands are two kinds of orders: look at their traces.",
            sum_by("le", rate(_COMMAND, command="PlaceOrder")),
            traces=True,
        ),
        graph(
            "Latency by route",
            "99 of 100 requests are answered faster.",
            Unit.SECONDS,
            Query(percentile(0.99, rate(_REQUEST), "method", "route"), "{{method}} {{route}}"),
            limits=(1, 5),
            traces=True,
        ),
    ),
)

_WAITS: Final = Row(
    "What waits?",
    (
        graph(
            "Commands that wait",
            "For an outcome (in flight), and for the log to have them (unwritten), by gateway.",
            Unit.COUNT,
            Query(sum_by("instance", of("exchange_gateway_commands_in_flight")), "in flight {{instance}}"),
            Query(sum_by("instance", of("exchange_gateway_commands_unwritten")), "unwritten {{instance}}"),
            width=8,
            limits=(5_000, 10_000),
        ),
        graph(
            "Until a frame is durable",
            "Commands travel in frames. Slow frames are a slow broker.",
            Unit.SECONDS,
            *percentiles(rate("exchange_gateway_append_seconds_bucket")),
            width=8,
            limits=(0.1, 0.5),
            leads_to="broker-lag",
        ),
        graph(
            "Commands in a frame",
            "Many under load, one when little happens.",
            Unit.RECORDS,
            *percentiles(rate("exchange_gateway_frame_records_bucket"), (0.99,)),
            Query(
                f"sum({rate('exchange_gateway_frame_records_sum')})"
                f" / sum({rate('exchange_gateway_frame_records_count')})",
                "mean",
            ),
            width=8,
        ),
    ),
)

_REFUSALS: Final = Row(
    "Who is refused, and why?",
    (
        graph(
            "Outcomes of commands",
            "accepted; rejected by a rule; repeated: answered as the first time; failed: no outcome in time.",
            Unit.PER_SECOND,
            Query(sum_by("result", rate("exchange_gateway_commands_total")), "{{result}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "Refused by the exchange",
            "Commands that break a rule, by the rule's name.",
            Unit.PER_SECOND,
            Query(or_zero(sum_by("reject", rate(_REFUSED, reject="!=")), "reject"), "{{reject}}"),
            width=8,
            stacked=True,
            leads_to="ubscore",
        ),
        graph(
            "Too many requests",
            "Refused for their rate (429): of a user, or of an address without credentials.",
            Unit.REQUESTS,
            Query(or_zero(sum_by("caller", rate("exchange_gateway_rate_limited_total")), "caller"), "{{caller}}"),
            width=8,
            stacked=True,
            limits=(10,),
        ),
        table(
            "Answers that were errors, in the time shown",
            "By the API's code and, when the exchange itself refused, by the rule's name.",
            Unit.COUNT,
            or_zero(sum_by("code, reject", grown(_REFUSED)), "code", "reject"),
            whole=True,
            value="times",
        ),
        table(
            "Commands and their outcomes, in the time shown",
            "By kind and result.",
            Unit.COUNT,
            sum_by("command, result", grown("exchange_gateway_commands_total")),
            whole=True,
            value="times",
        ),
    ),
)

_OTHERS: Final = Row(
    "Whom does it wait for?",
    (
        graph(
            "Reads of the store",
            "99 of 100 of these calls are faster: history, trades, keys.",
            Unit.SECONDS,
            Query(percentile(0.99, rate("exchange_store_call_seconds_bucket", call="!~write_.*"), "call"), "{{call}}"),
            limits=(0.25, 1),
            leads_to="settlement-and-history",
        ),
        graph(
            "Calls of the store that fail",
            "By call and error.",
            Unit.PER_SECOND,
            Query(
                or_zero(sum_by("call, error", rate("exchange_store_errors_total")), "call", "error"),
                "{{call}} {{error}}",
            ),
            stacked=True,
            limits=(0.1,),
        ),
        graph(
            "Reads of the cores",
            "99 of 100 reads of ubscore's and the matcher's memory, such as of balances, are faster.",
            Unit.SECONDS,
            Query(percentile(0.99, rate("exchange_core_read_seconds_bucket"), "source", "read"), "{{source}} {{read}}"),
            limits=(0.1, 0.5),
            distributed=True,
        ),
        graph(
            "Reads of the cores that fail",
            "No instance of that core answered.",
            Unit.PER_SECOND,
            Query(
                or_zero(sum_by("source, read", rate("exchange_core_read_errors_total")), "source", "read"),
                "{{source}} {{read}}",
            ),
            stacked=True,
            limits=(0.1,),
        ),
    ),
)

PAGE: Final = Page(
    "gateway",
    "Exchange: gateway",
    "Who asks for what, how fast it is answered, what waits, and who is refused and why.",
    (_HEALTHY, _FAST, _WAITS, _REFUSALS, _OTHERS),
    promql.CHOSEN,
)
