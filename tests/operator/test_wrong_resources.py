"""Wrong resources, each refused by `kubectl apply` with the field that is wrong and what to do about it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import pytest

from tests.cluster.api_server import ApiServer
from tests.operator.examples import GONE, changed, example
from tests.operator.exchanges import know_exchanges, new_namespace

MINIMAL: Final = example("minimal")
PRODUCTION: Final = example("production")
TWO_SHARDS: Final = example("two-shards")


class Wrong(NamedTuple):
    """change: to a good resource. says: the field's path, and words of the sentence that help."""

    what: str
    change: Mapping[str, Any]
    says: tuple[str, ...]


NEW: Final = [
    Wrong(
        "broker of two kinds",
        {"spec.redpanda.external": {"bootstrapServers": ["redpanda:9092"]}},
        ("spec.redpanda:", "exactly one of external", "managed", "take out the other"),
    ),
    Wrong(
        "broker of no kind",
        {"spec.redpanda": {"retention": "7d"}},
        ("spec.redpanda:", "exactly one of external", "managed", "add the one"),
    ),
    Wrong(
        "database of no kind",
        {"spec.scylla": {}},
        ("spec.scylla:", "exactly one of external", "managed", "add the one"),
    ),
    Wrong(
        "database of two kinds",
        {"spec.scylla.external": {"contactPoints": ["scylla"]}},
        ("spec.scylla:", "exactly one of external", "managed", "take out the other"),
    ),
    Wrong("no image", {"spec.image.tag": GONE}, ("spec.image.tag: Required value",)),
    Wrong("unknown field", {"spec.gatway": {"replicas": 1}}, ('unknown field "spec.gatway"',)),
    Wrong("no gateway", {"spec.gateway.replicas": 0}, ("spec.gateway.replicas", "greater than or equal to 1")),
    Wrong("too many shards", {"spec.ubscore.shards": 65}, ("spec.ubscore.shards", "less than or equal to 64")),
    Wrong("no assets", {"spec.assets": []}, ("spec.assets", "at least 1 item")),
    Wrong(
        "lower case asset",
        {"spec.assets.3": {"name": "doge", "scale": 8}},
        ("spec.assets[3].name", "must be 1 to 16 of A-Z and 0-9, such as BTC"),
    ),
    Wrong("scale", {"spec.assets.0.scale": 13}, ("spec.assets[0].scale", "less than or equal to 12")),
    Wrong(
        "same asset twice",
        {"spec.assets.3": {"name": "BTC", "scale": 6}},
        ("spec.assets[3]: Duplicate value", '"name":"BTC"'),
    ),
    Wrong(
        "same symbol twice",
        {"spec.symbols.2": MINIMAL["spec"]["symbols"][0]},
        ("spec.symbols[2]: Duplicate value", '"name":"BTC_USDT"'),
    ),
    Wrong(
        "base that is no asset",
        {"spec.symbols.1.name": "XRP_USDT", "spec.symbols.1.base": "XRP"},
        ("spec.symbols:", "XRP_USDT: base must be one of spec.assets", "declare it there"),
    ),
    Wrong(
        "quote that is no asset",
        {"spec.symbols.0.name": "BTC_EUR", "spec.symbols.0.quote": "EUR"},
        ("spec.symbols:", "BTC_EUR: quote must be one of spec.assets", "declare it there"),
    ),
    Wrong(
        "name that is not of its assets",
        {"spec.symbols.0.name": "BTC_ETH"},
        ("spec.symbols[0].name", "must be BASE_QUOTE of its base and quote"),
    ),
    Wrong(
        "name with a stroke",
        {"spec.symbols.0.name": "BTC-USDT"},
        ("spec.symbols[0].name", "with a '_' between them, such as BTC_USDT"),
    ),
    Wrong(
        "asset for itself",
        {"spec.symbols.0.name": "BTC_BTC", "spec.symbols.0.quote": "BTC"},
        ("spec.symbols[0].quote", "must be another asset than base"),
    ),
    Wrong(
        "shard that is not there",
        {"spec.symbols.1.matcherShard": 1},
        ("spec.symbols:", "ETH_USDT: matcherShard must be below spec.matcher.shards", "count from 0"),
    ),
    Wrong("number without quotes", {"spec.symbols.0.tickSize": 0.01}, ("spec.symbols[0].tickSize", "type string")),
    Wrong(
        "number with an exponent",
        {"spec.symbols.0.lotSize": "1e-5"},
        ("spec.symbols[0].lotSize", 'plain decimal number in quotes, such as "0.01"'),
    ),
    Wrong("tick of nothing", {"spec.symbols.0.tickSize": "0.00"}, ("spec.symbols[0].tickSize", "must be above 0")),
    Wrong(
        "lot that is no whole number of units",
        {"spec.symbols.0.lotSize": "0.000000001"},
        ("spec.symbols:", "BTC_USDT: lotSize must have no more decimals than the scale", "take a larger lotSize"),
    ),
    Wrong(
        "minimum that is no whole number of units",
        {"spec.symbols.1.minNotional": "5.000000001"},
        ("spec.symbols:", "ETH_USDT: minNotional must have no more decimals", "take a larger minNotional"),
    ),
    Wrong(
        "steps that are too small",
        {"spec.symbols.1.tickSize": "0.00001"},
        ("spec.symbols:", "ETH_USDT: tickSize × lotSize must be a whole number", "take a larger tickSize or lotSize"),
    ),
    Wrong(
        "fee above a tenth",
        {"spec.symbols.0.takerFee": "0.5"},
        ("spec.symbols[0].takerFee", "from 0 to 0.1 (10 %)", 'such as "0.001"'),
    ),
    Wrong(
        "band above one",
        {"spec.symbols.0.band": "10"},
        ("spec.symbols[0].band", "from 0 to 1", 'such as "0.05" for 5 %'),
    ),
    Wrong(
        "unknown status",
        {"spec.symbols.0.status": "Stopped"},
        ("spec.symbols[0].status", 'supported values: "CancelOnly", "Halted", "Trading"'),
    ),
    Wrong(
        "server with a scheme",
        {"spec.redpanda": {"external": {"bootstrapServers": ["kafka://redpanda:9092"]}}},
        ("spec.redpanda.external.bootstrapServers[0]", "host:port without a scheme"),
    ),
    Wrong(
        "contact point with a port",
        {"spec.scylla": {"external": {"contactPoints": ["scylla:9042"]}}},
        ("spec.scylla.external.contactPoints[0]", "without scheme and port", "such as scylla-0.scylla"),
    ),
    Wrong(
        "retention without a unit",
        {"spec.redpanda.retention": "7"},
        ("spec.redpanda.retention", "must be forever, or a number with one of", "such as 7d"),
    ),
    Wrong(
        "gateways between five and two",
        {"spec.gateway.autoscaling": {"minReplicas": 5, "maxReplicas": 2}},
        ("spec.gateway.autoscaling.minReplicas", "above maxReplicas", "raise maxReplicas"),
    ),
    Wrong(
        "half a byte of memory",
        {"spec.matcher.resources.requests.memory": "512m"},
        ("spec.matcher.resources.requests.memory", "such as 512Mi"),
    ),
    Wrong(
        "request above the limit",
        {"spec.ubscore.resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}},
        ("spec.ubscore.resources.requests.cpu", "above limits.cpu", "lower the request or raise the limit"),
    ),
    Wrong("storage in GB", {"spec.ubscore.storage": "10GB"}, ("spec.ubscore.storage", "one of Mi, Gi and Ti")),
    Wrong(
        "backup into a folder", {"spec.backup": {"target": "/backups"}}, ("spec.backup.target", "s3://bucket/exchange")
    ),
    Wrong(
        "backup every seven minutes",
        {"spec.backup": {"target": "s3://bucket/exchange", "interval": "7m"}},
        ("spec.backup.interval", "supported values", '"15m"'),
    ),
    Wrong(
        "issuer twice",
        {
            "spec.gateway.issuers": [
                {"issuer": "https://a", "algorithm": algorithm, "publicKeySecretRef": {"name": "key", "key": "pem"}}
                for algorithm in ("RS256", "EdDSA")
            ]
        },
        ("spec.gateway.issuers[1]: Duplicate value", '"issuer":"https://a"'),
    ),
    Wrong(
        "endpoint of traces without a port",
        {"spec.observability.otlpEndpoint": "collector"},
        ("spec.observability.otlpEndpoint", "must be host:port, or a URL", "such as http://collector.monitoring:4317"),
    ),
    Wrong(
        "endpoint of traces with a path",
        {"spec.observability.otlpEndpoint": "http://collector:4318/v1/traces"},
        ("spec.observability.otlpEndpoint", "without a path"),
    ),
    Wrong(
        "endpoint of traces of another scheme",
        {"spec.observability.otlpEndpoint": "grpc://collector:4317"},
        ("spec.observability.otlpEndpoint", "a URL of http or https"),
    ),
    Wrong(
        "endpoint of traces on a port that no host has",
        {"spec.observability.otlpEndpoint": "collector:65536"},
        ("spec.observability.otlpEndpoint", "must be host:port"),
    ),
    Wrong(
        "more traces than requests",
        {"spec.observability.traceSampleRatio": "1.5"},
        ("spec.observability.traceSampleRatio", "must be a share from 0 to 1 in quotes"),
    ),
    Wrong(
        "share of traces without quotes",
        {"spec.observability.traceSampleRatio": 0.01},
        ("spec.observability.traceSampleRatio", "type string"),
    ),
    Wrong(
        "unknown protocol of traces",
        {"spec.observability.otlpProtocol": "zipkin"},
        ("spec.observability.otlpProtocol", 'supported values: "grpc", "http"'),
    ),
    Wrong(
        "unknown log level",
        {"spec.observability.logLevel": "trace"},
        ("spec.observability.logLevel", 'supported values: "debug"'),
    ),
    Wrong(
        "name that is too long for its Services",
        {"metadata.name": "an-exchange-with-more-than-32-characters"},
        ("metadata.name", "at most 32 of a-z, 0-9 and '-'"),
    ),
    Wrong("name that begins with a digit", {"metadata.name": "1st"}, ("metadata.name", "begin with a letter")),
]

UPDATED: Final = [
    Wrong(
        "account shards", {"spec.ubscore.shards": 3}, ("spec.ubscore.shards", "cannot change", "set it to what it was")
    ),
    Wrong("matchers", {"spec.matcher.shards": 3}, ("spec.matcher.shards", "cannot change", "set it to what it was")),
    Wrong("shards left out", {"spec.matcher": GONE}, ("spec.matcher.shards", "cannot change", "set it to what it was")),
    Wrong(
        "storage shrinks",
        {"spec.ubscore.storage": "1536Mi"},
        ("spec.ubscore.storage", "can only grow", "at least what"),
    ),
    Wrong(
        "storage of the broker shrinks", {"spec.redpanda.managed.storage": "9Gi"}, ("managed.storage", "can only grow")
    ),
    Wrong(
        "storage class set later",
        {"spec.matcher.storageClassName": "fast"},
        ("spec.matcher.storageClassName", "cannot change", "set it to what it was"),
    ),
    Wrong(
        "more managed brokers",
        {"spec.redpanda.managed.replicas": 3},
        ("spec.redpanda.managed.replicas", "cannot change", "production wants external brokers"),
    ),
    Wrong(
        "managed broker becomes external",
        {"spec.redpanda": {"external": {"bootstrapServers": ["redpanda:9092"]}}},
        ("spec.redpanda:", "cannot change between external and managed", "restore a backup into a new Exchange"),
    ),
    Wrong(
        "managed database becomes external",
        {"spec.scylla": {"external": {"contactPoints": ["scylla"]}}},
        ("spec.scylla:", "cannot change between external and managed", "restore a backup into a new Exchange"),
    ),
    Wrong(
        "topic prefix set later",
        {"spec.redpanda.topicPrefix": "late."},
        ("spec.redpanda.topicPrefix", "cannot change", "leave it out if it was"),
    ),
    Wrong("scale", {"spec.assets.0.scale": 6}, ("spec.assets[0].scale", "cannot change", "declare another asset")),
    Wrong("asset in use goes", {"spec.assets.1": GONE}, ("spec.symbols:", "ETH_USDT: base must be one of spec.assets")),
    Wrong(
        "tick",
        {"spec.symbols.0.tickSize": "0.1"},
        ("spec.symbols[0].tickSize", "cannot change", "set it to what it was"),
    ),
    Wrong(
        "lot",
        {"spec.symbols.0.lotSize": "0.001"},
        ("spec.symbols[0].lotSize", "cannot change", "set it to what it was"),
    ),
    Wrong(
        "matcher",
        {"spec.symbols.0.matcherShard": 1},
        ("spec.symbols[0].matcherShard", "cannot change", "set it to what it was"),
    ),
    Wrong(
        "matcher left out",
        {"spec.symbols.1.matcherShard": GONE},
        ("spec.symbols[1].matcherShard", "cannot change", "set it to what it was"),
    ),
    Wrong("base", {"spec.symbols.1.base": "BTC"}, ("spec.symbols[1].name", "BASE_QUOTE", "add another symbol")),
]

UPDATED_EXTERNAL: Final = [
    Wrong(
        "other keyspace",
        {"spec.scylla.external.keyspace": "other"},
        ("external.keyspace", "cannot change", "what it was"),
    ),
    Wrong(
        "keyspace left out",
        {"spec.scylla.external.keyspace": GONE},
        ("external.keyspace", "cannot change", "what it was"),
    ),
    Wrong("other topic prefix", {"spec.redpanda.topicPrefix": "x."}, ("spec.redpanda.topicPrefix", "cannot change")),
    Wrong("topic prefix left out", {"spec.redpanda.topicPrefix": GONE}, ("spec.redpanda.topicPrefix", "cannot change")),
    Wrong(
        "external database becomes managed",
        {"spec.scylla": {"managed": {}}},
        ("spec.scylla:", "cannot change between external and managed"),
    ),
]


@pytest.fixture(scope="module")
def namespace(api_server: ApiServer) -> Iterator[str]:
    """Where the two good resources are that somebody updates."""
    know_exchanges(api_server)
    namespace = new_namespace(api_server)
    for resource in (TWO_SHARDS, PRODUCTION):
        api_server.apply(json.dumps(resource), "-n", namespace)
    yield namespace
    api_server.kubectl("delete", "exchange", "--all", "-n", namespace)


def _ids(wrong: Wrong) -> str:
    return wrong.what


def _is_refused(server: ApiServer, namespace: str, resource: dict[str, Any], says: tuple[str, ...]) -> None:
    refusal = server.refusal(json.dumps(resource), "-n", namespace)
    assert [words for words in says if words not in refusal] == [], refusal


@pytest.mark.parametrize("wrong", NEW, ids=_ids)
def test_wrong_new_resource_is_refused_with_its_field_and_a_remedy(
    api_server: ApiServer, namespace: str, wrong: Wrong
) -> None:
    _is_refused(api_server, namespace, changed(MINIMAL, wrong.change), wrong.says)


@pytest.mark.parametrize("wrong", UPDATED, ids=_ids)
def test_wrong_change_is_refused_with_its_field_and_a_remedy(
    api_server: ApiServer, namespace: str, wrong: Wrong
) -> None:
    _is_refused(api_server, namespace, changed(TWO_SHARDS, wrong.change), wrong.says)


@pytest.mark.parametrize("wrong", UPDATED_EXTERNAL, ids=_ids)
def test_wrong_change_of_what_somebody_else_runs_is_refused_with_its_field_and_a_remedy(
    api_server: ApiServer, namespace: str, wrong: Wrong
) -> None:
    _is_refused(api_server, namespace, changed(PRODUCTION, wrong.change), wrong.says)


ALLOWED: Final[Mapping[str, Mapping[str, Any]]] = {
    "new version": {"spec.image.tag": "0.2.0"},
    "storage grows": {"spec.ubscore.storage": "2049Mi", "spec.redpanda.managed.storage": "1Ti"},
    "more gateways": {"spec.gateway.replicas": 5},
    "traces by host and port": {"spec.observability": {"otlpEndpoint": "collector:65535", "traceSampleRatio": "0"}},
    "traces by URL": {"spec.observability": {"otlpEndpoint": "https://otlp.example.com/", "traceSampleRatio": "1.0"}},
    "no traces any more": {"spec.observability.otlpEndpoint": ""},
    "new asset and symbol": {
        "spec.assets.3": {"name": "SOL", "scale": 9},
        "spec.symbols.3": MINIMAL["spec"]["symbols"][0] | {"name": "SOL_USDT", "base": "SOL"},
    },
    "symbol halted, fee and minimum changed": {
        "spec.symbols.0.status": "Halted",
        "spec.symbols.0.makerFee": "0.002",
        "spec.symbols.1.minNotional": "10",
    },
    "symbol taken out": {"spec.symbols.2": GONE},
    "symbols in another order": {"spec.symbols": TWO_SHARDS["spec"]["symbols"][::-1]},
    "standbys": {"spec.ubscore.standby": True, "spec.matcher.standby": True},
    "paused": {"spec.paused": True},
}


@pytest.mark.parametrize("what", ALLOWED)
def test_right_change_is_accepted(api_server: ApiServer, namespace: str, what: str) -> None:
    changed_one = json.dumps(changed(TWO_SHARDS, ALLOWED[what]))
    assert "configured" in api_server.apply(changed_one, "-n", namespace, "--dry-run=server")
