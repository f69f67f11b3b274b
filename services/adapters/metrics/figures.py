"""Figures of an exchange, from what its processes say on /metrics at one or two moments. Pure.

For `exchange top`, which asks from outside, and for a gateway's own operations view.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Sample(NamedTuple):
    """One number of a metric."""

    labels: Mapping[str, str]
    value: float


Samples = Mapping[str, Sequence[Sample]]
"""By metric name."""


class Look(NamedTuple):
    """What one process said. at_s: on a monotonic clock. problem: why it is not ready; empty when it is."""

    url: str
    at_s: float
    problem: str
    samples: Samples


def parse(text: str, only: Collection[str] = ()) -> Samples:
    """The samples of Prometheus' text format. Raises ValueError when it is none.

    only: beginnings of the names that are wanted, when not all are; the rest of a long text then costs next to nothing.
    """
    if only:
        wanted = tuple(only)
        text = "".join([line for line in text.splitlines(keepends=True) if line.startswith(wanted)])
    found: defaultdict[str, list[Sample]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(Sample(sample.labels, sample.value))
    return found


class Figures:
    """All processes together, at two looks. since_start: latencies are those since the start, not since `before`."""

    def __init__(self, before: Sequence[Look], now: Sequence[Look], *, since_start: bool = False) -> None:
        self.since_start = since_start
        self.now = now
        self._before = {look.url: look for look in before}

    def all(self, name: str) -> Iterator[Sample]:
        """Every process's samples of a metric."""
        for look in self.now:
            yield from look.samples.get(name, ())

    def sum(self, name: str, **labels: str) -> float:
        """Of all samples with these labels."""
        return sum(sample.value for sample in self.all(name) if _has(sample, labels))

    def known(self, name: str) -> bool:
        """Whether any process shows this metric."""
        return next(self.all(name), None) is not None

    def rate(self, name: str, **labels: str) -> float | None:
        """How much a counter rises in a second; None when nobody was looked at twice, or nobody has it."""
        rates = [self._rate(look, name, labels) for look in self.now if name in look.samples]
        given = [rate for rate in rates if rate is not None]
        return sum(given) if given else None

    def _rate(self, look: Look, name: str, labels: Mapping[str, str]) -> float | None:
        before = self._before.get(look.url)
        if before is None or name not in before.samples or look.at_s <= before.at_s:
            return None
        # A process that was started again counts from nothing.
        return max(0.0, _sum(look, name, labels) - _sum(before, name, labels)) / (look.at_s - before.at_s)

    def quantile(self, name: str, part: float, **labels: str) -> float | None:
        """Of what a histogram has observed between the looks, or since the start; in its unit. None: nothing was."""
        return quantile(self._grown(name, labels), part)

    def _grown(self, name: str, labels: Mapping[str, str]) -> dict[float, float]:
        buckets: defaultdict[float, float] = defaultdict(float)
        for look in self.now:
            for sign, samples in ((1, look.samples), (-1, self._samples_before(look, f"{name}_count"))):
                for sample in samples.get(f"{name}_bucket", ()):
                    if _has(sample, labels):
                        buckets[float(sample.labels["le"])] += sign * sample.value
        return buckets

    def _samples_before(self, look: Look, count: str) -> Samples:
        """What is to be subtracted: nothing when the process has begun anew since."""
        before = self._before.get(look.url)
        again = self.since_start or before is None or _sum(before, count, {}) > _sum(look, count, {})
        return {} if before is None or again else before.samples


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """Of a histogram: cumulative counts by upper bound, the last one infinite; as Prometheus reckons it."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    lower = below = 0.0
    for upper in bounds:
        count = buckets[upper]
        if count >= part * total:
            return lower if math.isinf(upper) else lower + (upper - lower) * (part * total - below) / (count - below)
        lower, below = upper, count
    raise AssertionError("the last bucket holds everything")


def _sum(look: Look, name: str, labels: Mapping[str, str]) -> float:
    return sum(sample.value for sample in look.samples.get(name, ()) if _has(sample, labels))


def _has(sample: Sample, labels: Mapping[str, str]) -> bool:
    return all(sample.labels.get(name) == value for name, value in labels.items())
