"""The CRD that is made from the types: its shape, and that a real API server takes it and the examples."""

import functools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from exchange_operator.crd import crd, schema_of, to_yaml
from exchange_operator.resource import Spec, parse
from exchange_operator.resource_markets import MAX_ASSETS, MAX_SYMBOLS
from exchange_operator.resource_services import Autoscaling
from exchange_operator.resource_status import ExchangeStatus
from msgspec import inspect

from services.domain.errors import FormatError
from services.domain.instruments import MAX_FEE_MICROS, Asset, SymbolSettings, build_symbol
from tests.cluster.api_server import ApiServer
from tests.operator.examples import EXAMPLES, changed, example, read, stored
from tests.operator.exchanges import CRD, know_exchanges, new_namespace
from tests.support.processes import ROOT

Json = dict[str, Any]

_KEYS: Final = {
    "description",
    "type",
    "format",
    "default",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "minimum",
    "maximum",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}
"""What our schemas may say: of all this, the API server's cost of rules is computed, and nothing of it is forbidden."""


class Place(NamedTuple):
    path: str
    schema: Json


def _version() -> Json:
    version: Json = crd()["spec"]["versions"][0]
    return version


def _root() -> Json:
    schema: Json = _version()["schema"]["openAPIV3Schema"]
    return schema


def _walk(schema: Json, path: str) -> Iterator[Place]:
    yield Place(path, schema)
    for name, child in schema.get("properties", {}).items():
        yield from _walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from _walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from _walk(schema["additionalProperties"], f"{path}{{}}")


def _places() -> list[Place]:
    """Every schema within spec and status."""
    return [place for part in ("spec", "status") for place in _walk(_root()["properties"][part], part)]


def _without(places: list[Place], kind: str, *bounds: str) -> list[str]:
    """Paths of that kind that lack one of the bounds."""
    return [
        path
        for path, schema in places
        if schema["type"] == kind and "enum" not in schema and not all(bound in schema for bound in bounds)
    ]


def test_file_of_the_chart_is_made_from_the_types() -> None:
    command = "python -m exchange_operator.crd > charts/exchange-operator/templates/crd.yaml"
    assert CRD.read_text() == to_yaml(), (
        f"the types of the Exchange changed; make the chart's file again:\n    {command}"
    )
    assert command in CRD.read_text()


def test_file_is_no_template_and_outlives_the_chart() -> None:
    assert "{{" not in CRD.read_text()
    assert read(CRD)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_every_value_is_bounded() -> None:
    places = _places()
    assert len(places) > 150
    assert _without(places, "string", "maxLength") == []
    assert _without(places, "array", "maxItems") == []
    assert _without(places, "integer", "minimum", "maximum") == []
    maps = [place for place in places if "additionalProperties" in place.schema]
    assert maps
    assert _without(maps, "object", "maxProperties") == []


def test_schema_is_structural() -> None:
    for path, schema in _places():
        assert set(schema) <= _KEYS, path
        assert schema["type"] in {"object", "array", "string", "integer", "boolean"}, path
        assert ("properties" in schema) + ("additionalProperties" in schema) == (schema["type"] == "object"), path
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), path


def test_every_field_is_described_in_a_sentence() -> None:
    for path, schema in _places():
        if path.endswith(("[]", "{}")) and schema["type"] != "object":
            continue
        assert re.fullmatch(r"[^a-z].{8,}[.)]", schema.get("description", "")), path


def test_every_rule_has_a_sentence_about_a_field_that_exists() -> None:
    for path, schema in [Place("", _root()), *_places()]:
        for rule in schema.get("x-kubernetes-validations", []):
            assert len(rule["message"]) > 20, path
            field = schema
            for name in rule.get("fieldPath", "").split(".")[1:]:
                field = field["properties"][name]


@functools.cache
def _patterns() -> list[tuple[str, str, Json]]:
    """(path, pattern, schema) of every text of the types that has a pattern."""
    found: list[tuple[str, str, Json]] = []

    def visit(kind: inspect.Type, path: str, outer: Json) -> None:
        match kind:
            case inspect.Metadata():
                visit(kind.type, path, kind.extra_json_schema or {})
            case inspect.UnionType():
                for member in kind.types:
                    visit(member, path, outer)
            case inspect.StructType():
                for field in kind.fields:
                    visit(field.type, f"{path}.{field.encode_name}", {})
            case inspect.CollectionType():
                visit(kind.item_type, f"{path}[]", {})
            case inspect.StrType() if kind.pattern is not None:
                found.append((path, kind.pattern, outer))

    visit(inspect.type_info(Spec), "spec", {})
    return found


