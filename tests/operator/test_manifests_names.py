"""Names that are made up, quantities as the API server writes them, and intervals as cron does."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from exchange_operator.manifests.backup import schedule
from exchange_operator.manifests.quantities import amount, canonical, resources
from exchange_operator.names import APPLIED, keyspace, stamped
from exchange_operator.resource import Amounts, Resources
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.manifest_examples import exchange_of, of, smallest


def _names() -> Iterator[tuple[str, str]]:
    yield from [("a-b", "c"), ("a", "b-c"), ("1a", "b"), ("x1a", "b"), ("system", "auth"), ("a" * 63, "b" * 32)]
    yield from [("a" * 63, "b" * 31), ("team", "demo"), ("team-1", "demo"), ("team", "1-demo")]


def test_keyspaces_that_are_made_up_differ_and_are_legal() -> None:
    found = {keyspace(exchange_of(smallest(), name, namespace)) for namespace, name in _names()}
    assert len(found) == len(list(_names()))
    assert all(re.fullmatch("[a-z][a-z0-9_]{0,47}", one) for one in found)
    assert not any(re.fullmatch("system(_[a-z]+)?", one) for one in found)


def test_keyspace_and_topics_of_a_plain_name_are_readable() -> None:
    exchange = exchange_of(smallest(), "demo", "team")
    assert keyspace(exchange) == "team_demo"
    assert "topicPrefix: team.demo." in next(
        one["data"]["exchange.yaml"] for one in of(exchange).values() if "topics-config" in one["metadata"]["name"]
    )


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1", "1"),
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.50", "1500m"),
        ("2500m", "2500m"),
        ("0", "0"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("1000Mi", "1000Mi"),
        ("2048Gi", "2Ti"),
        ("1000M", "1G"),
        ("1000000", "1M"),
        ("1024", "1024"),
        ("0.1Gi", "107374182400m"),
        ("0.5Ki", "512"),
        ("0.5m", "1m"),
    ],
)
def test_quantities_are_written_as_the_api_server_writes_them(written: str, wanted: str) -> None:
    assert canonical(written) == wanted


@given(st.from_regex(r"[0-9]{1,6}(m|(\.[0-9]{1,3})?(k|Ki|M|Mi|G|Gi|T|Ti)?)", fullmatch=True))
def test_canonical_keeps_the_amount_and_is_its_own_canon(written: str) -> None:
    once = canonical(written)
    assert amount(once) == amount(written)
    assert canonical(once) == once


@pytest.mark.parametrize("written", ["", "1 Gi", "-1", "1Zi", "1.", "e3"])
def test_amount_of_no_quantity_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        amount(written)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (Resources(), {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}),
        (
            Resources(requests=Amounts(memory="3Gi")),
            {"requests": {"cpu": "250m", "memory": "3Gi"}, "limits": {"memory": "6Gi"}},
        ),
        (
            Resources(limits=Amounts(cpu="0.1", memory="128Mi")),
            {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "100m", "memory": "128Mi"}},
        ),
        (
            Resources(requests=Amounts(cpu="1000m"), limits=Amounts(memory="2048Mi")),
            {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        ),
    ],
)
def test_resources_never_ask_for_more_than_the_limit(asked: Resources, wanted: dict[str, Any]) -> None:
    assert resources(asked, cpu="250m", memory="256Mi") == wanted


@pytest.mark.parametrize("interval", ["15m", "30m", "1h", "2h", "3h", "4h", "6h", "8h", "12h", "24h"])
def test_schedule_makes_as_many_backups_a_day_as_the_interval_says(interval: str) -> None:
    minute, hour, *rest = schedule(interval).split()
    assert rest == ["*", "*", "*"]
    minutes = {"15m": 15, "30m": 30}.get(interval) or 60 * int(interval.removesuffix("h"))
    assert _times(minute, 60) * _times(hour, 24) == 24 * 60 // minutes


def _times(field: str, most: int) -> int:
    """How often a field of cron comes true."""
    if field == "*":
        return most
    return most // int(field.removeprefix("*/")) if field.startswith("*/") else 1


def test_stamped_changes_with_anything_but_the_stamp() -> None:
    built = {"kind": "Service", "metadata": {"name": "a", "annotations": {"b": "c"}}, "spec": {"x": 1, "y": 2}}
    reordered = {"spec": {"y": 2, "x": 1}, "metadata": {"annotations": {"b": "c"}, "name": "a"}, "kind": "Service"}
    stamp = stamped(built)["metadata"]["annotations"]
    assert stamp == {"b": "c", APPLIED: stamped(reordered)["metadata"]["annotations"][APPLIED]}
    assert stamped(built | {"spec": {"x": 1}})["metadata"]["annotations"][APPLIED] != stamp[APPLIED]
    assert APPLIED not in built["metadata"]["annotations"]
