"""Operator: are the exchanges as their owners want them, does the operator get on, what did it repair."""

from typing import Final

from exchange_dashboards.model import Page, Query, Row, Unit, Variable, graph, heatmap, stat, table, timeline
from exchange_dashboards.promql import percentile

_PREFIX: Final = "exchange_operator"
_CONDITION: Final = f"{_PREFIX}_exchange_condition"
_VARIABLES: Final = (
    Variable("operator", "Operator", "job", f"{_PREFIX}_build_info"),
    Variable("namespace", "Namespace", "namespace", _CONDITION),
    Variable("exchange", "Exchange", "name", _CONDITION),
)

# Of the operator's metrics, only this one has an exchange's namespace; the others have the operator's.
_OF_EXCHANGE: Final = 'job=~"$operator", namespace=~"$namespace", name=~"$exchange"'


def _of(metric: str) -> str:
    return f'{_PREFIX}_{metric}{{job=~"$operator"}}'


def _rate(metric: str) -> str:
    return f"rate({_of(metric)}[$__rate_interval])"


def _condition(kind: str, labels: str = "namespace, name") -> str:
    """1 where a condition is True. Of several operators, one knows."""
    return f'max by ({labels}) ({_CONDITION}{{{_OF_EXCHANGE}, type="{kind}"}})'


_HEALTHY: Final = Row(
    "Are the exchanges well, and does anybody look after them?",
    (
        stat(
            "Exchanges that are not ready",
            "Something that their users need is missing; the bars below say which exchange.",
            Unit.COUNT,
            f"count({_condition('Ready')} == 0) or vector(0)",
            limits=(1,),
        ),
        stat(
            "Exchanges that are degraded",
            "They will not get well by themselves, such as after an upgrade that has stopped.",
            Unit.COUNT,
            f"count({_condition('Degraded')} == 1) or vector(0)",
            limits=(1,),
        ),
        stat(
            "Operators that answer",
            "Replicas that Prometheus reaches; all but one wait.",
            Unit.COUNT,
            'sum(up{job=~"$operator"} and on (job, instance) exchange_operator_build_info) or vector(0)',
            limits=(1,),
            low_is_bad=True,
        ),
        stat(
            "Since a pass succeeded",
            "Each exchange is looked at once a minute.",
            Unit.SECONDS,
            f"time() - max({_of('last_success_timestamp_seconds')})",
            limits=(180, 600),
        ),
        stat(
            "Passes that failed, in the time shown",
            "They are repeated.",
            Unit.COUNT,
            f"sum(increase({_of('reconcile_errors_total')}[$__range]))",
            limits=(1, 10),
            whole=True,
        ),
        stat(
            "Watch is behind by",
            "For how long a change has been read that no watch of Kubernetes has told of.",
            Unit.SECONDS,
            f"max({_of('watch_lag_seconds')})",
            limits=(60, 300),
        ),
        timeline(
            "Ready",
            "Whether each exchange serves its users.",
            Query(_condition("Ready"), "{{namespace}}/{{name}}"),
            ("not ready", "ready"),
            width=12,
        ),
        timeline(
            "Not degraded",
            "Whether each exchange is, or will be by itself, as its owner wants it.",
            Query(f"1 - {_condition('Degraded')}", "{{namespace}}/{{name}}"),
            ("degraded", "well"),
            width=12,
        ),
    ),
)

_PASSES: Final = Row(
    "Does the operator get on?",
    (
        graph(
            "Passes, by result",
            "Each pass compares an exchange with what its owner wants, and does what is missing.",
            Unit.PER_SECOND,
            Query(f"sum by (result) ({_rate('reconcile_total')})", "{{result}}"),
            width=8,
            stacked=True,
        ),
        graph(
            "How long a pass takes",
            "A pass that has to wait ends and comes again: minutes are a cluster that is slow to answer.",
            Unit.SECONDS,
            *(
                Query(
                    percentile(level, _rate("reconcile_duration_seconds_bucket")),
                    f"{level:.0%} are faster",
                )
                for level in (0.5, 0.95, 0.99)
            ),
            width=8,
            limits=(10, 30),
        ),
        graph(
            "Watch behind",
            "For how long a change has been read that no watch of Kubernetes has told of.",
            Unit.SECONDS,
            Query(f"max by (instance) ({_of('watch_lag_seconds')})", "{{instance}}"),
            width=8,
            limits=(60, 300),
        ),
        heatmap(
            "All passes by their duration",
            "How many took how long.",
            f"sum by (le) ({_rate('reconcile_duration_seconds_bucket')})",
            width=12,
        ),
        graph(
            "Passes that failed",
            "They are repeated; the operator's log and the exchange's events say why.",
            Unit.PER_SECOND,
            Query(f"sum by (instance) ({_rate('reconcile_errors_total')})", "{{instance}}"),
            width=12,
            stacked=True,
            limits=(0.01, 0.1),
        ),
    ),
)

_REPAIRED: Final = Row(
    "What did it repair, and what does each exchange say?",
    (
        graph(
            "Objects set right",
            "Somebody else changed or deleted them. By kind.",
            Unit.PER_SECOND,
            Query(
                f"sum by (kind) ({_rate('drift_corrections_total')}) "
                'or on () label_replace(vector(0), "kind", "none", "", "")',
                "{{kind}}",
            ),
            width=8,
            stacked=True,
            limits=(1,),
        ),
        table(
            "Conditions now",
            "1 is true. `kubectl describe exch` says why.",
            Unit.COUNT,
            f"max by (namespace, name, type) ({_CONDITION}{{{_OF_EXCHANGE}}})",
            width=8,
        ),
        table(
            "Which operators run",
            "Each replica and its version.",
            Unit.COUNT,
            f"max by (job, instance, version) ({_of('build_info')})",
            width=8,
        ),
    ),
)

PAGE: Final = Page(
    "operator",
    "Exchange operator",
    "Are the exchanges as their owners want them, does the operator get on, what did it repair.",
    (_HEALTHY, _PASSES, _REPAIRED),
    _VARIABLES,
)