def test_every_pattern_is_a_rule_in_words() -> None:
    assert len(_patterns()) > 30
    for path, pattern, schema in _patterns():
        assert f"self.matches(r'{pattern}')" in [one["rule"] for one in schema["x-kubernetes-validations"]], path


def test_list_of_named_things_is_a_map_by_name() -> None:
    keyed = {
        path: schema["x-kubernetes-list-map-keys"]
        for path, schema in _places()
        if schema.get("x-kubernetes-list-map-keys")
    }
    assert keyed == {
        "spec.assets": ["name"],
        "spec.symbols": ["name"],
        "spec.gateway.issuers": ["issuer"],
        "status.conditions": ["type"],
        "status.components": ["name"],
        "status.symbols": ["name"],
    }


def _defaulted(schema: Json, value: Any) -> Any:
    """As the API server does it: from the outside to the inside."""
    if isinstance(value, dict) and "properties" in schema:
        given = {name: child["default"] for name, child in schema["properties"].items() if "default" in child} | value
        return {
            name: _defaulted(schema["properties"][name], child) if name in schema["properties"] else child
            for name, child in given.items()
        }
    if isinstance(value, list):
        return [_defaulted(schema["items"], item) for item in value]
    return value


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_defaults_of_the_schema_are_those_of_the_types(path: Path) -> None:
    resource = read(path)
    defaulted = _defaulted(_root()["properties"]["spec"], resource["spec"])
    assert defaulted != resource["spec"]
    assert msgspec.convert(defaulted, Spec) == msgspec.convert(resource["spec"], Spec)


def test_every_default_is_shown_that_says_something() -> None:
    for path, schema in _places():
        if path.startswith("status"):
            assert "default" not in schema, path
        if "default" in schema:
            hides = schema["default"] == "" and "x-kubernetes-validations" not in schema
            assert not hides, path
    shown = _defaulted(_root()["properties"]["spec"], example("minimal")["spec"])
    assert shown["ubscore"] == {
        "shards": 1,
        "standby": False,
        "storage": "1Gi",
        "storageClassName": "",
        "snapshotInterval": "60s",
    }
    assert shown["gateway"]["rateLimits"]["caller"] == {"perSecond": 10_000, "burst": 20_000}
    assert shown["symbols"][0]["status"] == "Trading"
    assert "scheduling" not in shown


def test_field_that_is_held_against_its_old_value_always_has_one() -> None:
    """Or else a first value would never be held against anything: a rule is not asked when its field comes or goes."""
    for path, schema in _places():
        if any(rule["rule"] == "self == oldSelf" for rule in schema.get("x-kubernetes-validations", [])):
            parent, name = path.rsplit(".", 1)
            required = dict(_places())[parent].get("required", [])
            assert "default" in schema or name in required, path


def test_part_that_may_be_left_out_is_not_required() -> None:
    schema = schema_of(inspect.type_info(Autoscaling))
    assert "required" not in schema
    assert schema["properties"]["minReplicas"] == {
        "description": "There are never fewer gateways.",
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 2,
    }


def test_type_that_no_structural_schema_can_say_is_an_error() -> None:
    with pytest.raises(TypeError, match="no structural schema"):
        schema_of(inspect.type_info(int | str))


def test_columns_are_what_a_person_looks_for() -> None:
    columns = {column["name"]: column for column in _version()["additionalPrinterColumns"]}
    assert list(columns) == ["Ready", "Reason", "Gateway", "Symbols", "Paused", "Age"]
    assert columns["Paused"]["priority"] == 1
    names = crd()["spec"]["names"]
    assert (names["shortNames"], names["categories"]) == (["exch"], ["all"])


# With a real API server


@pytest.fixture(scope="module")
def namespace(api_server: ApiServer) -> Iterator[str]:
    know_exchanges(api_server)
    namespace = new_namespace(api_server)
    yield namespace
    api_server.kubectl("delete", "exchange", "--all", "-n", namespace)


def _applied(server: ApiServer, namespace: str, resource: Json, *options: str) -> Json:
    """As it is there afterwards."""
    found: Json = json.loads(server.apply(json.dumps(resource), "-n", namespace, "-o", "json", *options))
    return found


