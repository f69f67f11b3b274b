"""Whoever must speak with somebody may, by the NetworkPolicies, and nobody else."""

from typing import Any

import pytest
import yaml
from exchange_operator.names import Manifest
from exchange_operator.resource import Exchange

from tests.operator.manifest_examples import everything, example, of, templates

EXCHANGES = [pytest.param(example("production"), id="external"), pytest.param(everything(), id="managed")]
_ANYWHERE = "anywhere"
_ELSEWHERE = "elsewhere"
"""Some pod that is none of the exchange's, in whatever namespace."""
_PROCESSES = ("gateway", "ubscore", "ubscore-standby", "matcher", "matcher-standby", "settlement", "order-history")


class Rules:
    """The policies of an exchange, as a network plug-in reads them."""

    def __init__(self, exchange: Exchange) -> None:
        made = of(exchange)
        self._policies = [one["spec"] for (kind, _), one in made.items() if kind == "NetworkPolicy"]
        self.pods = {
            template["metadata"]["labels"]["app.kubernetes.io/component"]: template["metadata"]["labels"]
            for template in templates(exchange).values()
        }

    def isolated(self, component: str) -> bool:
        policies = self._of(component)
        return all(any(way in one["policyTypes"] for one in policies) for way in ("Ingress", "Egress"))

    def leaves(self, component: str, to: str, port: int, protocol: str = "TCP") -> bool:
        """Whether it may open a connection to those pods."""
        return self._allows(component, "egress", "to", to, port, protocol)

    def enters(self, component: str, of_: str, port: int) -> bool:
        """Whether it takes a connection from those pods."""
        return self._allows(component, "ingress", "from", of_, port, "TCP")

    def connects(self, one: str, other: str, port: int) -> bool:
        return self.leaves(one, other, port) and self.enters(other, one, port)

    def _of(self, component: str) -> list[Manifest]:
        return [one for one in self._policies if self._selects(one["podSelector"], self.pods[component])]

    def _allows(self, component: str, way: str, peers: str, other: str, port: int, protocol: str) -> bool:
        rules = [rule for one in self._of(component) for rule in one.get(way, [])]
        return any(self._rule_allows(rule, peers, other, port, protocol) for rule in rules)

    def _rule_allows(self, rule: Manifest, peers: str, other: str, port: int, protocol: str) -> bool:
        if "ports" in rule and {"protocol": protocol, "port": port} not in rule["ports"]:
            return False
        return peers not in rule or any(self._is(peer, other) for peer in rule[peers])

    def _is(self, peer: Manifest, other: str) -> bool:
        if "namespaceSelector" in peer:
            return peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": other}
        return other in self.pods and self._selects(peer["podSelector"], self.pods[other])

    @staticmethod
    def _selects(selector: Manifest, labels: dict[str, Any]) -> bool:
        expressions = selector.get("matchExpressions", [])
        assert all(one["operator"] == "In" for one in expressions)
        return selector["matchLabels"].items() <= labels.items() and all(
            labels.get(one["key"]) in one["values"] for one in expressions
        )


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_no_pod_is_left_open(exchange: Exchange) -> None:
    rules = Rules(exchange)
    assert len(rules.pods) >= 10
    for component in rules.pods:
        assert rules.isolated(component)
        assert rules.leaves(component, _ANYWHERE, 53, "UDP")
        assert rules.leaves(component, _ANYWHERE, 53)
        assert component == "backup" or not rules.leaves(component, _ANYWHERE, 443)
        assert not rules.enters(component, _ELSEWHERE, 3100)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_those_who_have_an_address_in_their_settings_may_speak_to_it(exchange: Exchange) -> None:
    rules, made = Rules(exchange), of(exchange)
    for template in templates(exchange).values():
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        if component in ("redpanda", "scylla"):
            continue
        name = template["spec"]["volumes"][0]["configMap"]["name"]
        settings = yaml.safe_load(made["ConfigMap", name]["data"]["exchange.yaml"])
        assert _speaks_to_brokers(rules, component, exchange) == ("broker" in settings)
        assert _speaks_to_database(rules, component, exchange) == ("database" in settings)
        for core in ("ubscore", "ubscore-standby", "matcher", "matcher-standby"):
            assert rules.connects(component, core, 3100) == ("addresses" in settings.get("matcher", {}))
        for member in ("settlement", "order-history"):
            assert rules.connects(component, member, 3100) == ("addresses" in settings.get("settlement", {}))
        # A backup may speak with everybody.
        assert rules.leaves(component, _ANYWHERE, 4318) == ("telemetry" in settings or component == "backup")


def _speaks_to_brokers(rules: Rules, component: str, exchange: Exchange) -> bool:
    if exchange.spec.redpanda.managed is not None:
        return rules.connects(component, "redpanda", 9092)
    return rules.leaves(component, _ANYWHERE, 9093)


def _speaks_to_database(rules: Rules, component: str, exchange: Exchange) -> bool:
    if exchange.spec.scylla.managed is not None:
        return rules.connects(component, "scylla", 9042)
    return rules.leaves(component, _ANYWHERE, 9142)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_metrics_are_read_from_one_namespace_only(exchange: Exchange) -> None:
    rules = Rules(exchange)
    for component in _PROCESSES:
        assert rules.enters(component, "monitoring", 3100)
        assert not rules.enters(component, "default", 3100)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_everybody_may_ask_the_gateway_and_nobody_else(exchange: Exchange) -> None:
    rules = Rules(exchange)
    assert [component for component in rules.pods if rules.enters(component, _ELSEWHERE, 3001)] == ["gateway"]


def test_managed_brokers_and_nodes_speak_among_themselves() -> None:
    rules = Rules(everything())
    assert rules.connects("redpanda", "redpanda", 33145)
    assert rules.connects("scylla", "scylla", 7000)
    assert not rules.enters("redpanda", "gateway", 33145)
    assert not rules.enters("scylla", "gateway", 7000)
    assert not rules.enters("redpanda", _ELSEWHERE, 9092)
    assert not rules.enters("scylla", _ELSEWHERE, 9042)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector", 80),
        ("https://collector/", 443),
        ("https://collector:8443/", 8443),
        ("collector:4317", 4317),
    ],
)
def test_traces_leave_by_the_port_of_their_endpoint_alone(endpoint: str, port: int) -> None:
    rules = Rules(example("minimal", observability={"otlpEndpoint": endpoint}))
    for component in ("gateway", "ubscore", "matcher", "settlement", "order-history"):
        assert [one for one in (80, 443, 4317, 8443) if rules.leaves(component, _ANYWHERE, one)] == [port]
    for component in ("topics", "schema", "redpanda", "scylla"):
        assert not rules.leaves(component, _ANYWHERE, port)


def test_traces_that_nobody_wants_leave_by_no_port() -> None:
    rules = Rules(example("minimal"))
    assert not any(rules.leaves("gateway", _ANYWHERE, port) for port in (80, 443, 4317, 4318))


def test_without_policies_there_are_none() -> None:
    assert not [kind for kind, _ in of(example("minimal", networkPolicy={"enabled": False})) if kind == "NetworkPolicy"]
