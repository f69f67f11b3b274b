"""The settings files that the operator makes are those that the services read."""

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from exchange_operator.manifests.settings import settings_of
from exchange_operator.names import Manifest
from exchange_operator.resource import Exchange
from prometheus_client import CollectorRegistry

from services.adapters.internal.server import Health, InternalServer
from services.config import Settings, load_settings
from services.runtime.backups import core_addresses
from services.runtime.connections import cql_settings, kafka_settings
from services.runtime.topics import topic_settings
from tests.operator.manifest_examples import (
    NAMES,
    components,
    container,
    environment,
    everything,
    example,
    exchange_of,
    merged,
    of,
    smallest,
    templates,
)

EXCHANGES = [*(pytest.param(example(name), id=name) for name in NAMES), pytest.param(everything(), id="everything")]
_SECRET = "of-a-secret"
_SECTIONS = {field.encode_name for field in msgspec.structs.fields(Settings)} - {"assets", "symbols"}
"""Those that go to the running exchange through its API are none of them."""


class Pods:
    """The components of an exchange, and what their processes read. folder: for files."""

    def __init__(self, exchange: Exchange, folder: Path) -> None:
        self.templates = components(exchange)
        self._made = of(exchange)
        self._path = folder / "exchange.yaml"

    def text(self, component: str) -> str:
        """What the settings file holds."""
        name = self.templates[component]["spec"]["volumes"][0]["configMap"]["name"]
        return str(self._made["ConfigMap", name]["data"]["exchange.yaml"])

    def load(self, component: str) -> Settings:
        """What the process makes of it; variables that come from Secrets have a value of their own."""
        variables = {one["name"]: one.get("value", _SECRET) for one in environment(self.templates[component])}
        self._path.write_text(self.text(component))
        return load_settings(self._path, {name: value for name, value in variables.items() if "__" in name})


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_settings_of_all_components_load(exchange: Exchange, tmp_path: Path) -> None:
    pods = Pods(exchange, tmp_path)
    for component in pods.templates:
        settings = pods.load(component)
        assert set(yaml.safe_load(pods.text(component))) <= _SECTIONS
        assert settings.broker.topic_prefix or component == "schema"
        if component not in ("schema", "topics"):
            assert settings.ubscore.shards == exchange.spec.ubscore.shards
            assert settings.matcher.shards == exchange.spec.matcher.shards


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_settings_hold_nothing_secret(exchange: Exchange, tmp_path: Path) -> None:
    pods = Pods(exchange, tmp_path)
    for component in pods.templates:
        assert not re.findall("password:|username:", pods.text(component))


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_files_that_settings_name_are_mounted(exchange: Exchange, tmp_path: Path) -> None:
    pods = Pods(exchange, tmp_path)
    for component, template in pods.templates.items():
        assert set(_files(yaml.safe_load(pods.text(component)))) == _mounted(template)


def _files(value: Any, key: str = "") -> list[str]:
    """Values of keys that end in `File`, at every depth."""
    if isinstance(value, dict):
        return [file for name, member in value.items() for file in _files(member, name)]
    if isinstance(value, list):
        return [file for member in value for file in _files(member)]
    return [value] if key.endswith("File") else []