def test_crd_is_established_and_structural(api_server: ApiServer, namespace: str) -> None:
    conditions = api_server.get("crd", "exchanges.trading.exchange")["status"]["conditions"]
    found = {condition["type"]: condition["status"] for condition in conditions}
    assert found["Established"] == "True"
    assert found["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in found
    assert "unchanged" in api_server.kubectl("apply", "-f", str(CRD)) + api_server.kubectl("apply", "-f", str(CRD))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_passes_server_side_dry_run(api_server: ApiServer, namespace: str, path: Path) -> None:
    answer = api_server.kubectl("apply", "-n", namespace, "--dry-run=server", "--validate=strict", "-f", str(path))
    assert "created (server dry run)" in answer


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_api_server_fills_in_the_defaults_of_the_types(api_server: ApiServer, namespace: str, path: Path) -> None:
    resource = read(path)
    shown = _applied(api_server, namespace, resource, "--dry-run=server")
    assert shown["spec"] == _defaulted(_root()["properties"]["spec"], resource["spec"])
    assert parse(stored(shown)).spec == parse(stored(resource)).spec


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("exchange", "A spot exchange: a gateway, balances, books"),
        ("exchange.spec", "scylla <Object> -required-"),
        ("exchange.spec.gateway", "Number of gateways, unless there is autoscaling."),
        ("exchange.spec.symbols.status", "CancelOnly: orders can be cancelled"),
        ("exchange.spec.symbols", "enum: CancelOnly, Halted, Trading"),
        ("exchange.spec.ubscore.storage", "It can only grow"),
        ("exchange.spec.redpanda.managed", "for development"),
        ("exchange.spec.scylla.external.tls.caSecretRef", "Certificate (PEM) of who signed"),
        ("exchange.status.conditions.message", "Why, and what to do, for people."),
    ],
)
def test_kubectl_explains_it(api_server: ApiServer, namespace: str, field: str, words: str) -> None:
    said = " ".join(api_server.kubectl("explain", field).split())
    assert words in said


def _status() -> Json:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "WaitingForBroker",
        "message": "the broker does not answer",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 1,
    }
    return {
        "observedGeneration": 1,
        "conditions": [condition],
        "components": [{"name": "gateway", "desired": 3, "ready": 2, "image": "exchange-platform:0.1.0"}],
        "symbols": [{"name": "BTC_USDT", "status": "Trading"}],
        "symbolCount": 1,
        "gateway": "2/3",
        "endpoints": {"rest": "http://demo-gateway.default.svc:3001"},
    }


def test_status_is_kept_and_shown_in_the_columns(api_server: ApiServer, namespace: str) -> None:
    _applied(api_server, namespace, changed(example("minimal"), {"metadata.name": "seen"}))
    patch = json.dumps({"status": _status()})
    api_server.kubectl("patch", "exch", "seen", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
    found = api_server.get("exch", "seen", "-n", namespace)
    assert found["status"] == _status()
    assert json.loads(msgspec.json.encode(msgspec.convert(found["status"], ExchangeStatus))) == _status()
    header, row = api_server.kubectl("get", "exch", "-n", namespace, "-o", "wide", "seen").splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "GATEWAY", "SYMBOLS", "PAUSED", "AGE"]
    assert row.split()[:-1] == ["seen", "False", "WaitingForBroker", "2/3", "1", "false"]
    assert "exchange.trading.exchange/seen" in api_server.kubectl("get", "all", "-n", namespace)


