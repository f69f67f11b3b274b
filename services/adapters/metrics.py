"""Prometheus metrics of one exchange process, all named exchange_*. No user id or order id in a label.

Each instance has a registry of its own, so that a process (a test) may hold several exchanges. Most numbers exist
already where the work is done; they are watched: looked up when somebody scrapes, at no cost until then.
"""

from collections import Counter as Counting
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.domain.core import Output
from services.domain.messages import (
    CommandRejected,
    Frame,
    OrderRejected,
    TradeSettled,
    TransferRejected,
)

PREFIX: Final = "exchange_"
FRAME_BUCKETS: Final = (1, 3, 10, 30, 100, 300, 1_000, 3_000)

Kind = Literal["gauge", "counter"]


Samples = Iterable[tuple[tuple[str, ...], float]]
"""The values of a metric's labels, and the number, of each thing that has one."""


class _Watched(NamedTuple):
    kind: Kind
    documentation: str
    label_names: tuple[str, ...]
    samples: list[Callable[[], Samples]]


class Metrics:
    """The metrics of one process."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._watched: dict[str, _Watched] = {}
        self.registry.register(_WatchCollector(self._watched))
        build = Gauge(f"{PREFIX}build_info", "Which program this is.", ["version"], registry=self.registry)
        build.labels(version).set(1)
        self._records = Counter(
            f"{PREFIX}records",
            "Records that a core has applied (direction in) or said (direction out), by type.",
            ["service", "shard", "direction", "type"],
            registry=self.registry,
        )
        self._frames = Histogram(
            f"{PREFIX}frame_records",
            "Records in one input frame of a core.",
            ["service", "shard"],
            buckets=FRAME_BUCKETS,
            registry=self.registry,
        )
        self._rejected = Counter(
            f"{PREFIX}rejected", "Commands that ubscore refused, by code.", ["code"], registry=self.registry
        )
        self._trades = Counter(f"{PREFIX}trades", "Trades settled by ubscore.", ["symbol"], registry=self.registry)
        self._volume = Counter(
            f"{PREFIX}traded_base_units",
            "Volume of settled trades, in smallest units of the base asset.",
            ["symbol"],
            registry=self.registry,
        )

    def watch(
        self, name: str, documentation: str, value: Callable[[], float], kind: Kind = "gauge", **labels: str
    ) -> None:
        """Show what `value` returns at each scrape as exchange_<name>{labels}.

        A name always has the same label names. kind: counter when it only ever rises.
        """
        values = tuple(labels.values())
        self.watch_all(name, documentation, tuple(labels), lambda: [(values, value())], kind)

    def watch_all(
        self,
        name: str,
        documentation: str,
        label_names: tuple[str, ...],
        samples: Callable[[], Samples],
        kind: Kind = "gauge",
    ) -> None:
        """As `watch`, of things that come and go: `samples` tells at each scrape which there are."""
        family = self._watched.setdefault(name, _Watched(kind, documentation, label_names, []))
        assert family.label_names == label_names, f"{name} has the labels {family.label_names}"
        family.samples.append(samples)

    def applied(self, service: str, shard: int) -> Callable[[Frame[Any], int, list[Output]], None]:
        """What to call for every frame that a core has applied (CoreShell.on_applied)."""
        labels = (service, str(shard))
        size = self._frames.labels(*labels)
        records = self._records

        def count(frame: Frame[Any], offset: int, outputs: list[Output]) -> None:
            size.observe(len(frame.records))
            for kind, number in Counting(map(type, frame.records)).items():
                records.labels(*labels, "in", kind.__name__).inc(number)
            for output in outputs:
                for kind, number in Counting(map(type, output.records)).items():
                    records.labels(*labels, "out", kind.__name__).inc(number)
                self._count_outcomes(output.records)

        return count

    def _count_outcomes(self, records: list[Any]) -> None:
        codes: Counting[str] = Counting()
        trades: Counting[str] = Counting()
        volume: Counting[str] = Counting()
        for record in records:
            if type(record) is TradeSettled:
                trades[record.symbol] += 1
                volume[record.symbol] += record.base_amount
            elif type(record) in (OrderRejected, CommandRejected, TransferRejected):
                codes[record.code.name] += 1
        for code, number in codes.items():
            self._rejected.labels(code).inc(number)
        for symbol, number in trades.items():
            self._trades.labels(symbol).inc(number)
            self._volume.labels(symbol).inc(volume[symbol])


class _WatchCollector(Collector):
    """Asks the watched values when a scrape comes."""

    def __init__(self, watched: dict[str, _Watched]) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        for name, family in self._watched.items():
            make = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = make(PREFIX + name, family.documentation, labels=family.label_names)
            for samples in family.samples:
                for labels, value in samples():
                    metric.add_metric(labels, value)
            yield metric
