"""The words that queries are made of. All of them keep to the exchanges that are chosen at the top of a dashboard."""

from collections.abc import Iterable
from typing import Final

from exchange_dashboards.model import Query, Variable

NAMESPACE: Final = Variable("namespace", "Namespace", "namespace", "exchange_build_info")
EXCHANGE: Final = Variable("exchange", "Exchange", "app_kubernetes_io_instance", "exchange_build_info")
CHOSEN: Final = (NAMESPACE, EXCHANGE)

# "All" is .* there, which also takes series without the label, as the local form's are.
_WHOSE: Final = 'namespace=~"$namespace", app_kubernetes_io_instance=~"$exchange"'
ONE_EXCHANGE: Final = "namespace, app_kubernetes_io_instance"
_PROCESS: Final = "namespace, job, instance"
_PARTITION: Final = f"{ONE_EXCHANGE}, reader, topic, partition"

PERCENTILES: Final = (0.5, 0.95, 0.99)


def of(metric: str, **labels: str) -> str:
    """The series of a metric with these labels. A value may begin with an operator, as "=~5.." does."""
    return f"{metric}{{{', '.join((_WHOSE, *(_matcher(label, value) for label, value in labels.items())))}}}"


def _matcher(label: str, value: str) -> str:
    operator = next((one for one in ("=~", "!~", "!=") if value.startswith(one)), "")
    return f'{label}{operator or "="}"{value.removeprefix(operator)}"'


def rate(metric: str, **labels: str) -> str:
    """How fast a counter grows, a second."""
    return f"rate({of(metric, **labels)}[$__rate_interval])"


def grown(metric: str, **labels: str) -> str:
    """By how much a counter has grown in the time that is looked at."""
    return f"increase({of(metric, **labels)}[$__range])"


def sum_by(labels: str, expr: str) -> str:
    """One series for each value of the labels."""
    return f"sum by ({labels}) ({expr})"


def speaking(expr: str) -> str:
    """Without standbys, which do, and count, all that the active core does."""
    active = of("exchange_core_active")
    return f"({expr} and on (namespace, instance) ({active} == 1))"


def or_zero(expr: str, *labels: str) -> str:
    """0 when nothing has happened yet, said to be of "none"."""
    zero = "vector(0)"
    for label in labels:
        zero = f'label_replace({zero}, "{label}", "none", "", "")'
    return f"({expr} or on () {zero})"


def share(part: str, whole: str) -> str:
    """Of two sums; 0 when the part has no series."""
    return f"{or_zero(part)} / {whole}"


def percentile(level: float, rates: str, *labels: str) -> str:
    """rates: of the buckets of a histogram. level: 0 to 1."""
    return f"histogram_quantile({level:g}, {sum_by(', '.join(('le', *labels)), rates)})"


def percentiles(rates: str, levels: Iterable[float] = PERCENTILES) -> tuple[Query, ...]:
    """A line for each level."""
    return tuple(Query(percentile(level, rates), f"{level:.0%} are faster") for level in levels)


def lag(**labels: str) -> str:
    """Frames that a reader has not applied. Of several processes of one reader, the slowest counts."""
    return f"max by ({_PARTITION}) ({of('exchange_lag_frames', **labels)})"


def unwritten(**labels: str) -> str:
    """Records that a projection has read and whose effects are not in the store."""
    return of("exchange_projection_unwritten_records", **labels)


def up() -> str:
    """1 for each process that answered the last scrape, 0 for one that did not and was there within a day."""
    known = f"count_over_time({of('exchange_build_info')}[1d])"
    return f"(max by ({_PROCESS}) ({of('up')}) and on ({_PROCESS}) {known})"


def process(metric: str) -> str:
    """What prometheus-client tells of the exchange's processes; a counter's as its rate."""
    found = rate(metric) if metric.endswith("_total") else of(metric)
    return f"({found} and on ({_PROCESS}) {of('exchange_build_info')})"
