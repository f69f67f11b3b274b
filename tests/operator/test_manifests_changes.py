"""Whom a change of the resource is about: the pods of all others stay as they are."""

from typing import Any

import pytest
from exchange_operator.manifests import Capabilities, desired
from exchange_operator.names import Manifest

from tests.operator.manifest_examples import ALL, exchange_of, merged, smallest, templates

_PROJECTIONS = {"settlement", "order-history"}
_CORES = {"ubscore", "matcher"}
_SERVICES = _CORES | _PROJECTIONS | {"gateway"}
_RUN = _SERVICES | {"topics", "schema", "backup"}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ({"assets": [{"name": "ETH", "scale": 8}]}, set()),
        ({"deletionPolicy": "Delete"}, set()),
        ({"paused": True}, set()),
        ({"networkPolicy": {"enabled": False}}, set()),
        ({"observability": {"serviceMonitor": False}}, set()),
        ({"gateway": {"replicas": 7}}, set()),
        ({"gateway": {"autoscaling": {}}}, set()),
        ({"gateway": {"ingress": {"host": "a.example.com"}}}, set()),
        ({"settlement": {"replicas": 3}}, {"gateway"}),
        ({"ubscore": {"storage": "99Gi"}}, set()),
        ({"redpanda": {"managed": {"storage": "99Gi"}}}, set()),
        ({"backup": {"suspend": True}}, set()),
        ({"backup": {"keep": 3}}, {"backup"}),
        ({"backup": {"interval": "6h"}}, {"backup", "topics"}),
        ({"gateway": {"rateLimits": {"caller": {"perSecond": 1, "burst": 1}}}}, {"gateway"}),
        ({"gateway": {"resources": {"limits": {"memory": "1Gi"}}}}, {"gateway"}),
        ({"ubscore": {"snapshotInterval": "10s"}}, _CORES | {"topics", "backup"}),
        ({"ubscore": {"standby": True}}, {"ubscore-standby", "gateway", "backup"}),
        ({"ubscore": {"resources": {"requests": {"cpu": "2"}}}}, {"ubscore"}),
        ({"redpanda": {"retention": "forever"}}, {"topics", "backup"}),
        ({"observability": {"logLevel": "debug"}}, _SERVICES),
        ({"image": {"tag": "2"}}, _RUN),
        ({"scheduling": {"nodeSelector": {"pool": "trading"}}}, _RUN | {"redpanda", "scylla"}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_change_rolls_those_whom_it_is_about(change: dict[str, Any], concerned: set[str]) -> None:
    def pods(spec: dict[str, Any]) -> dict[str, Manifest]:
        found = templates(exchange_of(spec)).values()
        return {template["metadata"]["labels"]["app.kubernetes.io/component"]: template for template in found}

    before, after = pods(smallest()), pods(merged(smallest(), change))
    assert {name for name in after if after[name] != before.get(name)} == concerned


def test_another_generation_of_the_same_changes_nothing() -> None:
    one, other = exchange_of(smallest(), generation=1), exchange_of(smallest(), generation=2, annotations={"a": "b"})
    assert desired(one, ALL) == desired(other, ALL)


def test_the_templates_name_neither_the_exchange_s_identity_nor_the_cluster_s_abilities() -> None:
    one, other = exchange_of(smallest()), exchange_of(smallest(), uid="another")
    assert templates(one) == templates(other)
    assert list(desired(one, ALL).stages) == list(desired(one, Capabilities()).stages)