def _mounted(template: Manifest) -> set[str]:
    """Paths of the files that come from Secrets."""
    where = {mount["name"]: mount["mountPath"] for mount in container(template)["volumeMounts"]}
    sources = [
        (volume["name"], source["secret"])
        for volume in template["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
    ]
    return {f"{where[name]}/{item['path']}" for name, secret in sources for item in secret["items"]}


def test_external_brokers_and_database_are_reached_as_the_resource_says(tmp_path: Path) -> None:
    settings = Pods(example("production"), tmp_path).load("gateway")
    broker, database = settings.broker, settings.database
    assert broker.bootstrap_servers[0] == "redpanda-0.redpanda.example.com:9093"
    assert broker.topic_prefix == "main."
    assert (broker.tls.enabled, broker.tls.ca_file) == (True, "/etc/exchange-secrets/broker/ca.crt")
    assert (broker.sasl.mechanism, broker.sasl.username) == ("SCRAM-SHA-512", _SECRET)
    assert broker.sasl.password_file == "/etc/exchange-secrets/broker/password"
    assert (database.port, database.local_datacenter, database.keyspace) == (9142, "dc1", "main")
    assert (database.username, database.password_file) == (_SECRET, "/etc/exchange-secrets/database/password")
    assert [issuer.public_key_file for issuer in settings.auth.issuers] == ["/etc/exchange-secrets/issuers/0.pem"]


def test_client_certificates_are_both_files_of_their_secret(tmp_path: Path) -> None:
    tls = {"clientSecretRef": {"name": "client"}}
    spec = merged(smallest(), {"redpanda": {"external": {"bootstrapServers": ["a:1"], "tls": tls}}})
    del spec["redpanda"]["managed"]
    settings = Pods(exchange_of(spec), tmp_path).load("ubscore").broker
    assert (settings.tls.enabled, settings.tls.ca_file) == (True, "")
    assert settings.tls.cert_file == "/etc/exchange-secrets/broker/tls.crt"
    assert settings.tls.key_file == "/etc/exchange-secrets/broker/tls.key"


def test_tls_that_is_off_names_no_files(tmp_path: Path) -> None:
    """The services refuse files of certificates when TLS is off."""
    tls = {"enabled": False, "caSecretRef": {"name": "ca", "key": "ca.crt"}}
    spec = merged(smallest(), {"redpanda": {"external": {"bootstrapServers": ["a:1"], "tls": tls}}})
    del spec["redpanda"]["managed"]
    assert kafka_settings(Pods(exchange_of(spec), tmp_path).load("ubscore")).tls is None


def test_managed_brokers_and_database_are_reached_by_names_that_stay(tmp_path: Path) -> None:
    settings = Pods(everything(), tmp_path).load("gateway")
    assert kafka_settings(settings).bootstrap_servers[2] == "demo-redpanda-2.demo-redpanda.trading.svc:9092"
    hosts = tuple(f"demo-scylla-{index}.trading.svc" for index in range(3))
    assert cql_settings(settings).contact_points == hosts
    services = {name for kind, name in of(everything()) if kind == "Service"}
    assert {host.split(".")[0] for host in hosts} <= services


@pytest.mark.parametrize(("replicas", "copies"), [(1, 1), (2, 1), (3, 3), (5, 3)])
def test_managed_topics_have_an_odd_number_of_copies(replicas: int, copies: int, tmp_path: Path) -> None:
    spec = merged(smallest(), {"redpanda": {"managed": {"replicas": replicas}}})
    assert topic_settings(Pods(exchange_of(spec), tmp_path).load("topics")).replication == copies


def test_cores_are_found_where_their_pods_are(tmp_path: Path) -> None:
    exchange = everything()
    addresses = core_addresses(Pods(exchange, tmp_path).load("gateway"))
    assert len(addresses) == 128
    assert addresses["ubscore-63"] == [
        "http://demo-ubscore-63.demo-ubscore.trading.svc:3100",
        "http://demo-ubscore-standby-63.demo-ubscore-standby.trading.svc:3100",
    ]
    for name in ("demo-ubscore", "demo-ubscore-standby"):
        workload = of(exchange)["StatefulSet", name]["spec"]
        assert (workload["serviceName"], workload["replicas"]) == (name, 64)


def test_members_of_projections_are_found_where_their_pods_are(tmp_path: Path) -> None:
    exchange = exchange_of(merged(smallest(), {"settlement": {"replicas": 2}}))
    settings = Pods(exchange, tmp_path).load("gateway")
    assert settings.settlement.addresses == [
        "http://demo-settlement-0.demo-settlement.trading.svc:3100",
        "http://demo-settlement-1.demo-settlement.trading.svc:3100",
    ]
    assert settings.order_history.addresses == ["http://demo-order-history-0.demo-order-history.trading.svc:3100"]
    for name in ("demo-settlement", "demo-order-history"):
        workload = of(exchange)["StatefulSet", name]["spec"]
        assert workload["serviceName"] == name


def test_topics_keep_frames_for_as_long_as_backups_need_them(tmp_path: Path) -> None:
    day_ms = 86_400_000
    spec = smallest() | {"redpanda": {"managed": {}, "retention": "1d"}, "backup": {"target": "s3://b/c"}}
    hourly = topic_settings(Pods(exchange_of(spec), tmp_path).load("topics"))
    assert hourly.retention_ms == 3 * day_ms + 2 * 3_600_000
    daily = spec | {"backup": {"target": "s3://b/c", "interval": "24h"}}
    assert topic_settings(Pods(exchange_of(daily), tmp_path).load("topics")).retention_ms == 5 * day_ms


def test_what_concerns_one_component_is_not_in_the_settings_of_others(tmp_path: Path) -> None:
    pods = Pods(example("production"), tmp_path)

    def sections(component: str) -> set[str]:
        return set(yaml.safe_load(pods.text(component)))

    assert sections("schema") == {"database"}
    assert sections("topics") == {"broker", "ubscore", "matcher", "journal", "backup"}
    assert sections("ubscore") == {"log", "internal", "broker", "ubscore", "matcher", "auth", "journal"}
    assert sections("settlement") == {"log", "internal", "broker", "database", "ubscore", "matcher"}
    assert {"server", "gateway"} <= sections("gateway")


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("collector.monitoring:4318", "http://collector.monitoring:4318"),
        ("http://collector:4317", "http://collector:4317"),
        ("https://otlp.example.com/", "https://otlp.example.com"),
    ],
)
def test_traces_go_where_the_resource_says(endpoint: str, url: str, tmp_path: Path) -> None:
    observability = {"otlpEndpoint": endpoint, "otlpProtocol": "http", "traceSampleRatio": "0.25", "logLevel": "debug"}
    pods = Pods(exchange_of(merged(smallest(), {"observability": observability})), tmp_path)
    for component in ("gateway", "ubscore", "matcher", "settlement", "order-history"):
        settings = pods.load(component)
        telemetry = settings.telemetry
        assert (telemetry.otlp_endpoint, telemetry.otlp_protocol) == (url, "http")
        assert telemetry.trace_sample_micros == 250_000
        assert settings.log.level == "debug"
    for component in ("topics", "schema", "backup"):
        assert "telemetry" not in pods.text(component)


