"""Metrics: what a scrape shows, each process for itself."""

import pytest
from prometheus_client import generate_latest

from services.adapters.metrics import catalogue
from services.adapters.metrics.catalogue import Family
from services.adapters.metrics.prometheus import Distribution, Metrics

GAUGE = Family("level", "gauge", "A level.", ("reader",), ())
COUNTER = Family("turns", "counter", "Turns.", ("reader",), ())
HISTOGRAM = Family("wait_seconds", "histogram", "A wait.", ("reader",), (), (0.1, 1.0))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"exchange_{name}", labels)


def test_metrics_of_two_instances_are_apart() -> None:
    first, second = Metrics("1.0"), Metrics("2.0")
    first.watch(GAUGE, lambda: 5.0, reader="a")
    assert (value(first, "level", reader="a"), value(second, "level", reader="a")) == (5, None)
    assert 'exchange_build_info{python="3.' in generate_latest(first.registry).decode()
    assert 'version="2.0"' in generate_latest(second.registry).decode()


def test_metrics_watched_value_is_looked_up_at_each_scrape() -> None:
    metrics, now = Metrics("1"), [3.0]
    metrics.watch(GAUGE, lambda: now[0], reader="settlement")
    metrics.watch(GAUGE, lambda: 7.0, reader="order_history")
    assert value(metrics, "level", reader="settlement") == 3
    now[0] = 4.0
    assert value(metrics, "level", reader="settlement") == 4
    assert value(metrics, "level", reader="order_history") == 7


def test_metrics_watched_counter_is_a_counter() -> None:
    metrics = Metrics("1")
    metrics.watch(COUNTER, lambda: 2.0, reader="a")
    assert b'exchange_turns_total{reader="a"} 2.0' in generate_latest(metrics.registry)


def test_metrics_with_other_labels_are_a_mistake_of_the_program() -> None:
    metrics = Metrics("1")
    with pytest.raises(AssertionError, match="level has the labels"):
        metrics.watch(GAUGE, lambda: 1.0, shard="a")
    with pytest.raises(AssertionError, match="wait_seconds has the labels"):
        metrics.distribution(HISTOGRAM, "a", "b")


def test_tally_adds_up_and_is_one_for_all_who_ask() -> None:
    metrics = Metrics("1")
    metrics.tally(COUNTER).add(("a",), 2)
    metrics.tally(COUNTER).add(("a",))
    metrics.tally(COUNTER).add(("b",))
    assert generate_latest(metrics.registry).count(b"exchange_turns_total{") == 2
    assert (value(metrics, "turns_total", reader="a"), value(metrics, "turns_total", reader="b")) == (3, 1)


def test_distribution_counts_a_value_at_a_bound_below_it() -> None:
    one = Distribution((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 1.5):
        one.observe(seconds)
    assert one.counts == [2, 1, 1]


def test_distribution_is_shown_cumulative_with_sum_and_count() -> None:
    metrics = Metrics("1")
    one = metrics.distribution(HISTOGRAM, "a")
    one.observe(0.5, 3)
    one.observe(2.0)
    shown = {le: value(metrics, "wait_seconds_bucket", reader="a", le=le) for le in ("0.1", "1.0", "+Inf")}
    assert shown == {"0.1": 0, "1.0": 3, "+Inf": 4}
    assert value(metrics, "wait_seconds_sum", reader="a") == 3.5
    assert value(metrics, "wait_seconds_count", reader="a") == 4


def test_components_are_shown_by_whether_they_run() -> None:
    metrics = Metrics("1")
    metrics.watch_components(lambda: [("settlement", False), ("matcher", True)])
    assert value(metrics, "component_ready", component="settlement") == 0
    assert value(metrics, "component_ready", component="matcher") == 1


def test_catalogue_names_are_unique_and_no_label_is_one_that_a_scrape_adds() -> None:
    names = [family.name for family in catalogue.CATALOGUE]
    assert len(set(names)) == len(names)
    added = {"service", "pod", "namespace", "job", "instance", "container", "endpoint"}
    for family in catalogue.CATALOGUE:
        assert not added & set(family.labels), family.name
        assert not {"user", "user_id", "order_id", "cid"} & set(family.labels), family.name
        assert bool(family.buckets) == (family.kind == "histogram"), family.name
        assert list(family.buckets) == sorted(set(family.buckets)), family.name
