"""Prometheus metrics of one exchange process, all named exchange_*. No user id or order id in a label.

Each instance has a registry of its own, so that a process (a test) may hold several exchanges. Most numbers exist
already where the work is done; they are watched: looked up when somebody scrapes, at no cost until then. What must be
counted is counted in plain numbers, by the event loop's thread alone, and made into text by the scrape.
"""

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from services.adapters.metrics.catalogue import BUILD_INFO, COMPONENT_READY, PREFIX, Family

Labels = tuple[str, ...]
"""The values of a metric's labels."""
Samples = Iterable[tuple[Labels, float]]
"""The labels and the number of each thing that has one."""


class Tally:
    """A counter: a number for each combination of labels that was seen."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[Labels, float] = {}

    def add(self, labels: Labels, number: float = 1) -> None:
        counts = self.counts
        counts[labels] = counts.get(labels, 0) + number

    def samples(self) -> Samples:
        return list(self.counts.items())


class Distribution:
    """A histogram: how many values came up to each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value that came so often."""
        self.counts[bisect_left(self._bounds, value)] += times
        self.total += value * times


class Distributions:
    """A histogram for each combination of labels that was asked for."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        assert bounds
        self.bounds = bounds
        self.all: dict[Labels, Distribution] = {}

    def of(self, *labels: str) -> Distribution:
        """The one with these labels; keep it where it is used often."""
        found = self.all.get(labels)
        if found is None:
            found = self.all[labels] = Distribution(self.bounds)
        return found


class Metrics:
    """The metrics of one process."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._shown = _Shown()
        self.registry.register(self._shown)
        ProcessCollector(registry=self.registry)
        self.watch(BUILD_INFO, lambda: 1, version=version, python=platform.python_version())

    def watch(self, family: Family, value: Callable[[], float], **labels: str) -> None:
        """Show what `value` returns at each scrape, with these labels."""
        assert tuple(labels) == family.labels, f"{family.name} has the labels {family.labels}"
        values = tuple(labels.values())
        self.watch_all(family, lambda: [(values, value())])

    def watch_all(self, family: Family, samples: Callable[[], Samples]) -> None:
        """As `watch`, of things that come and go: `samples` tells at each scrape which there are."""
        assert family.kind != "histogram"
        self._shown.samples.setdefault(family, []).append(samples)

    def watch_components(self, states: Callable[[], Iterable[tuple[str, bool]]]) -> None:
        """Show which parts of this process are running."""
        self.watch_all(COMPONENT_READY, lambda: [((name,), ready) for name, ready in states()])

    def tally(self, family: Family) -> Tally:
        """The counter of this name."""
        assert family.kind == "counter"
        tally = self._shown.tallies.get(family)
        if tally is None:
            tally = self._shown.tallies[family] = Tally()
            self.watch_all(family, tally.samples)
        return tally

    def distributions(self, family: Family) -> Distributions:
        """The histograms of this name."""
        return self._shown.distributions.setdefault(family, Distributions(family.buckets))

    def distribution(self, family: Family, *labels: str) -> Distribution:
        """The histogram with these labels."""
        assert len(labels) == len(family.labels), f"{family.name} has the labels {family.labels}"
        return self.distributions(family).of(*labels)


class _Shown(Collector):
    """What a scrape gets."""

    def __init__(self) -> None:
        self.samples: dict[Family, list[Callable[[], Samples]]] = {}
        self.tallies: dict[Family, Tally] = {}
        self.distributions: dict[Family, Distributions] = {}

    def collect(self) -> Iterator[Metric]:
        for family, sources in self.samples.items():
            make = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = make(PREFIX + family.name, family.documentation, labels=family.labels)
            for samples in sources:
                for labels, value in samples():
                    metric.add_metric(labels, value)
            yield metric
        for family, distributions in self.distributions.items():
            yield _histogram(family, distributions)


def _histogram(family: Family, distributions: Distributions) -> Metric:
    metric = HistogramMetricFamily(PREFIX + family.name, family.documentation, labels=family.labels)
    bounds = [*map(floatToGoString, distributions.bounds), "+Inf"]
    for labels, one in list(distributions.all.items()):
        metric.add_metric(labels, list(zip(bounds, accumulate(one.counts), strict=True)), one.total)
    return metric