def test_without_an_endpoint_nothing_is_said_of_traces(tmp_path: Path) -> None:
    ratio = exchange_of(merged(smallest(), {"observability": {"traceSampleRatio": "1"}}))
    pods, other = Pods(exchange_of(smallest()), tmp_path), Pods(ratio, tmp_path)
    for component in pods.templates:
        assert "telemetry" not in pods.text(component)
        assert pods.text(component) == other.text(component)


def test_settings_have_another_name_when_they_say_something_else() -> None:
    one, other = example("minimal"), example("minimal", observability={"logLevel": "debug"})
    assert settings_of(one, "ubscore").name != settings_of(other, "ubscore").name
    assert settings_of(one, "schema").name == settings_of(other, "schema").name
    assert all(made["immutable"] for (kind, _), made in of(one).items() if kind == "ConfigMap")


def test_a_standby_reads_what_its_core_reads() -> None:
    found = templates(everything())
    core, standby = found["StatefulSet/demo-ubscore"]["spec"], found["StatefulSet/demo-ubscore-standby"]["spec"]
    assert core["volumes"] == standby["volumes"]
    assert container({"spec": standby})["args"] == ["ubscore", "--standby"]


def test_gateway_limits_are_those_of_the_resource(tmp_path: Path) -> None:
    limits = Pods(example("production"), tmp_path).load("gateway").gateway.rate_limits
    assert (limits.caller.per_second, limits.caller.burst) == (1000, 2000)
    assert (limits.anonymous.per_second, limits.anonymous.burst) == (100, 500)


# Ports and probes


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_ports_of_pods_are_those_on_which_the_processes_listen(exchange: Exchange, tmp_path: Path) -> None:
    pods = Pods(exchange, tmp_path)
    for component, template in pods.templates.items():
        ports = {port["name"]: port["containerPort"] for port in container(template).get("ports", [])}
        settings = pods.load(component)
        if component in ("topics", "schema", "backup"):
            assert ports == {}
            continue
        assert (settings.internal.host, settings.internal.port) == ("0.0.0.0", ports["internal"])
        if component == "gateway":
            assert (settings.server.host, settings.server.port) == ("0.0.0.0", ports["http"])


def test_probes_ask_for_what_the_processes_answer() -> None:
    answers = asyncio.run(_answers(ready=True)), asyncio.run(_answers(ready=False))
    asked = set()
    for component, template in components(everything()).items():
        one = container(template)
        probes = {name: one[name]["httpGet"] for name in one if name.endswith("Probe")}
        if component in ("topics", "schema", "backup"):
            assert probes == {}
            continue
        assert {probe["port"] for probe in probes.values()} == {"internal"}
        paths = tuple(probes[name]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe"))
        asked.add(paths)
        assert [[statuses[path] for path in paths] for statuses in answers] == [[200, 200, 200], [200, 200, 503]]
    assert len(asked) == 1


async def _answers(*, ready: bool) -> dict[str, int]:
    """By path, the status that a process answers with."""

    async def health() -> Health:
        return Health(ready, {})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = InternalServer(health, CollectorRegistry())
        await server.start(listener)
        async with httpx.AsyncClient() as client:
            paths = ("/health/live", "/health/ready", "/metrics", "/healthz")
            found = {path: (await client.get(f"http://127.0.0.1:{port}{path}")).status_code for path in paths}
        await server.close()
    return found