def test_status_of_another_shape_is_refused(api_server: ApiServer, namespace: str) -> None:
    _applied(api_server, namespace, changed(example("minimal"), {"metadata.name": "unseen"}))
    for change in ({"gateway": 2}, {"conditions": [{"type": "Ready", "status": "Maybe"}]}):
        patch = json.dumps({"status": change})
        with pytest.raises(AssertionError, match=f"status.{next(iter(change))}"):
            api_server.kubectl(
                *("patch", "exch", "unseen", "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
            )


def _largest() -> Json:
    """As many symbols as there may be, each as long as it may be, of the assets at the end of the list."""
    names = [f"ASSETWITHNAME{number:03}" for number in range(MAX_ASSETS)]
    pairs = [(base, quote) for base in reversed(names) for quote in reversed(names) if base != quote][:MAX_SYMBOLS]
    symbol = {
        "tickSize": "000000000000000.001",
        "lotSize": "0000000000000.00001",
        "minNotional": "000000000000000.01",
        "makerFee": "0.000001",
        "takerFee": "0.000001",
        "band": "0.000001",
        "matcherShard": 63,
    }
    symbols = [{"name": f"{base}_{quote}", "base": base, "quote": quote} | symbol for base, quote in pairs]
    assets = [{"name": name, "scale": number % 5 + 8} for number, name in enumerate(names)]
    return changed(
        example("minimal"),
        {"metadata.name": "largest", "spec.assets": assets, "spec.symbols": symbols, "spec.matcher.shards": 64},
    )


def test_largest_resource_stays_within_what_the_api_server_spends_on_rules(
    api_server: ApiServer, namespace: str
) -> None:
    begin = time.monotonic()
    _applied(api_server, namespace, _largest(), "--server-side")
    # A second of an idle machine; with a rule that looks every symbol's asset up it is half a minute.
    assert time.monotonic() - begin < 15


def test_sentence_about_the_last_symbol_of_the_largest_resource_names_it(api_server: ApiServer, namespace: str) -> None:
    last = len(_largest()["spec"]["symbols"]) - 1
    name = _largest()["spec"]["symbols"][last]["name"]
    wrong = changed(
        _largest(),
        {f"spec.symbols.{last}.tickSize": "0.0000000001", f"spec.symbols.{last}.minNotional": "0.0000000000001"},
    )
    refusal = api_server.refusal(json.dumps(wrong), "-n", namespace, "--server-side")
    assert f"{name}: tickSize × lotSize must be" in refusal
    assert f"{name}: minNotional must have" in refusal


STEPS: Final = [
    # base scale, quote scale, tick, lot, minimum
    (8, 8, "0.01", "0.00001", "5"),
    (8, 6, "0.01", "0.00001", "5"),
    (8, 6, "0.01", "0.0001", "5.123456"),
    (8, 6, "0.01", "0.0001", "5.1234567"),
    (8, 0, "1", "1", "1"),
    (8, 0, "0.5", "0.2", "0"),
    (8, 0, "0.5", "2", "0"),
    (8, 0, "0.5", "3", "0"),
    (8, 2, "2.5", "0.002", "0"),
    (8, 2, "2.5", "0.004", "0"),
    (0, 8, "0.01", "0.5", "0"),
    (3, 8, "0.01", "0.001", "0"),
    (3, 8, "0.01", "0.0005", "0"),
    (12, 12, "0.000001", "0.000001", "0"),
    (12, 12, "0.000001", "0.0000001", "0"),
    (12, 12, "0.000000000001", "1", "0"),
    (12, 12, "999999999999999999", "0.000000000001", "1"),
    (12, 0, "999999999999.5", "0.2", "1"),
    (12, 12, "0.000000000000000001", "100000", "1"),
]


@pytest.mark.parametrize(("base", "quote", "tick", "lot", "minimum"), STEPS)
def test_api_server_takes_the_steps_that_the_exchange_takes(
    api_server: ApiServer, namespace: str, base: int, quote: int, tick: str, lot: str, minimum: str
) -> None:
    settings = SymbolSettings("BTC_USDT", "BTC", "USDT", tick, lot, minimum, 1000, 1000)
    resource = changed(
        example("minimal"),
        {
            "metadata.name": "steps",
            "spec.assets": [{"name": "BTC", "scale": base}, {"name": "USDT", "scale": quote}],
            "spec.symbols": [
                example("minimal")["spec"]["symbols"][0] | {"tickSize": tick, "lotSize": lot, "minNotional": minimum}
            ],
        },
    )
    try:
        build_symbol(settings, Asset("BTC", base), Asset("USDT", quote))
    except FormatError:
        assert "spec.symbols: Invalid value" in api_server.refusal(json.dumps(resource), "-n", namespace)
    else:
        _applied(api_server, namespace, resource, "--dry-run=server")


def test_highest_fee_is_that_of_the_exchange() -> None:
    (pattern,) = {pattern for path, pattern, _ in _patterns() if path == "spec.symbols[].makerFee"}
    assert re.fullmatch(pattern, f"{MAX_FEE_MICROS / 1_000_000:.6f}")
    assert not re.fullmatch(pattern, f"{(MAX_FEE_MICROS + 1) / 1_000_000:.6f}")


def test_command_prints_the_file() -> None:
    command = [sys.executable, "-m", "exchange_operator.crd"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "operator")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == CRD.read_text()
